//! Files that an operator writes in TOML: how they are read, and how a refusal names its place.
//!
//! Owns: the words for a file that is missing or wrong. Neighbours: [`crate::config`] and [`crate::policy`] know what may
//! stand in them.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}:{line}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong, with the key's name.
        reason: String,
    },
}

/// A text and its file's name, which is for messages only.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// What stands in it.
    ///
    /// # Errors
    ///
    /// When it is no TOML, or not of this shape.
    pub(crate) fn parse<T: DeserializeOwned>(self) -> Result<T, FileError> {
        toml::from_str(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.refuse(at, error.message())
        })
    }

    /// A refusal of what stands at a byte.
    pub(crate) fn refuse(self, at: usize, reason: impl Into<String>) -> FileError {
        let before = self.text.bytes().take(at);
        FileError::Refused {
            path: self.path.to_owned(),
            line: before.filter(|byte| *byte == b'\n').count() + 1,
            // Keys and values of the file stand in it: they forge no line of a log.
            reason: reason.into().chars().flat_map(shown).collect(),
        }
    }
}

fn shown(letter: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = match letter.is_control() {
        true => (None, Some(letter.escape_default())),
        false => (Some(letter), None),
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// The text of a file.
///
/// # Errors
///
/// [`FileError::Unreadable`], also when it is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    })
}
