//! What systemd says of the configured units, and what is wrong with that.
//!
//! Shared by `check`, where a finding is an error of a file, and `doctor`, where it is one of the host.
//! Only reads; a unit is never told anything here.

use std::collections::BTreeMap;
use std::error::Error;

use renewd_core::names::UnitName;
use renewd_core::unit::{Activity, OnChange};

use crate::config::{DependentSettings, Location, Settings};
use crate::credentials::{SOCKET, SOCKET_UNIT};
use crate::units::{UnitFacts, Units, UnitsError};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Good to know.
    Note,
    /// It works now, and may not later.
    Warning,
    /// It does not work.
    Error,
}

/// What systemd said.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) facts: BTreeMap<UnitName, UnitFacts>,
    /// The socket that units load credentials from, where any does.
    pub(super) socket: Option<UnitFacts>,
    /// Units that systemd had no answer for.
    pub(super) unknown: BTreeMap<UnitName, String>,
    /// Why systemd could not be asked at all.
    pub(super) trouble: Option<String>,
}

/// A fault of a configured unit.
#[derive(Debug)]
pub(super) struct UnitFinding {
    pub(super) severity: Severity,
    pub(super) location: Location,
    pub(super) field: String,
    pub(super) what: String,
    pub(super) remedy: String,
}

/// Asks systemd about each configured unit, once.
pub(super) async fn look(settings: &Settings, units: &dyn Units) -> Seen {
    let mut seen = Seen::default();
    for (_, own) in settings.units() {
        let unit = &own.dependent.unit;
        if seen.facts.contains_key(unit) || seen.unknown.contains_key(unit) {
            continue;
        }
        match units.facts(unit).await {
            Ok(facts) => {
                seen.facts.insert(unit.clone(), facts);
            }
            Err(
                error
                @ (UnitsError::NoBus(_) | UnitsError::BusSilent(_) | UnitsError::NoSystemd(_)),
            ) => {
                // The next question would not fare better.
                seen.trouble = Some(chain(&error));
                break;
            }
            Err(error) => {
                seen.unknown.insert(unit.clone(), chain(&error));
            }
        }
    }
    let loads = |(_, own): (_, &DependentSettings)| own.credential.is_some();
    if seen.trouble.is_none()
        && settings.units().any(loads)
        && let Ok(unit) = SOCKET_UNIT.parse()
    {
        seen.socket = units.facts(&unit).await.ok();
    }
    seen
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What is wrong with the units as they are configured.
pub(super) fn judge(settings: &Settings, seen: &Seen) -> Vec<UnitFinding> {
    let mut findings = Vec::new();
    for (_, own) in settings.units() {
        let dependent = &own.dependent;
        let mut find = |severity, key: &str, what: String, remedy: String| {
            let unit = dependent.unit.as_str();
            findings.push(UnitFinding {
                severity,
                location: own.location.clone(),
                field: format!("unit.\"{unit}\"{key}"),
                what,
                remedy,
            });
        };
        if let Some(trouble) = seen.unknown.get(&dependent.unit) {
            find(
                Severity::Warning,
                "",
                format!("systemd cannot tell what {} is: {trouble}", dependent.unit),
                format!("see \"systemctl status {}\"", dependent.unit),
            );
        }
        let Some(facts) = seen.facts.get(&dependent.unit) else {
            continue;
        };
        one(
            dependent.unit.as_str(),
            dependent.on_change,
            facts,
            &mut find,
        );
        if facts.activity != Activity::Missing {
            credential(own, facts, seen.socket.as_ref(), &mut find);
        }
    }
    findings
}

fn one(
    unit: &str,
    on_change: OnChange,
    facts: &UnitFacts,
    find: &mut dyn FnMut(Severity, &str, String, String),
) {
    if facts.activity == Activity::Missing {
        let masked = facts.load_state == "masked";
        find(
            Severity::Warning,
            "",
            format!(
                "{unit} {}",
                if masked {
                    "is masked"
                } else {
                    "does not exist on this host"
                }
            ),
            if masked {
                format!("\"systemctl unmask {unit}\", or take it out of the file")
            } else {
                "correct its name, or install what it belongs to".to_owned()
            },
        );
        return;
    }
    if facts.is_umbrella {
        find(
            Severity::Warning,
            "",
            format!("{unit} only stands for other units: its jobs end well whatever those do"),
            format!(
                "name those that hold the certificate, such as {}",
                instance_of(unit)
            ),
        );
    }
    if on_change == OnChange::Reload && !facts.can_reload {
        find(
            Severity::Error,
            ".on_change",
            format!("{unit} cannot reload: it has no ExecReload="),
            "set on_change to \"restart\", or to \"none\" if it watches the directory itself"
                .to_owned(),
        );
    }
    if on_change == OnChange::Start && facts.service_type != "oneshot" {
        find(
            Severity::Error,
            ".on_change",
            format!("{unit} is no oneshot service, and \"start\" never starts a lasting one"),
            "set on_change to \"reload\" or \"restart\"".to_owned(),
        );
    }
    if facts.needs_daemon_reload {
        find(
            Severity::Warning,
            "",
            format!("the file of {unit} has changed, and systemd has not read it again"),
            "run \"systemctl daemon-reload\"".to_owned(),
        );
    }
    if facts.after.iter().any(|other| other == "renewd.service") {
        find(
            Severity::Warning,
            "",
            format!("{unit} is ordered after renewd.service, so its reload waits for renewd's own"),
            "take After=renewd.service out of it: published files are there before renewd starts"
                .to_owned(),
        );
    }
}

/// Whether the unit will get the credential that is meant for it.
fn credential(
    own: &DependentSettings,
    facts: &UnitFacts,
    socket: Option<&UnitFacts>,
    find: &mut dyn FnMut(Severity, &str, String, String),
) {
    let Some(credential) = &own.credential else {
        return;
    };
    let (unit, key) = (own.dependent.unit.as_str(), ".credential");
    if facts.canonical != unit {
        find(
            Severity::Error,
            key,
            format!(
                "{unit} is another name of {}, and systemd asks for credentials under that one",
                facts.canonical
            ),
            format!("write [unit.\"{}\"]", facts.canonical),
        );
    }
    let load = format!("LoadCredential={credential}:{SOCKET}");
    let known = (credential.as_str(), SOCKET);
    if !facts
        .credentials
        .iter()
        .any(|(name, path)| (name.as_str(), path.as_str()) == known)
    {
        find(
            Severity::Warning,
            key,
            format!("{unit} does not load it"),
            format!("\"systemctl edit {unit}\", and below [Service] write {load}"),
        );
    }
    if own.dependent.on_change == OnChange::Reload && !facts.refreshes_credentials {
        find(
            Severity::Error,
            ".on_change",
            format!("{unit} is given its credentials when it starts, and not when it reloads"),
            "set on_change to \"restart\"; or, where systemd knows it, set RefreshOnReload=credentials in the unit"
                .to_owned(),
        );
    }
    if let Some(socket) = socket.filter(|socket| socket.activity != Activity::Running) {
        find(
            Severity::Warning,
            key,
            format!(
                "{SOCKET_UNIT}, which it is loaded from, is {}",
                socket.active_state
            ),
            format!("\"systemctl enable {SOCKET_UNIT}\", then \"systemctl restart renewd\""),
        );
    }
}

/// An example of what to name instead of an umbrella unit.
fn instance_of(unit: &str) -> String {
    match unit {
        "postgresql.service" => "postgresql@15-main.service".to_owned(),
        other => match other.rsplit_once('.') {
            Some((stem, suffix)) => format!("{stem}@INSTANCE.{suffix}"),
            None => other.to_owned(),
        },
    }
}
