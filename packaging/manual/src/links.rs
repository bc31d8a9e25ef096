//! Where a document's links lead for somebody who reads a man page.

use crate::pages::PAGES;

/// What a link is for a reader of the manual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// Within the same document.
    Here,
    /// Another page, as in `renewd(8)`.
    Page(&'static str),
    /// A file of the package, or an address.
    Place(String),
}

/// What a link of a document in `docs/` is.
pub(crate) fn reference(target: &str) -> Reference {
    if target.starts_with("https://") {
        return Reference::Place(target.to_owned());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        return Reference::Here;
    }
    let of_file = || PAGES.iter().filter(|page| page.document == file);
    let page = of_file()
        .find(|page| !anchor.is_empty() && page.anchors.contains(&anchor))
        .or_else(|| of_file().next());
    match page {
        Some(page) => Reference::Page(page.title),
        None => Reference::Place(format!("/usr/share/doc/renewd/docs/{file}")),
    }
}
