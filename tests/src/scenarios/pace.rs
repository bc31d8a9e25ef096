//! How often real CAs are asked: certificates that live a minute, for five minutes.

use std::time::Duration;

use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

use super::{acme, cfssl, vault};

/// Not among the others: they take five minutes.
pub(super) const ALL: &[Scenario] = &[MINUTES];

const MINUTES: Scenario = Scenario {
    name: "certificates_that_live_a_minute_are_asked_for_at_a_steady_pace_whatever_the_ca_dates_back",
    disk: Disk::Installed,
    fault: "somebody renews each of them every few seconds",
    red: "a steady pace",
    run: minutes,
};

/// Pebble dates nothing back, OpenBao half a minute, which it adds to the life. cfssl dates back to half a minute before
/// the nearest full minute, and takes that off: of 90 s, 30 to 90 are left.
const NAMES: [&str; 3] = ["pebble", "bao", "corporate"];

fn minutes(trial: &mut Trial) -> Result<()> {
    acme::set_up(trial, "PEBBLE_VA_NOSLEEP=1", "")?;
    trial.run(&["mv", "/etc/renewd/ca.pem", "/etc/renewd/pebble.pem"])?;
    cfssl::set_up(trial, "90s", r#", "server auth""#)?;
    vault::set_up(trial)?;
    let id = trial.read("/srv/bao/role-id")?;
    let login = format!(
        "role_id = \"{}\"\nsecret_id = \"file:/etc/renewd/secret-id\"\n",
        id.trim()
    );
    let pebble = "[issuer.pebble]\ntype = \"acme\"\ndirectory = \"https://localhost:14000/dir\"\n\
        terms_of_service = \"agreed\"\nca = \"/etc/renewd/pebble.pem\"\ntrust = \"/etc/renewd/roots.pem\"\n\
        profile = \"minute\"\n";
    let text = [pebble, &vault::issuer("host", &login), cfssl::ISSUER].concat();
    trial.write("/etc/renewd/renewd.toml", &text)?;
    trial.run(&["rm", "/etc/renewd/certs.d/api.toml"])?;
    for name in NAMES {
        let text = format!(
            "names = [\"{name}.example.internal\"]\nissuer = \"{name}\"\nlifetime = \"60s\"\nusage = [\"server\"]\n"
        );
        trial.configure(name, &text)?;
    }
    trial.systemctl(&["stop", RENEWD])?;
    trial.systemctl(&["start", acme::SOCKET, RENEWD])?;
    for name in NAMES {
        trial.wait_until(&format!("{name} is published"), PROOF, || {
            trial.published_serial(name)
        })?;
    }
    let before = NAMES.map(|name| issued(trial, name));
    trial.sabotage(|machine| {
        let again = "while sleep 3; do renewctl renew --all; done";
        machine
            .run(&["systemd-run", "--quiet", "sh", "-c", again])
            .map(drop)
    })?;
    // What is counted are minutes: nothing that could be waited for says that they are over.
    std::thread::sleep(Duration::from_secs(300));
    for (name, before) in NAMES.into_iter().zip(before) {
        let issued = issued(trial, name)? - before?;
        println!("      {name}: {issued} certificates in five minutes");
        expect(
            (5..=15).contains(&issued),
            "a steady pace",
            format_args!("{name}: {issued} certificates in five minutes"),
        )?;
        let status = trial.status(name)?;
        expect(
            status.state == "fresh" || status.state == "issuing",
            "a certificate in force",
            &status.state,
        )?;
    }
    Ok(())
}

/// How often the issuer has answered.
fn issued(machine: &Machine, name: &str) -> Result<u64> {
    let shown = machine.run(&["renewctl", "show", name, "--json"])?;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
    Ok(shown["issuances"].as_u64().unwrap_or(0))
}
