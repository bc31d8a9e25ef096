//! The kinds of issuers: each has its line in the composition root, and nobody else names one.

use super::modules::agent;
use super::source::Source;
use super::{Violations, found, none};

/// The composition root of issuers. It names each kind's module by its [`KIND`], and nobody else names one.
const KINDS: &str = "kinds";
/// What a kind is known by.
const KIND: &str = "KIND";

/// The modules of kinds of issuers: those right below `issuer` that have a [`KIND`].
fn kinds(sources: &[Source]) -> Vec<&str> {
    let known = sources.iter().filter(|source| source.names(KIND));
    known
        .filter_map(|source| match &source.module[..] {
            [top, module] if top == "issuer" => Some(module.as_str()),
            _ => None,
        })
        .collect()
}

/// Who names a kind without being it, and which kinds have no line in the composition root.
fn kinds_named(sources: &[Source]) -> Violations {
    let kinds = kinds(sources);
    let mut violations = Vec::new();
    let mut listed = Vec::new();
    for source in sources {
        for path in source.paths() {
            let Some((kind, rest)) = below_issuer(&path, source, sources) else {
                continue;
            };
            let is_its_own =
                matches!(&source.module[..], [top, own, ..] if top == "issuer" && own == kind);
            if !kinds.contains(&kind) || is_its_own {
                continue;
            }
            if source.top() == KINDS && rest == KIND {
                listed.push(kind.to_owned());
            } else {
                violations.push(format!(
                    "{}: issuer::{kind} is a kind of issuers, named by {KINDS} only, and by its {KIND}",
                    source.file
                ));
            }
        }
    }
    let forgotten = kinds
        .into_iter()
        .filter(|kind| !listed.iter().any(|listed| listed == kind));
    violations.extend(forgotten.map(|kind| format!("issuer::{kind} has no line in {KINDS}")));
    violations
}

/// The module right below `issuer` that a path may lead to, and the rest of it. One that is shorter counts as well: an
/// import may have made it so, unless there is a module of that name just there.
fn below_issuer<'a>(
    path: &'a str,
    source: &Source,
    sources: &[Source],
) -> Option<(&'a str, &'a str)> {
    if let Some(path) = path.strip_prefix("crate::") {
        let path = path.strip_prefix("issuer::")?;
        return Some(path.split_once("::").unwrap_or((path, "")));
    }
    let path = path.strip_prefix("issuer::").unwrap_or(path);
    let (first, rest) = path.split_once("::")?;
    let is_here = |other: &Source| match other.module.split_last() {
        Some((name, place)) => name == first && place == source.module && source.top() != "issuer",
        None => false,
    };
    (!sources.iter().any(is_here)).then_some((first, rest))
}

#[test]
fn only_their_composition_root_names_kinds_of_issuers_and_it_names_them_all() {
    let sources = agent();
    assert!(kinds(&sources).len() >= 7, "the kinds are gone");
    none(kinds_named(&sources));
}

#[test]
fn planted_names_of_kinds_are_found() {
    let listed = "use crate::issuer; f([&issuer::paper::KIND, &issuer::stone::KIND]);";
    let planted = |list: &str, module: &[&str], text: &str| {
        kinds_named(&[
            Source::new("paper.rs", &["issuer", "paper"], "pub use keys::KIND;"),
            Source::new("stone.rs", &["issuer", "stone"], "pub const KIND: u8 = 1;"),
            Source::new("kinds.rs", &["kinds"], list),
            Source::new("planted.rs", module, text),
        ])
    };
    let own = "use super::api::Api; fn f() -> super::super::paper::Settings {}";
    none(planted(listed, &["issuer", "paper", "api"], own));
    none(planted(
        listed,
        &["driver"],
        "use crate::issuer::kind::Kind;",
    ));
    let words = ["planted.rs", "issuer::paper is a kind"];
    for (module, text) in [
        (&["config"][..], "use crate::issuer::paper::Settings;"),
        (&["app"], "use crate::issuer::{Issuer, paper};"),
        (
            &["app"],
            "use crate::issuer; fn f() -> issuer::paper::Paper {}",
        ),
        (&["issuer", "stone"], "use super::paper::Directory;"),
        (&["issuer", "stone", "api"], "use super::super::paper::Api;"),
        (&["issuer", "kind"], "use super::paper::Settings;"),
        (&["issuer"], "pub use paper::Paper;"),
        (&["issuer"], "use self::paper::Api;"),
        (
            &["driver"],
            "use crate::issuer::*; fn f() -> paper::Paper {}",
        ),
        (&["kinds"], "use crate::issuer::paper::Settings;"),
        (&["paper"], "use crate::issuer::paper::Settings;"),
    ] {
        found(&planted(listed, module, text), &words);
    }
    let short = "use crate::issuer; f([&issuer::stone::KIND]);";
    found(
        &planted(short, &["app"], ""),
        &["issuer::paper has no line"],
    );
}
