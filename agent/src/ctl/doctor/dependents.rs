//! Whether the units are what they are taken for, and whether anybody answers where they are probed.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use renewd_core::unit::{Activity, OnChange};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{Finding, Findings, Patient};
use crate::config::Settings;
use crate::ctl::dependents::{Severity, judge};
use crate::probe::{Address, ProbeTarget};

/// A service on the same host answers at once; one far away within this.
const PATIENCE: Duration = Duration::from_secs(3);

/// Check: each unit can do what is asked of it. One that is told nothing is given advice: it is the only
/// one that no reload heals after it met a swap between the files it opened.
pub(super) fn units(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("units");
    if let Some(trouble) = &patient.seen.trouble {
        findings.warning(
            "systemd",
            format!("could not be asked about the units: {trouble}"),
            "run this where systemd and its bus are, or see \"systemctl status dbus\"",
        );
    }
    for finding in judge(&patient.loaded.settings, &patient.seen) {
        findings.add(
            finding.severity,
            finding.location,
            finding.what,
            finding.remedy,
        );
    }
    for (certificate, own) in patient.loaded.settings.units() {
        let dependent = &own.dependent;
        if dependent.on_change == OnChange::None {
            let files = patient
                .places
                .state
                .join("certs")
                .join(certificate.as_str());
            findings.add(
                Severity::Note,
                &own.location,
                format!(
                    "{} reads by itself: where it opens key and certificate one after the other, it \
                     can meet a swap in between, and is told nothing that would mend it",
                    dependent.unit
                ),
                format!(
                    "if it can, let it read {}, which holds both",
                    files.join("combined.pem").display()
                ),
            );
        }
    }
    findings.found
}

/// Check: somebody listens at each probed address of a unit that runs.
pub(super) fn addresses(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("probe addresses");
    for (_, own) in patient.loaded.settings.units() {
        let unit = &own.dependent.unit;
        let stopped = patient
            .seen
            .facts
            .get(unit)
            .is_some_and(|facts| facts.activity != Activity::Running);
        for probe in &own.probes {
            let Some(Err(trouble)) = patient.addresses.get(probe) else {
                continue;
            };
            if stopped {
                findings.note(probe, format!("not looked at: {unit} does not run"));
            } else {
                findings.error(
                    probe,
                    format!("{unit} does not answer there: {trouble}"),
                    format!(
                        "correct the address in {}, or see \"systemctl status {unit}\"",
                        own.location
                    ),
                );
            }
        }
    }
    findings.found
}

/// Connects to every address once. The handshake is the daemon's business; here it is only asked
/// whether anybody listens.
pub(super) async fn connect_all(settings: &Settings) -> BTreeMap<ProbeTarget, Result<(), String>> {
    let probes = settings.units().flat_map(|(_, own)| &own.probes);
    let tries = probes.map(|probe| async {
        let answer = timeout(PATIENCE, connect(probe)).await;
        let answer = answer
            .unwrap_or_else(|_| Err(format!("no connection within {} s", PATIENCE.as_secs())));
        (probe.clone(), answer)
    });
    join_all(tries).await.into_iter().collect()
}

async fn connect(probe: &ProbeTarget) -> Result<(), String> {
    match probe.address() {
        Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port))
            .await
            .map(drop)
            .map_err(text),
        Address::Unix(path) => UnixStream::connect(path).await.map(drop).map_err(text),
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
