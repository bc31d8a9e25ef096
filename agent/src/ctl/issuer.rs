//! `issuer list`, `issuer check` and `revoke`: what there is to do with issuers besides asking them for certificates.
//!
//! Neighbour: [`crate::control::client`]. Asks no CA by itself: the daemon has what each of them wants to see.

use jiff::Timestamp;

use super::Places;
use super::failure::{Code, Failure};
use super::output::{Output, Tone, printable, relative};
use crate::control::client::{ControlClient, StatusClient};
use crate::control::report::IssuerStatus;

/// `renewctl issuer list`.
pub(super) async fn list(
    places: &Places,
    json: bool,
    now: Timestamp,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let report = StatusClient::connect(&places.runtime)
        .await?
        .issuers()
        .await?;
    if json {
        return Ok(out.json(&report)?);
    }
    if report.issuers.is_empty() {
        return Ok(out.line("No issuer is configured: see renewd.toml(5).")?);
    }
    let headings = ["ISSUER", "TYPE", "LAST ISSUED", "CERTIFICATES", "ADDRESS"];
    let mut rows = vec![
        headings
            .map(|text| (text.to_owned(), Tone::Heading))
            .to_vec(),
    ];
    rows.extend(report.issuers.iter().map(|issuer| row(issuer, now)));
    out.table(&rows)?;
    for issuer in &report.issuers {
        if let Some(error) = &issuer.last_error {
            let text = printable(&format!("{}: {error}", issuer.name));
            let text = out.tone(Tone::Bad, &text);
            out.raw(&(text + "\n"))?;
        }
    }
    Ok(())
}

fn row(issuer: &IssuerStatus, now: Timestamp) -> Vec<(String, Tone)> {
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let last = issuer.last_issued.map(|at| relative(at.0, now));
    [
        issuer.name.clone(),
        issuer.kind.clone(),
        or_dash(last.unwrap_or_default()),
        or_dash(issuer.certificates.join(", ")),
        or_dash(issuer.address.clone().unwrap_or_default()),
    ]
    .map(|text| (text, Tone::Plain))
    .to_vec()
}

/// `renewctl issuer check NAME`; negative where one of the answers is no.
pub(super) async fn check(
    places: &Places,
    name: &str,
    json: bool,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut client = ControlClient::connect(&places.runtime).await?;
    let report = client.check_issuer(name).await?;
    if json {
        out.json(&report)?;
    } else {
        let rows: Vec<_> = report
            .findings
            .iter()
            .map(|finding| {
                vec![
                    (finding.question.clone(), Tone::Plain),
                    (finding.is.clone(), tone(&finding.is)),
                    (finding.text.clone(), Tone::Plain),
                ]
            })
            .collect();
        out.table(&rows)?;
    }
    if report.findings.iter().any(|finding| finding.is == "no") {
        return Err(Failure::told(Code::Negative));
    }
    Ok(())
}

/// By the words that the daemon sends. One that is not known, of another version's, has no colour.
fn tone(is: &str) -> Tone {
    match is {
        "yes" => Tone::Good,
        "no" => Tone::Bad,
        "unknown" => Tone::Notice,
        _ => Tone::Plain,
    }
}

/// `renewctl issuer rollover NAME`.
pub(super) async fn rollover(
    places: &Places,
    name: &str,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut client = ControlClient::connect(&places.runtime).await?;
    client.rollover_issuer(name).await?;
    Ok(out.line(&format!("The account of {name} has another key now."))?)
}

/// `renewctl revoke NAME`.
pub(super) async fn revoke(
    places: &Places,
    name: &str,
    generation: Option<u64>,
    reason: &str,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut client = ControlClient::connect(&places.runtime).await?;
    let revoked = client.revoke(name, generation, reason).await?;
    out.line(&format!(
        "Revoked generation {} of {name}, serial {}.",
        revoked.generation, revoked.serial
    ))?;
    if revoked.in_use {
        out.line(&format!(
            "It is the one in use: another one is asked for now. \"renewctl show {name}\" tells what becomes of it."
        ))?;
    }
    Ok(())
}
