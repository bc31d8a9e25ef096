//! Reads Rust text as far as the floors need it: which paths a module names.
//!
//! No parser: comments and literals are taken out, the rest is cut into words, and every path with at
//! least two segments counts, in a `use` or anywhere else. Tests are not looked at.

use std::fs;
use std::path::Path;

/// One file of a crate.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is, for people.
    pub(crate) file: String,
    /// Its module, from the crate's root on: `["issuer", "local"]`.
    pub(crate) module: Vec<String>,
    tokens: Vec<String>,
}

impl Source {
    /// A text in the place of a module.
    pub(crate) fn new(file: &str, module: &[&str], text: &str) -> Self {
        Self {
            file: file.to_owned(),
            module: module.iter().map(|&part| part.to_owned()).collect(),
            tokens: tokens(&without_tests(&code(text))),
        }
    }

    /// All files below `src`, but for tests, fakes, the example of the documentation and the programs' `main`.
    pub(crate) fn all(src: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut directories = vec![src.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_dir() {
                    if !matches!(name, "tests" | "bin") {
                        directories.push(path);
                    }
                } else if name.ends_with(".rs")
                    && !matches!(name, "tests.rs" | "fake.rs" | "example.rs")
                {
                    let relative = path.strip_prefix(src).unwrap().with_extension("");
                    let mut module: Vec<&str> =
                        relative.iter().map(|part| part.to_str().unwrap()).collect();
                    if matches!(module.last(), Some(&("mod" | "lib"))) {
                        module.pop();
                    }
                    let text = fs::read_to_string(&path).unwrap();
                    sources.push(Self::new(&path.display().to_string(), &module, &text));
                }
            }
        }
        assert!(!sources.is_empty(), "no Rust in {}", src.display());
        sources
    }

    /// The module below the crate's root that it belongs to; empty for the root itself.
    pub(crate) fn top(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// Whether a word is in it.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token == word)
    }

    /// Every path, `use` trees spread out; what is of this crate begins with `crate`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let begins = is_word(&self.tokens[at])
                && self.tokens.get(at + 1).is_some_and(|next| next == "::");
            if begins {
                at = self.tree(at, &[], &mut found);
            } else {
                at += 1;
            }
        }
        found.iter().map(|path| self.absolute(path)).collect()
    }

    /// Follows one path, or a tree of them, from `at` on; returns where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
        let mut path = prefix.to_vec();
        while let Some(token) = self.tokens.get(at) {
            if is_word(token) || token == "*" {
                path.push(token.clone());
                at += 1;
                if self.tokens.get(at).is_none_or(|next| next != "::") {
                    break;
                }
                at += 1;
            } else if token == "{" {
                at += 1;
                while self.tokens.get(at).is_some_and(|token| token != "}") {
                    at = match self.tokens[at].as_str() {
                        "," => at + 1,
                        // The other name is no path.
                        "as" => at + 2,
                        _ => self.tree(at, &path, found).max(at + 1),
                    };
                }
                return at + 1;
            } else {
                break;
            }
        }
        if path.len() > prefix.len() && path.len() > 1 {
            found.push(path);
        }
        at
    }

    fn absolute(&self, path: &[String]) -> String {
        let mut here = self.module.clone();
        let mut rest = path;
        let mut relative = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => drop(here.pop()),
                _ => break,
            }
            relative = true;
            rest = after;
        }
        if !relative {
            return path.join("::");
        }
        let whole = std::iter::once("crate".to_owned())
            .chain(here)
            .chain(rest.iter().cloned());
        whole.collect::<Vec<_>>().join("::")
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The text without comments and without what stands in literals.
fn code(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = raw_string(rest) {
            end
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
            // A word is kept whole: the r of `for"` begins no raw string.
            let word = |c: char| c.is_alphanumeric() || c == '_';
            if word(first) {
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                kept.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            continue;
        };
        kept.push(' ');
        rest = &rest[skipped..];
    }
    kept
}

/// The end of a raw string, if one begins here.
fn raw_string(text: &str) -> Option<usize> {
    let opened = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = opened.len() - opened.trim_start_matches('#').len();
    let content = opened[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = content.find(&close)?;
    Some(text.len() - content.len() + end + close.len())
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A lifetime is no literal.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    let first = characters.next();
    first == Some('\\') || characters.next() == Some('\'')
}

/// The text before the module of tests that ends a file.
fn without_tests(code: &str) -> String {
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let rest = code[from + found + "#[cfg(test)]".len()..].trim_start();
        let header = rest.split(['{', ';']).next().unwrap_or_default();
        let inline =
            header.trim_start().starts_with("mod ") && rest[header.len()..].starts_with('{');
        if inline {
            return code[..from + found].to_owned();
        }
        from += found + 1;
    }
    code.to_owned()
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            tokens.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

#[test]
fn paths_are_found_wherever_they_stand_and_nowhere_else() {
    let text = r##"
        //! [`crate::commented`]
        use crate::{a::{self, B as Other}, c::*};
        use super::super::d;
        pub(super) fn f<'a>(x: &'a str) -> self::e::E {
            let _ = ("crate::text", r#"crate::raw""#, 'x', '\'');
            crate::g::h::<u8>(x)
        }
        #[cfg(test)]
        mod tests {
            use crate::tested::T;
        }
    "##;
    let mut paths = Source::new("x.rs", &["m", "n"], text).paths();
    paths.sort();
    let expected = [
        "crate::a::B",
        "crate::a::self",
        "crate::c::*",
        "crate::d",
        "crate::g::h",
        "crate::m::n::e::E",
    ];
    assert_eq!(paths, expected);
}
