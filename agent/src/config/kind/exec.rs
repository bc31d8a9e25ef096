//! `[issuer.NAME]` with `type = "exec"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use renewd_core::names::CredentialName;

use crate::issuer::exec::ExecSettings;

use super::super::common::{parse, twice};
use super::super::document::clipped;
use super::super::error::{Mismatch, Report};
use super::super::places::{self, LONGEST_PATH};
use super::super::raw::RawList;
use super::super::schema::{Schema, key};
use super::super::settings::IssuerKind;
use super::super::values::{self, TIMEOUT};
use super::super::walk::Section;
use super::Kind;

/// Of an answer; more would be no answer.
const OUTPUT: RangeInclusive<i64> = 1024..=16 * 1024 * 1024;
const DEFAULT_OUTPUT: usize = 1024 * 1024;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) const KIND: Kind = Kind {
    name: "exec",
    schema: &SCHEMA,
    told_by: "command",
    for_clients: true,
    read,
    judge: |_, _, _| {},
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME] with type = \"exec\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"exec\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"exec\""),
        key(
            "command",
            "a list of a program and its arguments",
            "[\"/usr/local/libexec/issue\"]",
        ),
        key("trust", "a path in quotes", "\"/etc/renewd/roots.pem\""),
        key(
            "credentials",
            "a list of credentials' names",
            "[\"ca-password\"]",
        ),
        key("timeout", "a duration in quotes", "\"60s\""),
        key("output_limit", "a whole number", "1048576"),
    ],
    aliases: &[
        ("credential", "credentials"),
        ("argv", "command"),
        ("exec", "command"),
        ("program", "command"),
        ("roots", "trust"),
        ("deadline", "timeout"),
    ],
};

fn read(section: &Section<'_>, report: &mut Report) -> Option<IssuerKind> {
    section.need(
        "command",
        "a program and its arguments",
        "command = [\"/usr/local/libexec/issue\"]",
        report,
    );
    section.need(
        "trust",
        "the file with the CA's roots",
        "trust = \"/etc/renewd/roots.pem\"",
        report,
    );
    let command = section
        .texts("command", report)
        .and_then(|raw| command(&raw, report));
    let trust = parse(&section.text("trust", report), report, |text| {
        places::path(text, "trust = \"/etc/renewd/roots.pem\"")
    });
    let credentials = credentials(section, report);
    let timeout = parse(&section.text("timeout", report), report, |text| {
        values::duration(text, &TIMEOUT)
    });
    let output_limit = parse(
        &section.integer("output_limit", report),
        report,
        output_limit,
    );
    Some(IssuerKind::Exec(ExecSettings {
        command: command?,
        trust: trust?.value,
        credentials,
        timeout: timeout.map_or(DEFAULT_TIMEOUT, |at| at.value),
        output_limit: output_limit.map_or(DEFAULT_OUTPUT, |at| at.value),
    }))
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
    program.parse(report, |text| places::path(text, EXAMPLE));
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

fn credentials(section: &Section<'_>, report: &mut Report) -> Vec<CredentialName> {
    let mut names = Vec::new();
    let Some(raw) = section.texts("credentials", report) else {
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
