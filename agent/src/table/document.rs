//! A file as a spanned TOML document: its syntax errors, its values with their places, and how they
//! are shown to a person.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{ErrorKind, Location, Mismatch, Report};
use super::source::Source;

/// A value with its place.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub location: Location,
    /// The dotted path.
    pub field: String,
}

impl<T> At<T> {
    /// Another value in the same place.
    pub fn with<U>(&self, value: U) -> At<U> {
        At {
            value,
            location: self.location.clone(),
            field: self.field.clone(),
        }
    }

    /// Notes that the value does not fit.
    pub fn refuse(&self, report: &mut Report, mismatch: Mismatch) {
        report.error(&self.location, self.field.clone(), mismatch);
    }

    /// Notes that the value is likely not meant.
    pub fn warn(&self, report: &mut Report, found: &str, remedy: &str) {
        report.warning(&self.location, self.field.clone(), found, remedy);
    }

    /// The value in its proper type, or a note of why there is none.
    pub fn parse<U>(
        &self,
        report: &mut Report,
        parse: impl FnOnce(&T) -> Result<U, Mismatch>,
    ) -> Option<At<U>> {
        match parse(&self.value) {
            Ok(value) => Some(self.with(value)),
            Err(mismatch) => {
                self.refuse(report, mismatch);
                None
            }
        }
    }
}

/// Parses a file; `None` where nothing in it can be trusted to stand where it seems to stand.
pub fn document<'a>(source: &'a Source, report: &mut Report) -> Option<Spanned<DeTable<'a>>> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let mut trusted = true;
    for error in errors {
        let location = error.span().map_or_else(
            || Location::whole(source.file()),
            |span| source.location(span.start),
        );
        let twice = error.message() == "duplicate key";
        // What follows a broken line may have slipped into another table; after a key that
        // stands twice everything else is where it seems to be.
        trusted &= twice;
        let text = |span: Range<usize>| source.text().get(span).unwrap_or_default().to_owned();
        let (field, mismatch) = if twice {
            (
                error.span().map(text).unwrap_or_default(),
                Mismatch::of(
                    ErrorKind::Syntax,
                    "stands twice",
                    "each key once",
                    "remove one of the two",
                ),
            )
        } else {
            (
                String::new(),
                Mismatch::of(
                    ErrorKind::Syntax,
                    format!("is no TOML: {}", error.message()),
                    "",
                    "correct the line, or the one above it; texts stand in double quotes",
                ),
            )
        };
        report.error(&location, field, mismatch);
    }
    trusted.then_some(table)
}

/// A dotted path as TOML would write it.
pub(super) fn dotted(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let key = if bare {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {:?}", clipped(text)),
        DeValue::Integer(number) => format!("the number {}", clipped(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", clipped(&number.to_string())),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(time) => format!("the date {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A found value must fit on the error's line.
pub fn clipped(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A number beyond 64 bits is beyond every limit here, too.
pub(super) fn saturating(number: &DeInteger<'_>) -> i64 {
    i64::from_str_radix(number.as_str(), number.radix()).unwrap_or({
        if number.as_str().starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        }
    })
}
