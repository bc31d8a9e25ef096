//! What operators see of a lane: pure translations, no state.

use std::path::Path;

use jiff::Timestamp;
use renewd_core::names::CertificateName;
use renewd_core::record::{GenerationNumber, Record, Verdict};
use renewd_core::supply::{self, Action, Supply};

use crate::config::{CertificateSettings, DependentSettings};
use crate::control::report::{
    CertificateDetail, CertificateStatus, GenerationVerdict, StatusReport, UnitDetail, UnitStatus,
};
use crate::driver::lane::View;

/// One certificate in `status`.
pub(super) fn status(
    settings: &CertificateSettings,
    view: &View,
    now: Timestamp,
) -> CertificateStatus {
    view.with_record(|record| {
        let mut status = of_record(settings, record, now);
        let held = view.held();
        if held.is_some() {
            "held".clone_into(&mut status.state);
        }
        status.last_error = held.or_else(|| view.trouble()).or(status.last_error);
        status
    })
}

/// A certificate whose file cannot be used, and never could: what is published stays.
pub(super) fn without_settings(
    name: &CertificateName,
    published: Option<GenerationNumber>,
    why: &str,
) -> CertificateStatus {
    CertificateStatus {
        name: name.to_string(),
        state: "held".to_owned(),
        generation: published,
        serial: None,
        not_before: None,
        not_after: None,
        next_renewal: None,
        last_error: Some(why.to_owned()),
        units: Vec::new(),
    }
}

fn of_record(settings: &CertificateSettings, record: &Record, now: Timestamp) -> CertificateStatus {
    let published = record.published_generation();
    let (next_renewal, _) = next_renewal(settings, record, now);
    let error = record.last_error.as_ref();
    CertificateStatus {
        name: settings.name.to_string(),
        state: record.state().to_owned(),
        generation: record.published,
        serial: published.map(|generation| generation.leaf.serial.to_string()),
        not_before: published.map(|generation| generation.leaf.not_before.into()),
        not_after: published.map(|generation| generation.end().into()),
        next_renewal: next_renewal.map(Into::into),
        last_error: error.map(|error| error.text.clone()),
        units: settings
            .dependents
            .iter()
            .map(|dependent| unit(dependent, record))
            .collect(),
    }
}

fn unit(dependent: &DependentSettings, record: &Record) -> UnitStatus {
    let name = &dependent.dependent.unit;
    let standing = record.units.get(name).map(|unit| &unit.standing);
    UnitStatus {
        unit: name.to_string(),
        proof: standing
            .map_or("pending", |standing| standing.proof.label())
            .to_owned(),
        reason: standing
            .and_then(|standing| standing.proof.reason())
            .map(|reason| reason.label().to_owned()),
        served_serial: standing
            .and_then(|standing| standing.served_serial.as_ref())
            .map(ToString::to_string),
        since: standing.map(|standing| standing.since.into()),
    }
}

/// When the issuer is asked next, and why then.
fn next_renewal(
    settings: &CertificateSettings,
    record: &Record,
    now: Timestamp,
) -> (Option<Timestamp>, String) {
    let (request, settle) = (settings.request.digest(), settings.trust.settle);
    match supply::next(record, &request, settings.request.lifetime, settle, now) {
        Action::Issue(cause) => (Some(now), cause.label().to_owned()),
        Action::Doubt => (None, "the clock is doubted".to_owned()),
        Action::Wait(at, cause) => (at, cause.label().to_owned()),
    }
}

/// One certificate in `show`.
pub(super) fn detail(
    settings: &CertificateSettings,
    view: &View,
    directory: &Path,
    now: Timestamp,
) -> CertificateDetail {
    let status = status(settings, view, now);
    view.with_record(|record| of_status(status, settings, record, directory, now))
}

fn of_status(
    status: CertificateStatus,
    settings: &CertificateSettings,
    record: &Record,
    directory: &Path,
    now: Timestamp,
) -> CertificateDetail {
    let published = record.published_generation();
    let since = match (&record.supply, &record.last_error) {
        (Supply::Issuing { since, .. }, _) => Some(*since),
        (_, Some(error)) => Some(error.at),
        _ => published.map(|generation| generation.accepted_at),
    };
    CertificateDetail {
        name: status.name,
        state: status.state,
        since: since.map(Into::into),
        names: settings
            .request
            .names
            .iter()
            .map(ToString::to_string)
            .collect(),
        issuer: settings.request.issuer.to_string(),
        fallbacks: settings.fallbacks.iter().map(ToString::to_string).collect(),
        issued_by: published
            .and_then(|generation| generation.issuer.as_ref())
            .map(ToString::to_string),
        directory: directory.display().to_string(),
        owner: settings.ownership.owner.clone(),
        group: settings.ownership.group.clone(),
        generation: status.generation,
        serial: status.serial,
        fingerprint: published.map(|generation| generation.leaf.fingerprint.to_string()),
        not_before: status.not_before,
        not_after: status.not_after,
        next_renewal: status.next_renewal,
        next_renewal_reason: next_renewal(settings, record, now).1,
        explanation: supply::advice_in_force(record)
            .and_then(|advised| advised.explanation.clone()),
        issuances: record.issuances,
        last_error: status.last_error,
        verdicts: verdicts(record),
        units: settings
            .dependents
            .iter()
            .map(|dependent| unit_detail(dependent, record))
            .collect(),
    }
}

fn verdicts(record: &Record) -> Vec<GenerationVerdict> {
    let newest_first = record.generations.iter().rev();
    newest_first
        .map(|(number, generation)| {
            let text = |cause: &renewd_core::record::Cause| {
                format!("{}: {}: {}", cause.unit, cause.reason, cause.detail)
            };
            let (verdict, at, cause) = match &generation.verdict {
                None => ("under way", None, String::new()),
                Some(Verdict::Settled) => ("settled", None, String::new()),
                Some(Verdict::Blamed { cause, at }) => ("blamed", Some(*at), text(cause)),
                Some(Verdict::NotTheCertificate { cause }) => {
                    ("not the certificate", None, text(cause))
                }
                Some(Verdict::HeldForward { cause }) => ("held forward", None, text(cause)),
                Some(Verdict::Unproven { cause }) => ("unproven", None, text(cause)),
            };
            GenerationVerdict {
                generation: *number,
                verdict: verdict.to_owned(),
                at: at.map(Into::into),
                cause,
            }
        })
        .collect()
}

fn unit_detail(dependent: &DependentSettings, record: &Record) -> UnitDetail {
    let status = unit(dependent, record);
    let entry = record.units.get(&dependent.dependent.unit);
    UnitDetail {
        unit: status.unit,
        on_change: dependent.dependent.on_change.label().to_owned(),
        wave: dependent.dependent.wave.into(),
        probe: dependent.probes.iter().map(ToString::to_string).collect(),
        debt: entry.is_some_and(|entry| entry.debt.is_some()),
        proof: status.proof,
        reason: status.reason,
        detail: entry
            .map(|entry| entry.standing.detail.clone())
            .unwrap_or_default(),
        served_serial: status.served_serial,
        since: status.since,
    }
}

/// The line that `systemctl status` shows.
pub(super) fn status_line(report: &StatusReport, now: Timestamp) -> String {
    let units = || {
        report
            .certificates
            .iter()
            .flat_map(|certificate| &certificate.units)
    };
    let count = |proof: &str| units().filter(|unit| unit.proof == proof).count();
    let mut parts = vec![match report.certificates.len() {
        0 => "No certificate is configured".to_owned(),
        1 => "1 certificate".to_owned(),
        several => format!("{several} certificates"),
    }];
    for (proof, word) in [
        ("served", "served"),
        ("reloaded", "reloaded"),
        ("not running", "not running"),
        ("failed", "NOT PROVEN"),
    ] {
        match count(proof) {
            0 => {}
            some => parts.push(format!("{some} {word}")),
        }
    }
    let troubled = report
        .certificates
        .iter()
        .filter(|certificate| certificate.last_error.is_some())
        .count();
    if troubled > 0 {
        parts.push(format!("{troubled} in trouble (see `renewctl status`)"));
    }
    let next = report
        .certificates
        .iter()
        .filter_map(|certificate| Some((certificate.next_renewal?.0, certificate.name.as_str())))
        .min();
    let line = parts.join(", ");
    match next {
        // An instant, since the line is written when something changes and read at any time.
        Some((at, name)) if at > now => {
            format!("{line}; next: {name} at {}", at.strftime("%F %R UTC"))
        }
        _ => line,
    }
}
