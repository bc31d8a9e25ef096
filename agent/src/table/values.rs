//! From texts to values, with their limits. Each function says what it found, what it expected and
//! what to do; the caller knows where.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::{At, clipped};
use super::error::{ErrorKind, Mismatch, Report};
use super::suggest::nearest;

/// One second.
pub const SECOND: Duration = Duration::from_secs(1);
/// One year, as `humantime` counts it: 365.25 days.
pub const YEAR: Duration = Duration::from_secs(31_557_600);

/// How long a job or a proof may take.
pub const TIMEOUT: RangeInclusive<Duration> = SECOND..=Duration::from_secs(3600);

/// A list's entries. More names would not fit what TLS clients take; more of anything is a mistake.
pub const MOST_ENTRIES: usize = 100;

/// The first entry beyond the limit.
pub fn too_many() -> Mismatch {
    Mismatch::new(
        format!("is entry {} of its list", MOST_ENTRIES + 1),
        format!("at most {MOST_ENTRIES} entries"),
        "split the list, or shorten it",
    )
}

/// The value of an optional key, or a note of why it is none.
pub fn parse<T, U>(
    at: &Option<At<T>>,
    report: &mut Report,
    parse: impl FnOnce(&T) -> Result<U, Mismatch>,
) -> Option<At<U>> {
    at.as_ref().and_then(|at| at.parse(report, parse))
}

/// The same value a second time in a list.
pub fn twice(text: &str) -> Mismatch {
    Mismatch::of(
        ErrorKind::Conflict,
        format!("{:?} stands twice", clipped(text)),
        "each once",
        "remove one of the two",
    )
}

/// One of a few words.
pub fn word<T: Copy>(text: &str, what: &str, words: &[(&'static str, T)]) -> Result<T, Mismatch> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let remedy = nearest(text, known.iter().copied())
        .map_or(String::new(), |near| format!("did you mean {near:?}?"));
    Err(Mismatch::new(
        format!("{:?} is no {what}", clipped(text)),
        format!("one of {}", known.join(", ")),
        remedy,
    ))
}

/// A duration in whole seconds, within its limits.
pub fn duration(text: &str, limits: &RangeInclusive<Duration>) -> Result<Duration, Mismatch> {
    let expected = || {
        format!(
            "a duration from {} to {}, in whole seconds",
            humantime::format_duration(*limits.start()),
            humantime::format_duration(*limits.end()),
        )
    };
    let found = clipped(text);
    let duration = humantime::parse_duration(text).map_err(|error| {
        Mismatch::new(
            format!("{found:?} is no duration ({error})"),
            expected(),
            "write a number with its unit (s, m, h, d, w, y), such as \"24h\" or \"1h 30m\"",
        )
    })?;
    let off = if duration.subsec_nanos() != 0 {
        "not in whole seconds"
    } else if duration < *limits.start() {
        "too short"
    } else if duration > *limits.end() {
        "too long"
    } else {
        return Ok(duration);
    };
    Err(Mismatch::new(
        format!("{found:?} is {off}"),
        expected(),
        "choose a duration within these limits",
    ))
}

/// What to do about a text that is no name that a certificate can have.
pub fn name_remedy(text: &str) -> &'static str {
    if text.contains("://") && !text.starts_with("spiffe://") {
        "leave out the scheme: a name is no URL"
    } else if text.starts_with("spiffe://") {
        "write spiffe://TRUST-DOMAIN/PATH, the domain in lower case, without a slash at the end"
    } else if text.ends_with('.') {
        "leave out the dot at the end"
    } else if text.contains(':') || text.contains('/') {
        "leave out port, prefix and path"
    } else if !text.is_ascii() {
        "write the name as DNS has it (xn--…)"
    } else {
        "correct the name"
    }
}
