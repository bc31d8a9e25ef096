//! `status` and `show`: what the daemon knows, for people.
//!
//! Owns: the layout. Prints nothing that is not in the report. Neighbour: [`crate::control::report`].

use std::io;

use jiff::Timestamp;

use super::output::{Output, Tone, relative};
use crate::control::report::{
    CertificateDetail, CertificateStatus, StatusReport, UnitDetail, UnitStatus, UtcTime,
};

/// `renewctl status`: one row for each dependent.
///
/// In a pipe every row is complete; on a terminal, what repeats is left blank.
pub(super) fn print_status(
    out: &mut Output<'_>,
    report: &StatusReport,
    now: Timestamp,
) -> io::Result<()> {
    if report.certificates.is_empty() {
        return out
            .line("No certificate is configured: see renewd.toml(5), or \"renewctl check\".");
    }
    let headings = [
        "CERTIFICATE",
        "STATE",
        "GENERATION",
        "NOT AFTER",
        "NEXT RENEWAL",
        "UNIT",
        "PROOF",
    ];
    let mut rows = vec![
        headings
            .map(|text| (text.to_owned(), Tone::Heading))
            .to_vec(),
    ];
    for certificate in &report.certificates {
        let own = own_cells(certificate, now);
        if certificate.units.is_empty() {
            rows.push(own.clone());
        }
        for (index, unit) in certificate.units.iter().enumerate() {
            let mut row = own.clone();
            if index > 0 && out.terminal() {
                row.fill((String::new(), Tone::Plain));
            }
            row.push((unit.unit.clone(), Tone::Plain));
            row.push(proof_cell(unit));
            rows.push(row);
        }
    }
    out.table(&rows)?;
    for certificate in &report.certificates {
        if let Some(error) = &certificate.last_error {
            let text = format!("{}: {error}", certificate.name);
            let text = out.tone(Tone::Bad, &super::output::printable(&text));
            out.raw(&(text + "\n"))?;
        }
    }
    Ok(())
}

/// `renewctl show NAME`.
pub(super) fn print_detail(
    out: &mut Output<'_>,
    detail: &CertificateDetail,
    now: Timestamp,
) -> io::Result<()> {
    let mut rows = vec![
        pair("certificate", detail.name.clone()),
        (
            "state".to_owned(),
            since(&detail.state, detail.since, now),
            state_tone(&detail.state),
        ),
        pair("names", detail.names.join(", ")),
        pair("issuer", issuers(detail)),
        pair("directory", detail.directory.clone()),
        pair(
            "key belongs to",
            format!("{}:{}", detail.owner, detail.group),
        ),
        pair("generation", or_none(detail.generation)),
        pair("serial", or_none(detail.serial.as_ref())),
        pair("fingerprint", or_none(detail.fingerprint.as_ref())),
        pair("not before", moment(detail.not_before, now)),
        pair("not after", moment(detail.not_after, now)),
        pair("next renewal", moment(detail.next_renewal, now)),
        pair("why then", detail.next_renewal_reason.clone()),
        pair(
            "its issuer explains",
            detail.explanation.clone().unwrap_or_default(),
        ),
        pair("issuances", detail.issuances.to_string()),
    ];
    if let Some(error) = &detail.last_error {
        rows.push(("last error".to_owned(), error.clone(), Tone::Bad));
    }
    for unit in &detail.units {
        rows.push(("unit".to_owned(), unit.unit.clone(), Tone::Heading));
        rows.extend(unit_rows(unit, now));
    }
    for verdict in &detail.verdicts {
        let at = verdict.at.map(|at| format!(", {}", relative(at.0, now)));
        let cause = Some(&verdict.cause).filter(|cause| !cause.is_empty());
        rows.push(pair(
            &format!("generation {}", verdict.generation),
            format!(
                "{}{}{}",
                verdict.verdict,
                at.unwrap_or_default(),
                cause.map(|cause| format!(": {cause}")).unwrap_or_default()
            ),
        ));
    }
    let cells: Vec<Vec<(String, Tone)>> = rows
        .into_iter()
        .filter(|(_, value, _)| !value.is_empty())
        .map(|(key, value, tone)| vec![(key, Tone::Plain), (value, tone)])
        .collect();
    out.table(&cells)
}

/// Who is asked, and whose what is published is where that is another one.
fn issuers(detail: &CertificateDetail) -> String {
    let names = [std::slice::from_ref(&detail.issuer), &detail.fallbacks].concat();
    let names = names.join(", else ");
    match &detail.issued_by {
        Some(own) if *own != detail.issuer => {
            format!("{names} (the certificate in use is of {own})")
        }
        _ => names,
    }
}

fn own_cells(certificate: &CertificateStatus, now: Timestamp) -> Vec<(String, Tone)> {
    let expired = certificate.not_after.is_some_and(|at| at.0 < now);
    let when = |at: Option<UtcTime>| at.map_or("-".to_owned(), |at| relative(at.0, now));
    vec![
        (certificate.name.clone(), Tone::Plain),
        (certificate.state.clone(), state_tone(&certificate.state)),
        (
            certificate
                .generation
                .map_or("-".to_owned(), |number| number.to_string()),
            Tone::Plain,
        ),
        (
            when(certificate.not_after),
            if expired { Tone::Bad } else { Tone::Plain },
        ),
        (when(certificate.next_renewal), Tone::Plain),
    ]
}

fn proof_cell(unit: &UnitStatus) -> (String, Tone) {
    let text = match &unit.reason {
        Some(reason) => format!("{}: {reason}", unit.proof),
        None => unit.proof.clone(),
    };
    (text, proof_tone(&unit.proof))
}

fn unit_rows(unit: &UnitDetail, now: Timestamp) -> Vec<(String, String, Tone)> {
    let proof = match &unit.reason {
        Some(reason) => format!("{}: {reason}", unit.proof),
        None => unit.proof.clone(),
    };
    vec![
        (
            "  proof".to_owned(),
            since(&proof, unit.since, now),
            proof_tone(&unit.proof),
        ),
        pair("  detail", unit.detail.clone()),
        pair("  on change", unit.on_change.clone()),
        pair("  wave", unit.wave.to_string()),
        pair("  probe", unit.probe.join(", ")),
        pair(
            "  served serial",
            unit.served_serial.clone().unwrap_or_default(),
        ),
        pair(
            "  debt",
            if unit.debt {
                "to be reloaded or proven"
            } else {
                ""
            }
            .to_owned(),
        ),
    ]
}

fn pair(key: &str, value: String) -> (String, String, Tone) {
    (key.to_owned(), value, Tone::Plain)
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or("none".to_owned(), |value| value.to_string())
}

fn moment(at: Option<UtcTime>, now: Timestamp) -> String {
    at.map(|at| format!("{at} ({})", relative(at.0, now)))
        .unwrap_or_default()
}

fn since(text: &str, at: Option<UtcTime>, now: Timestamp) -> String {
    match at {
        Some(at) => format!("{text}, since {at} ({})", relative(at.0, now)),
        None => text.to_owned(),
    }
}

fn state_tone(state: &str) -> Tone {
    match state {
        "fresh" | "settled" => Tone::Good,
        "stopped" | "held" | "held forward" | "reverted" | "failed" => Tone::Bad,
        _ => Tone::Notice,
    }
}

fn proof_tone(proof: &str) -> Tone {
    match proof {
        "served" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Notice,
    }
}
