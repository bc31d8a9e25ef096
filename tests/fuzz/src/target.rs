//! The targets. Each says what it gives to whom, and what must hold.

pub(crate) mod accept;
pub(crate) mod chain;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod forward;
pub(crate) mod generation;
pub(crate) mod identity;
pub(crate) mod list;
pub(crate) mod list_file;
pub(crate) mod pattern;
pub(crate) mod policy;
pub(crate) mod record;
pub(crate) mod redirect;
pub(crate) mod staple;
pub(crate) mod ticket;
pub(crate) mod trace;

use renewd_sample_api::file::FileError;

/// A refusal of a text names one of its lines (or the one after the last) in one line of its own.
fn names_its_place(error: &FileError, text: &str) {
    let FileError::Refused { line, reason, .. } = error else {
        panic!("not refused but unreadable: {error}");
    };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    assert!(
        (1..=lines).contains(line),
        "line {line} of {lines}: {error}"
    );
    assert!(
        !reason.is_empty() && !reason.contains(char::is_control),
        "{error:?}"
    );
}
