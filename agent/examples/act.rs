//! Tells one unit to act, by the same code as the daemon, and prints the outcome as JSON: for
//! trying out what systemd answers, and for the scenarios.
//!
//! ```text
//! act UNIT reload|restart|start|signal-hup|none DEADLINE    one outcome
//! act UNIT revive DEADLINE                                  the same, of a restart that may bring up
//! act --facts UNIT                                          what systemd says of the unit
//! act --watch UNIT…                                         each activation, until killed
//! act --rule USER UNIT=VERB…                                the polkit rule for these
//! act --journal                                             one event in the journal
//! ```
//! `--bus ADDRESS` in front of anything takes another bus than the system's. With
//! `RENEWD_LOG=renewd=debug` it says on stderr when systemd took the request.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use renewd::journal::{self, Event};
use renewd::polkit::{self, Grant};
use renewd::units::{Activation, Systemd, Units};
use renewd_core::names::UnitName;
use renewd_core::unit::OnChange;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut bus = None;
    if words.first().is_some_and(|word| word == "--bus") && words.len() > 1 {
        bus = Some(words.remove(1));
        words.remove(0);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let filter = std::env::var("RENEWD_LOG").ok();
    if let Err(error) = journal::init("act", filter.as_deref()) {
        eprintln!("act: RENEWD_LOG: {error}");
    }
    match run(&Systemd::new(bus), &words).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("act: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(systemd: &Systemd, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["--facts", unit] => {
            let facts = systemd.facts(&unit.parse()?).await?;
            println!("{facts:#?}");
        }
        ["--watch", units @ ..] => {
            let units: Result<Vec<UnitName>, _> = units.iter().map(|unit| unit.parse()).collect();
            let mut activations = systemd.activations(&units?);
            while let Some(activation) = activations.recv().await {
                let (Activation::Found(unit) | Activation::Began(unit)) = activation;
                println!("{unit}");
            }
        }
        ["--rule", user, pairs @ ..] => {
            let mut grants = BTreeSet::new();
            for pair in pairs {
                let (unit, verb) = pair.split_once('=').ok_or("expected UNIT=VERB")?;
                grants.extend(Grant::needed(&unit.parse()?, word(verb)?));
            }
            print!("{}", polkit::rule(user, &grants));
        }
        ["--journal"] => {
            journal::emit(&Event::ReloadDone {
                certificates: vec!["api".parse()?, "web".parse()?],
                unit: "nginx.service".parse()?,
            });
        }
        [unit, "revive", deadline] => {
            let deadline: Duration = humantime::parse_duration(deadline)?;
            let outcome = systemd.revive(&unit.parse()?, deadline).await;
            println!("{}", serde_json::to_string(&outcome)?);
        }
        [unit, verb, deadline] => {
            let deadline: Duration = humantime::parse_duration(deadline)?;
            let outcome = systemd.act(&unit.parse()?, word(verb)?, deadline).await;
            println!("{}", serde_json::to_string(&outcome)?);
        }
        _ => return Err("see the top of agent/examples/act.rs".into()),
    }
    Ok(())
}

fn word(verb: &str) -> Result<OnChange, Failure> {
    Ok(serde_json::from_value(verb.into())?)
}
