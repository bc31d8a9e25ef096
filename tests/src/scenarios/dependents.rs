//! Dependents that are not what the configuration takes them for: no such unit, a masked one, an
//! address where nobody listens, an owner who does not exist, a life that is too short for a rotation.

use super::nginx::{self, ADDRESS, NAME, NGINX};
use super::plain::{bare_certificates, said, service};
use crate::agent::{PROOF, RENEWD, Status};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[MISSING, NOBODY_LISTENS, NO_OWNER, SHORT_LIFE, START_LIMIT];

/// Proof and reason of one dependent, as `status` tells them.
fn standing(status: &Status, unit: &str) -> String {
    let found = status.units.iter().find(|entry| entry.unit == unit);
    found.map_or_else(String::new, |entry| {
        format!(
            "{}: {}",
            entry.proof,
            entry.reason.as_deref().unwrap_or("-")
        )
    })
}

fn await_standing(trial: &Trial, unit: &str, wanted: &str) -> Result<()> {
    trial.wait_until(&format!("{unit} is `{wanted}`"), PROOF, || {
        let found = standing(&trial.status("api")?, unit);
        expect(found == wanted, format_args!("{unit} as `{wanted}`"), found)
    })
}

const MISSING: Scenario = Scenario {
    name: "a_unit_that_does_not_exist_or_is_masked_is_told_and_the_others_are_served",
    disk: Disk::Installed,
    fault: "all of them exist and run",
    red: "does not exist",
    run: missing,
};

fn missing(trial: &mut Trial) -> Result<()> {
    for name in ["fine.service", "veiled.service"] {
        service(trial, name, "")?;
    }
    let (veil, unveil) = (
        ["mask", "--now", "veiled.service"],
        ["unmask", "veiled.service"],
    );
    if trial.choose(true, false) {
        trial.systemctl(&veil)?;
    } else {
        service(trial, "ghost.service", "")?;
    }
    trial.configure(
        "api",
        "names = [\"api.test\"]\n[unit.\"ghost.service\"]\n[unit.\"veiled.service\"]\n[unit.\"fine.service\"]\n",
    )?;
    let checked = trial.attempt(&["renewctl", "check"])?;
    for part in [
        "api.toml:2: unit.\"ghost.service\": ghost.service does not exist",
        "api.toml:3: unit.\"veiled.service\": veiled.service is masked",
    ] {
        expect(
            checked.succeeded() && checked.output().contains(part),
            format_args!("a warning: {part}"),
            checked.output(),
        )?;
    }
    trial.reload_renewd()?;
    trial.await_proof("api", "fine.service", "reloaded")?;
    trial.renew(&["api"])?;
    let status = trial.await_proof("api", "fine.service", "reloaded")?;
    expect_equal("the generation", &Some(2), &status.generation)?;
    for name in ["ghost.service", "veiled.service"] {
        await_standing(trial, name, "failed: reload refused")?;
    }
    trial.expect_issuances("api.test", 2)?;

    // Once they are there, the debt is paid without anybody's help.
    service(trial, "ghost.service", "")?;
    trial.systemctl(&unveil)?;
    trial.systemctl(&["start", "veiled.service"])?;
    for name in ["ghost.service", "veiled.service"] {
        trial.await_proof("api", name, "reloaded")?;
    }
    trial.expect_issuances("api.test", 2)
}

const NOBODY_LISTENS: Scenario = Scenario {
    name: "an_address_where_nobody_listens_is_told_and_never_brings_the_old_certificate_back",
    disk: Disk::Installed,
    fault: "nginx listens there as well",
    red: "failed: refused",
    run: nobody_listens,
};

fn nobody_listens(trial: &mut Trial) -> Result<()> {
    let elsewhere = "127.0.0.1:444";
    let listen = |address: &str| trial.write(nginx::SITE, &nginx::site().replace(ADDRESS, address));
    listen(trial.choose(ADDRESS, elsewhere))?;
    let configuration = format!("{}probe_timeout = \"1s\"\n", nginx::configuration("24h"));
    trial.configure("api", &configuration.replace(ADDRESS, elsewhere))?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    trial.systemctl(&["start", NGINX])?;
    await_standing(trial, NGINX, "failed: refused")?;
    let first = trial.published_serial("api")?;
    let renewal = trial.renew(&["api"])?;
    expect(
        !renewal.succeeded(),
        "a renewal without proof",
        "a proven one",
    )?;
    let second = trial.published_serial("api")?;
    expect(second != first, "the new leaf stays published", &second)?;
    let shown = trial.run(&["renewctl", "show", "api"])?;
    expect(
        shown.contains("tls://127.0.0.1:444: connection refused: nobody listens"),
        "the address and what happened there",
        &shown,
    )?;
    expect(!shown.contains("blamed"), "nobody blamed", &shown)?;
    trial.expect_issuances(NAME, 2)?;

    listen(elsewhere)?;
    trial.systemctl(&["restart", NGINX])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", elsewhere, &second)?;
    trial.expect_issuances(NAME, 2)
}

const NO_OWNER: Scenario = Scenario {
    name: "an_owner_or_group_that_does_not_exist_holds_that_certificate_alone",
    disk: Disk::Installed,
    fault: "both exist",
    red: "a refused check",
    run: no_owner,
};

fn no_owner(trial: &mut Trial) -> Result<()> {
    bare_certificates(trial, &["sound"])?;
    let create = "groupadd --system keepers; useradd --system --gid keepers keeper";
    trial.sabotage(|machine| machine.shell(create).map(drop))?;
    trial.configure(
        "orphan",
        "names = [\"orphan.test\"]\nowner = \"keeper\"\ngroup = \"keepers\"\n",
    )?;
    let checked = trial.attempt(&["renewctl", "check"])?;
    expect(
        checked.code == Some(78),
        "a refused check",
        checked.output(),
    )?;
    for part in [
        "orphan.toml:2: owner: the user \"keeper\" does not exist",
        "orphan.toml:3: group: the group \"keepers\" does not exist",
        "useradd",
    ] {
        expect(checked.output().contains(part), part, checked.output())?;
    }
    let reload = trial.attempt(&["systemctl", "reload", RENEWD])?;
    expect(!reload.succeeded(), "a refused reload", reload.output())?;

    trial.systemctl(&["restart", RENEWD])?;
    trial.renew(&["sound"])?.success()?;
    trial.expect_issuances("sound.test", 2)?;
    trial.expect_issuances("orphan.test", 0)?;
    let said = said(trial)?;
    expect(
        said.lines()
            .any(|line| line.starts_with("orphan: ") && line.contains("orphan.toml:2: owner")),
        "the journal names file and line",
        &said,
    )?;

    trial.shell(create)?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "orphan"])?;
    let key = "/var/lib/renewd/certs/orphan/key.pem";
    let found = trial.run(&["stat", "--dereference", "--format=%U:%G %a", key])?;
    expect_equal(
        "owner and mode of the key",
        &"keeper:keepers 640",
        &found.trim(),
    )
}

const SHORT_LIFE: Scenario = Scenario {
    name: "a_life_that_is_shorter_than_a_rotation_may_take_is_warned_of_with_its_line",
    disk: Disk::Installed,
    fault: "the life is long enough",
    red: "a warning",
    run: short_life,
};

fn short_life(trial: &mut Trial) -> Result<()> {
    service(trial, "fine.service", "")?;
    let lifetime = trial.choose("30s", "24h");
    trial.configure(
        "api",
        &format!("names = [\"api.test\"]\nlifetime = \"{lifetime}\"\n[unit.\"fine.service\"]\nreload_timeout = \"5min\"\n"),
    )?;
    let checked = trial.attempt(&["renewctl", "check"])?;
    expect(
        checked.succeeded()
            && checked
                .output()
                .contains("warning: /etc/renewd/certs.d/api.toml:2: lifetime: leaves 10s"),
        "a warning with file and line",
        checked.output(),
    )?;
    // A warning and no more: where rotations are quicker than they may be, it works.
    trial.reload_renewd()?;
    trial.await_proof("api", "fine.service", "reloaded")?;
    trial.renew(&["api"])?.success()?;
    trial.expect_issuances("api.test", 2)
}

const START_LIMIT: Scenario = Scenario {
    name: "a_unit_at_its_start_limit_comes_back_after_a_restart_of_ours",
    disk: Disk::Installed,
    fault: "somebody stops the unit",
    red: "limited.service is active",
    run: start_limit,
};

fn start_limit(trial: &mut Trial) -> Result<()> {
    // The administrator's own start is the last that is allowed for a while, so that systemd refuses the start of the
    // first restart.
    trial.write(
        "/etc/systemd/system/limited.service",
        "[Unit]\nStartLimitIntervalSec=10\nStartLimitBurst=1\n[Service]\nExecStart=/bin/sleep infinity\n",
    )?;
    trial.systemctl(&["daemon-reload"])?;
    trial.systemctl(&["start", "limited.service"])?;
    trial.configure(
        "api",
        "names = [\"api.test\"]\n[unit.\"limited.service\"]\non_change = \"restart\"\n",
    )?;
    trial.reload_renewd()?;
    trial.await_proof("api", "limited.service", "reloaded")?;
    trial.renew(&["api"])?;
    trial.await_proof("api", "limited.service", "reloaded")?;
    trial.sabotage(|machine| machine.systemctl(&["stop", "limited.service"]).map(drop))?;
    trial.expect_unit("limited.service", "active")?;
    trial.expect_issuances("api.test", 2)
}
