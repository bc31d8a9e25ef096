//! `[issuer.NAME]` with `type = "exec"`.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use renewd_core::pem;

use crate::table::values::{self, TIMEOUT, parse};
use crate::table::{Mismatch, Report, Schema, Section, key};

use super::super::kind::{Configured, Home, Kind};
use super::super::program::{ProgramSettings, keys as program};
use super::super::{IssueError, Issuer, places};
use super::{ExecIssuer, ExecSettings};

/// Of an answer; more would be no answer.
const OUTPUT: RangeInclusive<i64> = 1024..=16 * 1024 * 1024;
const DEFAULT_OUTPUT: usize = 1024 * 1024;

/// Programs.
pub const KIND: Kind = Kind {
    name: "exec",
    schema: &SCHEMA,
    told_by: "command",
    for_clients: true,
    sockets: &[],
    read,
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

impl Configured for ExecSettings {
    fn make(&self, home: Home) -> Rc<dyn Issuer> {
        Rc::new(ExecIssuer::new(self.clone(), home.surroundings))
    }

    fn root_pem(&self, home: &Home) -> Result<String, IssueError> {
        let roots = ExecIssuer::roots(&self.trust, home.surroundings.owner)?;
        Ok(pem::certificates(&roots))
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
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
    let command = program::command(section, "command", report);
    let trust = parse(&section.text("trust", report), report, |text| {
        places::path(text, "trust = \"/etc/renewd/roots.pem\"")
    });
    let credentials = program::credentials(section, "credentials", report);
    let timeout = parse(&section.text("timeout", report), report, |text| {
        values::duration(text, &TIMEOUT)
    });
    let output_limit = parse(
        &section.integer("output_limit", report),
        report,
        output_limit,
    );
    Some(Arc::new(ExecSettings {
        program: ProgramSettings {
            command: command?,
            credentials,
            timeout: timeout.map_or(program::DEFAULT_TIMEOUT, |at| at.value),
            output_limit: output_limit.map_or(DEFAULT_OUTPUT, |at| at.value),
        },
        trust: trust?.value,
    }))
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
