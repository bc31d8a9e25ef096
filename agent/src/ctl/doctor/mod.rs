//! `doctor`: looks at the host as a whole, and says what to do about what it finds.
//!
//! Owns: the list of checks, and how findings are told. Changes nothing. What has to be asked of others
//! is gathered first; each check is then a function over it. A check that cannot look says so: silence
//! means that it looked.

mod dependents;
mod files;
mod host;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use nix::unistd::{Uid, User};
use renewd_core::names::CertificateName;
use serde::Serialize;

use super::Places;
use super::dependents::{Seen, Severity, look};
use super::failure::{Code, Failure};
use super::output::{Output, Tone};
use crate::config::{self, Environment, Loaded};
use crate::control::client::{ClientError, StatusClient};
use crate::control::report::StatusReport;
use crate::kinds::KINDS;
use crate::polkit;
use crate::probe::ProbeTarget;
use crate::units::Units;

/// Where the host's own facts are found; another place in tests.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
    #[arg(long, hide = true, value_name = "FILE", default_value = polkit::RULE_FILE)]
    pub(super) rule_file: PathBuf,
    #[arg(long, hide = true, value_name = "FILE", default_value = super::apply::DIGEST_FILE)]
    pub(super) digest_file: PathBuf,
    #[arg(
        long,
        hide = true,
        value_name = "FILE",
        default_value = "/run/systemd/timesync/synchronized"
    )]
    pub(super) synchronized_file: PathBuf,
}

/// Something that a check found.
#[derive(Debug, Serialize)]
struct Finding {
    /// The check's name.
    check: &'static str,
    severity: Severity,
    /// What it is about: a certificate, a unit, a file.
    subject: String,
    what: String,
    /// Empty for what is only good to know.
    remedy: String,
}

/// Everything that the checks look at.
struct Patient<'a> {
    places: &'a Places,
    options: &'a Options,
    loaded: Loaded,
    seen: Seen,
    /// What came of connecting to each probed address.
    addresses: BTreeMap<ProbeTarget, Result<(), String>>,
    status: Result<StatusReport, ClientError>,
    /// The names that the daemon asks for, by certificate; of one that it does not know there are none.
    asked_for: BTreeMap<CertificateName, Option<Vec<String>>>,
    /// The user that the daemon runs as: the owner of what it keeps.
    daemon: Option<User>,
    /// Whether some service keeps the clock right; `None` when nobody can tell.
    synchronized: Option<bool>,
    built: Option<SystemTime>,
    now: Timestamp,
}

type Check = fn(&Patient<'_>) -> Vec<Finding>;

const CHECKS: [(&str, Check); 11] = [
    ("configuration", host::configuration),
    ("daemon", host::daemon),
    ("configuration in force", host::in_force),
    ("certificates", host::certificates),
    ("permissions", files::permissions),
    ("secrets", secrets::secrets),
    ("polkit rule", host::polkit_rule),
    ("units", dependents::units),
    ("probe addresses", dependents::addresses),
    ("clock", host::clock),
    ("control socket", host::control_socket),
];

#[derive(Serialize)]
struct Report<'a> {
    checks: Vec<&'static str>,
    findings: &'a [Finding],
}

/// Runs every check. Fails when one finds an error.
pub(super) async fn doctor(
    places: &Places,
    options: &Options,
    units: &dyn Units,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let patient = gather(places, options, units).await;
    let found: Vec<Finding> = CHECKS
        .iter()
        .flat_map(|(_, check)| check(&patient))
        .collect();
    if options.json {
        let checks = CHECKS.iter().map(|(name, _)| *name).collect();
        out.json(&Report {
            checks,
            findings: &found,
        })?;
    } else {
        for (name, _) in CHECKS {
            print(out, name, &found)?;
        }
    }
    if found
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Err(Failure::told(Code::Negative));
    }
    Ok(())
}

async fn gather<'a>(places: &'a Places, options: &'a Options, units: &dyn Units) -> Patient<'a> {
    let loaded = config::load(&places.config, &Environment::of_this_host(KINDS));
    let seen = look(&loaded.settings, units).await;
    let mut asked_for = BTreeMap::new();
    let status = async {
        let mut client = StatusClient::connect(&places.runtime).await?;
        let status = client.status().await?;
        for name in loaded.settings.certificates.keys() {
            let names = match client.show(name.as_str()).await {
                Ok(detail) => Some(detail.names),
                Err(ClientError::Status(_)) => None,
                Err(error) => return Err(error),
            };
            asked_for.insert(name.clone(), names);
        }
        Ok(status)
    };
    let status = status.await;
    let owner = std::fs::metadata(places.state.join("store")).ok();
    let owner = owner.map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
    Patient {
        addresses: dependents::connect_all(&loaded.settings).await,
        status,
        asked_for,
        daemon: owner.and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten()),
        synchronized: host::synchronized(&options.synchronized_file).await,
        built: host::built(),
        now: Timestamp::now(),
        loaded,
        seen,
        places,
        options,
    }
}

fn print(out: &mut Output<'_>, check: &str, found: &[Finding]) -> std::io::Result<()> {
    let mut found: Vec<&Finding> = found.iter().filter(|own| own.check == check).collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if found
        .iter()
        .all(|finding| finding.severity == Severity::Note)
    {
        let word = out.tone(Tone::Good, "ok     ");
        out.raw(&format!("{word}  {check}\n"))?;
    }
    for finding in found {
        let (word, tone) = match finding.severity {
            Severity::Error => ("error  ", Tone::Bad),
            Severity::Warning => ("warning", Tone::Notice),
            Severity::Note => ("note   ", Tone::Plain),
        };
        let word = out.tone(tone, word);
        let text = format!("{}: {}", finding.subject, finding.what);
        out.raw(&format!(
            "{word}  {check}: {}\n",
            super::output::printable(&text)
        ))?;
        if !finding.remedy.is_empty() {
            out.line(&format!("         {}", finding.remedy))?;
        }
    }
    Ok(())
}

/// The findings of one check.
struct Findings {
    check: &'static str,
    found: Vec<Finding>,
}

impl Findings {
    fn of(check: &'static str) -> Self {
        Self {
            check,
            found: Vec::new(),
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        subject: impl ToString,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.found.push(Finding {
            check: self.check,
            severity,
            subject: subject.to_string(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn error(
        &mut self,
        subject: impl ToString,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Error, subject, what, remedy);
    }

    fn warning(
        &mut self,
        subject: impl ToString,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Warning, subject, what, remedy);
    }

    fn note(&mut self, subject: impl ToString, what: impl Into<String>) {
        self.add(Severity::Note, subject, what, "");
    }
}
