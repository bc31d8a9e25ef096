//! How often real CAs are asked: certificates that live a minute, for five minutes.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

use super::{AUTHORITIES, acme, caddy, cfssl, est, step, vault};

/// Not among the others: they take five minutes.
pub(super) const ALL: &[Scenario] = &[MINUTES];

const MINUTES: Scenario = Scenario {
    name: "certificates_that_live_a_minute_are_asked_for_at_a_steady_pace_whatever_the_ca_dates_back",
    disk: Disk::Installed,
    fault: "somebody renews each of them every few seconds",
    red: "a steady pace",
    run: minutes,
};

/// A CA, and how often it is asked in five minutes.
struct Asked {
    /// Of the issuer, and of the certificate that it issues.
    name: &'static str,
    /// Among the authorities; where it is not, the CA is left out.
    program: &'static str,
    lifetime: &'static str,
    bounds: RangeInclusive<u64>,
    /// Starts it; returns what is configured of it.
    start: fn(&Trial) -> Result<String>,
}

/// How often one is asked for certificates of a minute.
const MINUTE: RangeInclusive<u64> = 5..=15;

const ASKED: [Asked; 6] = [
    // Dates nothing back.
    Asked {
        name: "pebble",
        program: "pebble",
        lifetime: "60s",
        bounds: MINUTE,
        start: pebble,
    },
    // Dates half a minute back, which it adds to the life.
    Asked {
        name: "bao",
        program: "openbao",
        lifetime: "60s",
        bounds: MINUTE,
        start: bao,
    },
    // Dates back to half a minute before the nearest full minute, and takes that off: of 90 s, 30 to 90 are left.
    Asked {
        name: "corporate",
        program: "cfssl",
        lifetime: "60s",
        bounds: MINUTE,
        start: corporate,
    },
    // Dates nothing back.
    Asked {
        name: "est",
        program: "estserver",
        lifetime: "60s",
        bounds: MINUTE,
        start: est,
    },
    // Dates a minute back, which it adds to the life.
    Asked {
        name: "step",
        program: "step-ca",
        lifetime: "60s",
        bounds: MINUTE,
        start: step,
    },
    // The same; but no configuration makes it issue for less than five minutes.
    Asked {
        name: "caddy",
        program: "caddy",
        lifetime: "5m",
        bounds: 1..=3,
        start: caddy,
    },
];

fn pebble(trial: &Trial) -> Result<String> {
    acme::set_up(trial, "PEBBLE_VA_NOSLEEP=1", "")?;
    trial.run(&["rm", "/etc/renewd/certs.d/api.toml"])?;
    trial.run(&["mv", "/etc/renewd/ca.pem", "/etc/renewd/pebble.pem"])?;
    let issuer = "[issuer.pebble]\ntype = \"acme\"\ndirectory = \"https://localhost:14000/dir\"\n\
        terms_of_service = \"agreed\"\nca = \"/etc/renewd/pebble.pem\"\ntrust = \"/etc/renewd/roots.pem\"\n\
        profile = \"minute\"\n";
    Ok(issuer.to_owned())
}

fn bao(trial: &Trial) -> Result<String> {
    vault::set_up(trial)?;
    let login = vault::app_role(trial)?;
    Ok(vault::issuer("host", &login))
}

fn corporate(trial: &Trial) -> Result<String> {
    cfssl::set_up(trial, "90s", r#", "server auth""#)?;
    Ok(cfssl::ISSUER.to_owned())
}

fn est(trial: &Trial) -> Result<String> {
    est::start(trial, "-o")?;
    est::shorten(trial)?;
    Ok(est::ISSUER.to_owned())
}

fn step(trial: &Trial) -> Result<String> {
    step::start(trial)?;
    step::provide_token(trial, "step.example.internal")?;
    step::issuer(
        trial,
        "/srv/step/root.pem",
        "token = \"file:/etc/renewd/token\"",
    )
}

fn caddy(trial: &Trial) -> Result<String> {
    caddy::start(trial, "caddy.example.internal", "127.0.0.1")?;
    Ok(caddy::ISSUER.to_owned())
}

fn minutes(trial: &mut Trial) -> Result<()> {
    let mut asked = Vec::new();
    let mut configuration = String::new();
    for ca in &ASKED {
        if !trial.exists(&format!("{IN_MACHINE}/{AUTHORITIES}/{}", ca.program))? {
            println!(
                "      NOT COUNTED: {}, for there is no {}",
                ca.name, ca.program
            );
            continue;
        }
        configuration.push_str(&(ca.start)(trial)?);
        let text = format!(
            "names = [\"{0}.example.internal\"]\nissuer = \"{0}\"\nlifetime = \"{1}\"\nusage = [\"server\"]\n",
            ca.name, ca.lifetime
        );
        trial.configure(ca.name, &text)?;
        asked.push(ca);
    }
    trial.write("/etc/renewd/renewd.toml", &configuration)?;
    trial.systemctl(&["stop", RENEWD])?;
    trial.systemctl(&["start", acme::SOCKET, RENEWD])?;
    let mut before = Vec::new();
    for ca in &asked {
        trial.wait_until(&format!("{} is published", ca.name), PROOF, || {
            trial.published_serial(ca.name)
        })?;
        before.push(issued(trial, ca.name)?);
    }
    trial.sabotage(|machine| {
        let again = "while sleep 3; do renewctl renew --all; done";
        machine
            .run(&["systemd-run", "--quiet", "sh", "-c", again])
            .map(drop)
    })?;
    // What is counted are minutes: nothing that could be waited for says that they are over.
    std::thread::sleep(Duration::from_secs(300));
    let mut off = Vec::new();
    for (ca, before) in asked.iter().zip(before) {
        let issued = issued(trial, ca.name)? - before;
        println!("      {}: {issued} certificates in five minutes", ca.name);
        if !ca.bounds.contains(&issued) {
            off.push(format!(
                "{}: {issued} certificates in five minutes",
                ca.name
            ));
        }
        let status = trial.status(ca.name)?;
        expect(
            status.state == "fresh" || status.state == "issuing",
            "a certificate in force",
            &status.state,
        )?;
    }
    // Of each of them it would have been seen.
    if trial.choose(false, true) {
        expect_equal("CAs that are asked too often", &asked.len(), &off.len())?;
    }
    expect(
        off.is_empty() && !asked.is_empty(),
        "a steady pace",
        off.join(", "),
    )
}

/// How often the issuer has answered.
fn issued(machine: &Machine, name: &str) -> Result<u64> {
    let shown = machine.run(&["renewctl", "show", name, "--json"])?;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
    Ok(shown["issuances"].as_u64().unwrap_or(0))
}
