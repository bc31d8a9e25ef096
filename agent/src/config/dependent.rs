//! `[unit."NAME"]`: a unit that depends on a certificate.

use std::time::Duration;

use renewd_core::names::{CredentialName, UnitName};
use renewd_core::request::Usages;
use renewd_core::unit::{Dependent, OnChange};

use crate::credentials::LONGEST_NAMES;
use crate::probe::ProbeTarget;
use crate::table::values::parse;
use crate::table::{At, ErrorKind, Mismatch, Report, clipped, twice};

use super::raw::RawUnit;
use super::settings::DependentSettings;
use super::values;

const RELOAD_TIMEOUT: Duration = Duration::from_secs(90);
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Judges one unit of a certificate with these usages.
pub(super) fn read(
    raw: &RawUnit,
    usages: Usages,
    report: &mut Report,
) -> Option<DependentSettings> {
    let unit = raw.name.parse(report, |text| unit_name(text));
    let told = parse(&raw.on_change, report, |text| values::on_change(text));
    let credential = credential(raw, unit.as_ref(), report);
    // A unit is given its credentials when it starts, so a reload alone would bring it nothing.
    let default = match raw.credential {
        Some(_) => OnChange::Restart,
        None => OnChange::Reload,
    };
    let on_change = told.as_ref().map_or(default, |at| at.value);
    if let (Some(told), Some(unit)) = (&told, &unit)
        && on_change == OnChange::SignalHup
        && !unit.value.as_str().ends_with(".service")
    {
        told.refuse(
            report,
            Mismatch::of(
                ErrorKind::Unit,
                format!("{} has no main process to signal", unit.value),
                "a service",
                "name the service itself, or choose another on_change",
            ),
        );
    }
    let probes = probes(raw, usages, report);
    let wave = parse(&raw.order, report, |number| values::order(*number));
    let timeout = |text: &String| values::duration(text, &values::TIMEOUT);
    let reload_timeout = parse(&raw.reload_timeout, report, timeout);
    let probe_timeout = parse(&raw.probe_timeout, report, timeout);
    warn(raw, on_change, report);
    Some(DependentSettings {
        dependent: Dependent {
            unit: unit?.value,
            on_change,
            probed: !probes.is_empty(),
            wave: wave.map_or(0, |at| at.value),
        },
        probes,
        credential,
        reload_timeout: reload_timeout.map_or(RELOAD_TIMEOUT, |at| at.value),
        probe_timeout: probe_timeout.map_or(PROBE_TIMEOUT, |at| at.value),
        location: raw.name.location.clone(),
    })
}

fn unit_name(text: &str) -> Result<UnitName, Mismatch> {
    text.parse().map_err(|_| {
        Mismatch::new(
            format!("{:?} is no unit name", clipped(text)),
            "a unit's full name, such as \"nginx.service\", in quotes",
            if text.contains("@.") {
                "name an instance, such as \"postgresql@15-main.service\""
            } else if text.contains('.') {
                "services, sockets, targets and timers can be named"
            } else {
                "add the suffix, and quotes because of its dot: [unit.\"NAME.service\"]"
            },
        )
    })
}

fn credential(
    raw: &RawUnit,
    unit: Option<&At<UnitName>>,
    report: &mut Report,
) -> Option<CredentialName> {
    let at = raw.credential.as_ref()?;
    let credential = at.parse(report, |text| {
        text.parse::<CredentialName>().map_err(|_| {
            Mismatch::new(
                format!("{:?} is no credential's name", clipped(text)),
                "1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit",
                "write the name that stands before the colon in LoadCredential=, such as \"tls.pem\"",
            )
        })
    })?;
    let unit = unit?.value.as_str();
    if !unit.ends_with(".service") {
        at.refuse(
            report,
            Mismatch::of(
                ErrorKind::Unit,
                format!("{unit} is no service"),
                "a service, which alone loads credentials",
                "name the service itself, or remove the key",
            ),
        );
    }
    let length = unit.len() + credential.value.as_str().len();
    if length > LONGEST_NAMES {
        at.refuse(
            report,
            Mismatch::new(
                format!("is, with the unit's name, {length} bytes long"),
                format!("at most {LONGEST_NAMES}, or systemd cannot ask for it"),
                "choose a shorter name for the credential",
            ),
        );
    }
    Some(credential.value)
}

fn probes(raw: &RawUnit, usages: Usages, report: &mut Report) -> Vec<ProbeTarget> {
    let mut probes = Vec::new();
    let Some(list) = &raw.probe else {
        return probes;
    };
    if list.value.is_empty() {
        list.refuse(
            report,
            Mismatch::new(
                "is empty",
                "at least one address",
                "remove the key where nothing can be probed",
            ),
        );
    } else if !usages.server {
        list.refuse(
            report,
            Mismatch::of(
                ErrorKind::Conflict,
                "stands beside a usage without server",
                "a certificate for servers, as a probe verifies one",
                "add \"server\" to usage, or remove the probe",
            ),
        );
    }
    if let Some(at) = list.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return probes;
    }
    for at in &list.value {
        let Some(probe) = at.parse(report, |text| values::probe_target(text)) else {
            continue;
        };
        if probes.contains(&probe.value) {
            at.refuse(report, twice(&at.value));
        } else {
            probes.push(probe.value);
        }
    }
    probes
}

fn warn(raw: &RawUnit, on_change: OnChange, report: &mut Report) {
    let silent = on_change == OnChange::None;
    if let (Some(at), OnChange::SignalHup) = (&raw.credential, on_change) {
        report.warning(
            &at.location,
            at.field.clone(),
            "is given when the unit starts, so a signal brings it nothing new",
            "set on_change = \"restart\"",
        );
    }
    if silent && raw.probe.is_none() {
        report.warning(
            &raw.name.location,
            raw.name.field.clone(),
            "can be neither told nor probed, so it stays unobservable",
            "add a probe, or an on_change",
        );
    }
    let idle = [
        (silent, &raw.reload_timeout, "nothing is told to the unit"),
        (raw.probe.is_none(), &raw.probe_timeout, "nothing is probed"),
    ];
    for (idle, at, why) in idle {
        if let (true, Some(at)) = (idle, at) {
            report.warning(
                &at.location,
                at.field.clone(),
                format!("has no effect: {why}"),
                "remove it",
            );
        }
    }
}
