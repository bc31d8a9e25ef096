//! `[issuer.NAME]` with `type = "exec"`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use renewd_core::names::CredentialName;

use crate::issuer::exec::ExecSettings;

use super::common::{parse, twice};
use super::document::clipped;
use super::error::{ErrorKind, Mismatch, Report};
use super::raw::{RawExec, RawIssuer, RawList};
use super::values::{self, TIMEOUT};

/// Longer than any path or argument that somebody wrote down.
const LONGEST: usize = 4096;
/// Of an answer; more would be no answer.
const OUTPUT: RangeInclusive<i64> = 1024..=16 * 1024 * 1024;
const DEFAULT_OUTPUT: usize = 1024 * 1024;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Judges the keys; `None` where the command or its roots are missing or wrong.
pub(super) fn read(raw: &RawIssuer, report: &mut Report) -> Option<ExecSettings> {
    let exec = &raw.exec;
    for (given, key, expected, example) in [
        (
            exec.command_given,
            "command",
            "a program and its arguments",
            "[\"/usr/local/libexec/issue\"]",
        ),
        (
            exec.trust_given,
            "trust",
            "the file with the CA's roots",
            "\"/etc/renewd/roots.pem\"",
        ),
    ] {
        if !given {
            report.error(
                &raw.name.location,
                format!("{}.{key}", raw.name.field),
                Mismatch::of(
                    ErrorKind::MissingKey,
                    "is missing",
                    expected,
                    format!("write for example {key} = {example}"),
                ),
            );
        }
    }
    let command = exec.command.as_ref().and_then(|raw| command(raw, report));
    let trust = parse(&exec.trust, report, |text| {
        path(text, "trust = \"/etc/renewd/roots.pem\"")
    });
    let credentials = credentials(exec, report);
    let timeout = parse(&exec.timeout, report, |text| {
        values::duration(text, &TIMEOUT)
    });
    let output_limit = parse(&exec.output_limit, report, output_limit);
    Some(ExecSettings {
        command: command?,
        trust: trust?.value,
        credentials,
        timeout: timeout.map_or(DEFAULT_TIMEOUT, |at| at.value),
        output_limit: output_limit.map_or(DEFAULT_OUTPUT, |at| at.value),
    })
}

fn command(raw: &RawList, report: &mut Report) -> Option<Vec<String>> {
    const EXAMPLE: &str = "command = [\"/usr/local/libexec/issue\"]";
    let Some(program) = raw.value.first() else {
        raw.refuse(
            report,
            Mismatch::new(
                "is empty",
                "a program and its arguments",
                format!("write for example {EXAMPLE}"),
            ),
        );
        return None;
    };
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return None;
    }
    let before = report.errors.len();
    program.parse(report, |text| path(text, EXAMPLE));
    for argument in &raw.value[1..] {
        argument.parse(report, |text| self::argument(text));
    }
    let right = report.errors.len() == before;
    right.then(|| raw.value.iter().map(|at| at.value.clone()).collect())
}

fn path(text: &str, example: &str) -> Result<PathBuf, Mismatch> {
    if text.starts_with('/') && text.len() <= LONGEST && !text.contains('\0') {
        return Ok(text.into());
    }
    Err(Mismatch::new(
        format!("{:?} is no absolute path", clipped(text)),
        "a path that begins with a slash",
        format!("write for example {example}"),
    ))
}

fn argument(text: &str) -> Result<(), Mismatch> {
    if text.len() <= LONGEST && !text.contains('\0') {
        return Ok(());
    }
    Err(Mismatch::new(
        format!("{:?} cannot be an argument", clipped(text)),
        format!("at most {LONGEST} bytes, none of them zero"),
        "shorten it, or put it into a file",
    ))
}

fn credentials(exec: &RawExec, report: &mut Report) -> Vec<CredentialName> {
    let mut names = Vec::new();
    let Some(raw) = &exec.credentials else {
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

fn output_limit(number: &i64) -> Result<usize, Mismatch> {
    let within = OUTPUT.contains(number).then_some(*number);
    within
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| {
            Mismatch::new(
                format!("{number} is beyond the limits"),
                format!("{} to {} (bytes)", OUTPUT.start(), OUTPUT.end()),
                format!("remove the key for {DEFAULT_OUTPUT}"),
            )
        })
}
