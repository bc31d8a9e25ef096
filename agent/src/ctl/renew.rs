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
    // Pad before colouring: the escape sequences have no width.
    let word = out.tone(tone(step), &format!("{:<10}", printable(&step.step)));
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

/// By the words that the daemon sends. One that is not known, of another version's, has no colour.
fn tone(step: &Step) -> Tone {
    match (step.finished, step.step.as_str()) {
        (Some(true), _) | (None, "served") => Tone::Good,
        (Some(false), _)
        | (None, "failed" | "issuing failed" | "publishing failed" | "reverting") => Tone::Bad,
        (None, "not running" | "unobservable") => Tone::Notice,
        (None, _) => Tone::Plain,
    }
}

fn join(names: &[&String]) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;
    use renewd_core::proof::{Proof, Reason};

    use super::*;

    fn toned(word: &str, finished: Option<bool>) -> Tone {
        tone(&Step {
            at: Timestamp::UNIX_EPOCH.into(),
            certificate: "api".to_owned(),
            step: word.to_owned(),
            unit: None,
            detail: String::new(),
            elapsed_ms: 0,
            finished,
        })
    }

    #[test]
    fn each_proof_has_the_colour_of_what_it_means() {
        for (proof, expected) in [
            (Proof::Pending, Tone::Plain),
            (Proof::Served, Tone::Good),
            (Proof::Reloaded, Tone::Plain),
            (Proof::NotRunning, Tone::Notice),
            (Proof::Unobservable, Tone::Notice),
            (Proof::Failed(Reason::WrongLeaf), Tone::Bad),
        ] {
            assert_eq!(toned(proof.label(), None), expected, "{proof:?}");
        }
    }

    /// A word that is renamed where it is sent from must be renamed here.
    #[test]
    fn every_word_for_what_failed_is_one_that_is_sent_and_is_red() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/driver");
        let sender: String = std::fs::read_dir(sources)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        for word in ["failed", "issuing failed", "publishing failed", "reverting"] {
            assert!(
                sender.contains(&format!("\"{word}\"")),
                "{word} is never sent"
            );
            assert_eq!(toned(word, None), Tone::Bad, "{word}");
        }
        assert_eq!(toned("settled", Some(true)), Tone::Good);
        assert_eq!(toned("failed", Some(false)), Tone::Bad);
        assert_eq!(toned("issuing", None), Tone::Plain);
    }
}
