//! What is written of any program that an issuer runs.

use std::time::Duration;

use renewd_core::names::CredentialName;

use crate::table::values;
use crate::table::{Mismatch, Report, Section, clipped, twice};

use super::super::places::{self, LONGEST_PATH};

/// How long it may run where nothing else is written.
pub(in crate::issuer) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A program and its arguments, below that key.
pub(in crate::issuer) fn command(
    section: &Section<'_>,
    key: &str,
    report: &mut Report,
) -> Option<Vec<String>> {
    let raw = section.texts(key, report)?;
    let example = format!("{key} = [\"/usr/local/libexec/program\"]");
    let Some(program) = raw.value.first() else {
        raw.refuse(
            report,
            Mismatch::new(
                "is empty",
                "a program and its arguments",
                format!("write for example {example}"),
            ),
        );
        return None;
    };
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return None;
    }
    let before = report.errors.len();
    program.parse(report, |text| places::path(text, &example));
    for argument in &raw.value[1..] {
        argument.parse(report, |text| self::argument(text));
    }
    let right = report.errors.len() == before;
    right.then(|| raw.value.iter().map(|at| at.value.clone()).collect())
}

fn argument(text: &str) -> Result<(), Mismatch> {
    if text.len() <= LONGEST_PATH && !text.contains('\0') {
        return Ok(());
    }
    Err(Mismatch::new(
        format!("{:?} cannot be an argument", clipped(text)),
        format!("at most {LONGEST_PATH} bytes, none of them zero"),
        "shorten it, or put it into a file",
    ))
}

/// The names of the credentials that a program may read, below that key.
pub(in crate::issuer) fn credentials(
    section: &Section<'_>,
    key: &str,
    report: &mut Report,
) -> Vec<CredentialName> {
    let mut names = Vec::new();
    let Some(raw) = section.texts(key, report) else {
        return names;
    };
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return names;
    }
    for at in &raw.value {
        let Some(name) = at.parse(report, |text| credential(text)) else {
            continue;
        };
        if names.contains(&name.value) {
            at.refuse(report, twice(&at.value));
        } else {
            names.push(name.value);
        }
    }
    names
}

fn credential(text: &str) -> Result<CredentialName, Mismatch> {
    text.parse().map_err(|_| {
        Mismatch::new(
            format!("{:?} is no name of a credential", clipped(text)),
            "1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit",
            "write the name that stands before the colon in LoadCredential=",
        )
    })
}
