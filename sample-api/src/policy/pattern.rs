//! The patterns of a policy: callers and paths.
//!
//! Owns: what matches. `*` is one whole part, `**` at the end is all that follows; there is no other magic, so a
//! pattern can be read aloud.

use std::str::FromStr;

use crate::identity::{Identity, Kind};

/// A pattern of callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callers {
    /// `*`: everybody with an identity.
    All,
    /// `scheme://authority/segment/*`: scheme and authority as they are written.
    Uri {
        /// With the `://` in it.
        origin: String,
        /// What follows, without the slash in front; none where the URI ends with the authority.
        path: Option<Segments>,
    },
    /// `dns:host.example` or `dns:*.example`.
    Dns {
        /// Whether the first label may be any.
        below: bool,
        /// In lower case.
        name: String,
    },
    /// `cn:Common Name`, as it is written.
    Cn(String),
}

impl Callers {
    /// Whether the caller is one of these.
    pub fn include(&self, identity: &Identity) -> bool {
        match (self, identity.kind) {
            (Self::All, _) => true,
            (Self::Uri { origin, path }, Kind::Uri) => {
                match (identity.name.strip_prefix(origin.as_str()), path) {
                    (Some(""), None) => true,
                    (Some(rest), Some(path)) => rest
                        .strip_prefix('/')
                        .is_some_and(|rest| path.match_names(rest)),
                    _ => false,
                }
            }
            (Self::Dns { below: false, name }, Kind::Dns) => identity.name == *name,
            (Self::Dns { below: true, name }, Kind::Dns) => {
                let parts = identity.name.split_once('.');
                parts.is_some_and(|(label, rest)| !label.is_empty() && rest == name)
            }
            (Self::Cn(name), Kind::Cn) => identity.name == *name,
            _ => false,
        }
    }
}

impl FromStr for Callers {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(name) = text.strip_prefix("cn:") {
            return match name.trim() == name && !name.is_empty() && !name.contains('*') {
                true => Ok(Self::Cn(name.to_owned())),
                false => Err(NotAPattern::CommonName),
            };
        }
        if let Some(name) = text.strip_prefix("dns:") {
            let below = name.strip_prefix("*.");
            let name = below.unwrap_or(name).to_ascii_lowercase();
            let label = |label: &str| {
                let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                !label.is_empty() && label.bytes().all(word)
            };
            return match name.split('.').all(label) {
                true => Ok(Self::Dns {
                    below: below.is_some(),
                    name,
                }),
                false => Err(NotAPattern::Dns),
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(NotAPattern::Unknown)?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let literal = |text: &str| {
            !text.is_empty()
                && !text.contains('*')
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !literal(scheme) || !literal(authority) {
            return Err(NotAPattern::Authority);
        }
        Ok(Self::Uri {
            origin: format!("{scheme}://{authority}"),
            path: path.map(Segments::of).transpose()?,
        })
    }
}

/// A pattern of request paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Segments);

impl Paths {
    /// `/**`.
    pub fn all() -> Self {
        Self(Segments {
            parts: Vec::new(),
            deep: true,
        })
    }

    /// Whether the path is one of these. What is not [`is_plain`] must not be asked about.
    pub fn include(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return self.0.deep && self.0.parts.is_empty();
        };
        self.0.matches(rest, |part| !part.is_empty(), true)
    }
}

impl FromStr for Paths {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let rest = text.strip_prefix('/').ok_or(NotAPattern::Path)?;
        let segments = Segments::of(rest)?;
        // A star stands for something, and any word will do.
        let word = |part| {
            if matches!(part, "*" | "**") {
                "x"
            } else {
                part
            }
        };
        let example: Vec<&str> = text.split('/').map(word).collect();
        match is_plain(&example.join("/")) {
            true => Ok(Self(segments)),
            false => Err(NotAPattern::Path),
        }
    }
}

/// Parts between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// None is `*`.
    parts: Vec<Option<String>>,
    /// Ends with `**`.
    deep: bool,
}

impl Segments {
    fn of(text: &str) -> Result<Self, NotAPattern> {
        let mut parts: Vec<&str> = text.split('/').collect();
        let deep = parts.last() == Some(&"**");
        if deep {
            parts.pop();
        }
        let part = |part: &str| match part {
            "*" => Ok(None),
            part if part.contains('*') || !part.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(NotAPattern::Star)
            }
            part => Ok(Some(part.to_owned())),
        };
        Ok(Self {
            parts: parts.into_iter().map(part).collect::<Result<_, _>>()?,
            deep,
        })
    }

    /// For names: what a star stands for is plain (the characters of a SPIFFE ID), and `**` stands for one part at least.
    fn match_names(&self, text: &str) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let plain =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(word);
        self.matches(text, plain, false)
    }

    fn matches(&self, text: &str, star: impl Fn(&str) -> bool, nothing: bool) -> bool {
        let mut given = text.split('/');
        for (index, part) in self.parts.iter().enumerate() {
            let matched = given.next().is_some_and(|given| match part {
                Some(part) => part == given,
                None => star(given),
            });
            if !matched {
                return false;
            }
            // `/orders/**` is `/orders` too.
            if nothing
                && self.deep
                && index + 1 == self.parts.len()
                && given.clone().next().is_none()
            {
                return true;
            }
        }
        match self.deep {
            false => given.next().is_none(),
            true if nothing => true,
            true => {
                let mut rest = given.peekable();
                rest.peek().is_some() && rest.all(star)
            }
        }
    }
}

/// Whether a path means the same to everybody who reads it: no empty or dot segments (nor ones that are when parameters
/// are cut off, as in `/.;a/`), nothing encoded that would make one, no backslash, nothing encoded that is no UTF-8. An
/// application behind us might clean up what we had compared as it stood.
pub fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if (segment.is_empty() && !last)
            || (!segment.is_empty() && is_empty_or_dot(segment))
            || segment.starts_with("..")
            || !is_plain_segment(segment)
        {
            return false;
        }
    }
    true
}

/// Without its parameters, and without what some take for a parameter.
fn is_empty_or_dot(segment: &str) -> bool {
    let rest = segment.strip_prefix('.').unwrap_or(segment).as_bytes();
    matches!(rest, [] | [b';', ..] | [b'%', b'3', b'b' | b'B', ..])
}

fn is_plain_segment(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    // What was encoded; a letter in between ends a character that is not whole.
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return false;
                };
                let byte = (high * 16 + low) as u8;
                if byte.is_ascii_control() || b"/\\.%".contains(&byte) {
                    return false;
                }
                decoded.push(byte);
                at += 3;
            }
            b'\\' => return false,
            byte if byte.is_ascii_control() => return false,
            byte => {
                if !decoded.is_empty() {
                    decoded.push(byte);
                }
                at += 1;
            }
        }
    }
    // `%c0%ae` is a dot to those who do not look closely.
    std::str::from_utf8(&decoded).is_ok()
}

/// What is wrong with a pattern, and what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPattern {
    /// No known kind.
    #[error(
        "callers are written as in \"spiffe://example.internal/web/*\", \"dns:web.example\", \"cn:Web\" or \"*\""
    )]
    Unknown,
    /// A star where none may be.
    #[error(
        "a `*` stands for one whole part between slashes, and `**` for all parts at the end; nothing else"
    )]
    Star,
    /// A star in the scheme or the authority.
    #[error("scheme and authority of a URI are written out, without `*`")]
    Authority,
    /// Not a DNS name.
    #[error("a DNS name is written as in \"dns:web.example\" or \"dns:*.example\"")]
    Dns,
    /// Not a common name.
    #[error("a common name is written out, without `*` and without spaces around it")]
    CommonName,
    /// Not a path.
    #[error("a path begins with `/` and has no empty, dot or encoded segments")]
    Path,
}
