//! What is wrong with a configuration, and where.
//!
//! An error is complete in itself: an operator who reads its one line knows which line of which file
//! to change, and how. Later findings (a unit that cannot reload) use the same type.

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, as it was named to the loader.
    pub file: Arc<Path>,
    /// The line, counted from 1; `None` where the file as a whole is meant.
    pub line: Option<u32>,
}

impl Location {
    /// A whole file.
    pub fn whole(file: &Path) -> Self {
        Self {
            file: Arc::from(file),
            line: None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// The class of an error: a stable label for logs and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The file cannot be read: missing, a directory, too large, not UTF-8.
    Unreadable,
    /// The text is no TOML, or says a thing twice.
    Syntax,
    /// A key that does not exist.
    UnknownKey,
    /// A key that must be there.
    MissingKey,
    /// A value of another type.
    WrongType,
    /// A value of the right type that means nothing here.
    Value,
    /// A reference to an issuer that is not configured.
    Reference,
    /// A user or group that does not exist on this host.
    Account,
    /// Two things in one place.
    Conflict,
    /// A unit that cannot do what is asked of it.
    Unit,
}

impl ErrorKind {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown key",
            Self::MissingKey => "missing key",
            Self::WrongType => "wrong type",
            Self::Value => "value",
            Self::Reference => "reference",
            Self::Account => "account",
            Self::Conflict => "conflict",
            Self::Unit => "unit",
        }
    }
}

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Its class.
    pub kind: ErrorKind,
    /// Where it is.
    pub location: Location,
    /// The dotted path of the key, such as `unit."nginx.service".on_change`; empty for a whole file.
    pub field: String,
    /// What was found, as a clause: `"reloud" is not a way to tell a unit`.
    pub found: String,
    /// What was expected, as a noun phrase; may be empty.
    pub expected: String,
    /// What to do, as a request; may be empty.
    pub remedy: String,
}

/// Keys and values are shown as they stand in the file, but forge no line of a log and move no cursor.
struct Shown<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Shown<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|letter| match letter.is_control() {
                true => write!(self.0, "{}", letter.escape_default()),
                false => self.0.write_char(letter),
            })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = Shown(f);
        write!(f, "{}: ", self.location)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.found)?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Something that is allowed, and is likely not what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Where it is.
    pub location: Location,
    /// The dotted path of the key; empty for a whole file.
    pub field: String,
    /// What was found, as a clause.
    pub found: String,
    /// What to do, as a request.
    pub remedy: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = Shown(f);
        write!(f, "{}: ", self.location)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; {}", self.found, self.remedy)
    }
}

/// A value that does not fit, before its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Its class.
    pub kind: ErrorKind,
    /// What was found, as a clause.
    pub found: String,
    /// What was expected, as a noun phrase; may be empty.
    pub expected: String,
    /// What to do, as a request; may be empty.
    pub remedy: String,
}

impl Mismatch {
    /// A value of the right type that means nothing here.
    pub fn new(
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(ErrorKind::Value, found, expected, remedy)
    }

    /// One of that class.
    pub fn of(
        kind: ErrorKind,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
        }
    }

    /// The error in its place.
    pub fn at(self, location: Location, field: impl Into<String>) -> ConfigError {
        ConfigError {
            kind: self.kind,
            location,
            field: field.into(),
            found: self.found,
            expected: self.expected,
            remedy: self.remedy,
        }
    }
}

/// What reading has found so far. Reading goes on after an error, so that all are told at once.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub errors: Vec<ConfigError>,
    /// What is allowed and likely not meant.
    pub warnings: Vec<ConfigWarning>,
}

impl Report {
    /// Notes what is wrong at a place; `field` is the dotted path of the key.
    pub fn error(&mut self, location: &Location, field: impl Into<String>, mismatch: Mismatch) {
        self.errors.push(mismatch.at(location.clone(), field));
    }

    /// Notes what is likely not meant.
    pub fn warning(
        &mut self,
        location: &Location,
        field: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(ConfigWarning {
            location: location.clone(),
            field: field.into(),
            found: found.into(),
            remedy: remedy.into(),
        });
    }

    /// Adds what another one noted.
    pub fn append(&mut self, mut other: Self) {
        self.errors.append(&mut other.errors);
        self.warnings.append(&mut other.warnings);
    }

    /// In the order in which an operator reads: by file, then by line.
    pub fn sort(&mut self) {
        self.errors.sort_by(|a, b| a.location.cmp(&b.location));
        self.warnings.sort_by(|a, b| a.location.cmp(&b.location));
    }
}
