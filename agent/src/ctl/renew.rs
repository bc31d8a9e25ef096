//! `renew`: has certificates issued anew and tells each step as it happens.
//!
//! Neighbour: [`crate::control::client`]. Works only through the daemon; it never issues by itself.

use std::collections::BTreeMap;

use super::Places;
use super::failure::{Code, Failure};
use super::output::{Output, Tone, elapsed, printable};
use crate::control::client::{ControlClient, StatusClient};
use crate::control::report::Step;

/// Renews `names`, or all there are; with `wait` until each is proven or is not.
pub(super) async fn renew(
    places: &Places,
    names: Vec<String>,
    all: bool,
    wait: bool,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let names = if all {
        everything(places).await?
    } else {
        names
    };
    let mut client = ControlClient::connect(&places.runtime).await?;
    if !wait {
        client.begin_renew(&names).await?;
        let names = names.join(", ");
        out.line(&format!(
            "Renewing {names}. \"renewctl status\" shows what becomes of it; --wait follows it."
        ))?;
        return Ok(());
    }
    let mut proven = BTreeMap::new();
    client
        .renew(&names, |step| {
            if let Some(well) = step.finished {
                proven.insert(step.certificate.clone(), well);
            }
            Ok::<(), Failure>(tell(out, &step)?)
        })
        .await?;
    let lacking: Vec<&String> = names
        .iter()
        .filter(|name| proven.get(*name) != Some(&true))
        .collect();
    match lacking.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(
            Code::Negative,
            format!("not proven: {}", join(&lacking)),
            format!(
                "\"renewctl show {first}\" tells where it stands, \
                 \"journalctl RENEWD_CERT={first}\" how it came to that"
            ),
        )),
    }
}

async fn everything(places: &Places) -> Result<Vec<String>, Failure> {
    let report = StatusClient::connect(&places.runtime)
        .await?
        .status()
        .await?;
    let names: Vec<String> = report
        .certificates
        .into_iter()
        .map(|own| own.name)
        .collect();
    if names.is_empty() {
        return Err(Failure::new(
            Code::Data,
            "no certificate is configured",
            "each needs a file in certs.d",
        ));
    }
    Ok(names)
}

fn tell(out: &mut Output<'_>, step: &Step) -> std::io::Result<()> {
    let tone = match (step.finished, step.step.as_str()) {
        (Some(true), _) | (_, "proven") => Tone::Good,
        (Some(false), _) | (_, "failed" | "reverted" | "refused") => Tone::Bad,
        _ => Tone::Plain,
    };
    // Pad before colouring: the escape sequences have no width.
    let word = out.tone(tone, &format!("{:<10}", printable(&step.step)));
    let mut line = format!(
        "{}  {word}  {:>10}",
        printable(&step.certificate),
        elapsed(step.elapsed_ms)
    );
    for part in step.unit.iter().chain([&step.detail]) {
        if !part.is_empty() {
            line.push_str("  ");
            line.push_str(&printable(part));
        }
    }
    out.raw(&(line + "\n"))
}

fn join(names: &[&String]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.join(", ")
}
