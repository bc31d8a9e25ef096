//! How the daemon behaves towards systemd: it never waits where somebody waits for it, ends at once when told to, comes
//! back when it hangs, and takes a bus or a polkit that is not there for what it is: debt, and nobody's fault.

use std::time::{Duration, Instant};

use super::evidence::expect_verdict;
use super::nginx::{self, ADDRESS, NAME, NGINX};
use super::plain::{
    DOOR, HELD_RELOAD, HOLD, MUTE, RELOADS, await_another_process, await_said, door_service,
};
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[ORDERED, RELOADING, PROBING, ISSUING, FROZEN, BUS, POLKIT];

/// What starting, reloading and stopping the daemon may take: the trap costs 90 s.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Has systemd do something with the daemon, which has to be done at once.
fn at_once(trial: &Trial, verb: &str) -> Result<()> {
    let begun = Instant::now();
    let outcome = trial.attempt_with(&["systemctl", verb, RENEWD], &[], AT_ONCE)?;
    expect(
        outcome.succeeded() && begun.elapsed() < AT_ONCE,
        format_args!("{verb} at once"),
        format_args!("{:?}: {}", begun.elapsed(), outcome.output()),
    )
}

/// Stops the daemon, and sees that nothing had to be forced.
fn stop_at_once(trial: &Trial) -> Result<()> {
    at_once(trial, "stop")?;
    let result = trial.unit_property(RENEWD, "Result")?;
    expect_equal("how the daemon ended", &"success", &result.as_str())
}

/// Renews, with nginx held up in its reload.
fn renew_and_hold(trial: &Trial) -> Result<String> {
    let before = trial.published_serial("api")?;
    trial.run(&["touch", HOLD])?;
    trial.run(&["renewctl", "renew", "api"])?;
    trial.wait_until("the reload has begun and is held up", PROOF, || {
        trial.expect_unit(NGINX, "reloading")
    })?;
    trial.await_published_after("api", &before)
}

/// Puts [`HELD_RELOAD`] in front of nginx's own; `more` are lines of its `[Unit]` section.
fn hold_reloads(machine: &Machine, more: &str) -> Result<()> {
    let own = r#"/usr/sbin/nginx -g "daemon on; master_process on;" -s reload"#;
    machine.drop_in(
        NGINX,
        &format!(
            "[Unit]\n{more}\n[Service]\nExecReload=\nExecReload={HELD_RELOAD}\nExecReload={own}\n"
        ),
    )
}

const ORDERED: Scenario = Scenario {
    name: "a_dependent_that_is_ordered_after_the_daemon_never_deadlocks_with_it",
    disk: Disk::Installed,
    fault: "the daemon's reload waits for its dependent's",
    red: "reload at once",
    run: ordered,
};

fn ordered(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    hold_reloads(trial, "After=renewd.service")?;
    let second = renew_and_hold(trial)?;
    trial.sabotage(|machine| {
        machine.drop_in(
            RENEWD,
            "[Service]\nExecReload=+/bin/systemctl reload nginx.service\n",
        )
    })?;
    at_once(trial, "reload")?;
    stop_at_once(trial)?;
    at_once(trial, "start")?;
    at_once(trial, "restart")?;
    at_once(trial, "reload")?;
    trial.run(&["rm", HOLD])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;

    // Both in one transaction: nginx's reload is told to wait for the daemon's own.
    let before = trial.count_lines(RELOADS)?;
    trial.renew(&["api"])?.success()?;
    let both = ["systemctl", "reload", NGINX, RENEWD];
    trial.attempt_with(&both, &[], AT_ONCE)?.success()?;
    trial.await_proof("api", NGINX, "served")?;
    expect(
        trial.count_lines(RELOADS)? >= before + 2,
        "both reloads of nginx",
        trial.count_lines(RELOADS)?,
    )?;

    // Shutting down and booting with debt: each orders the two, one way and the other.
    trial.systemctl(&["enable", NGINX])?;
    let last = renew_and_hold(trial)?;
    let begun = Instant::now();
    trial.reboot()?;
    let took = begun.elapsed();
    expect(
        took < 3 * AT_ONCE,
        "a reboot without waiting",
        format_args!("{took:?}"),
    )?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &last)?;
    trial.expect_issuances(NAME, 4)
}

const RELOADING: Scenario = Scenario {
    name: "sigterm_while_a_reload_hangs_ends_at_once_and_the_debt_is_paid_later",
    disk: Disk::Installed,
    fault: "the reload never comes to its end",
    red: "api is served",
    run: reloading,
};

fn reloading(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    hold_reloads(trial, "")?;
    let second = renew_and_hold(trial)?;
    stop_at_once(trial)?;
    if trial.choose(true, false) {
        trial.run(&["rm", HOLD])?;
    }
    at_once(trial, "start")?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}

const PROBING: Scenario = Scenario {
    name: "sigterm_while_a_probe_hangs_ends_at_once_and_the_debt_is_paid_later",
    disk: Disk::Installed,
    fault: "nobody ever answers the probe",
    red: "api is served",
    run: probing,
};

fn probing(trial: &mut Trial) -> Result<()> {
    door_service(trial)?;
    nginx::serve(trial, "24h")?;
    hold_reloads(trial, "")?;
    let patient = format!("{}probe_timeout = \"10min\"\n", nginx::configuration("24h"));
    trial.configure("api", &patient.replace(ADDRESS, DOOR))?;
    trial.reload_renewd()?;
    trial.await_proof("api", NGINX, "served")?;
    let second = renew_and_hold(trial)?;
    // From here on nobody is answered; the probe has more patience than anybody here.
    trial.run(&["touch", MUTE])?;
    trial.run(&["rm", HOLD])?;
    await_said(trial, "nginx.service has acted")?;
    stop_at_once(trial)?;
    if trial.choose(true, false) {
        trial.run(&["rm", MUTE])?;
    }
    at_once(trial, "start")?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}

const ISSUING: Scenario = Scenario {
    name: "sigterm_while_the_issuer_works_ends_at_once_and_it_is_asked_again",
    disk: Disk::Installed,
    fault: "the certificate leaves the configuration meanwhile",
    red: "renewctl wait rsa",
    run: issuing,
};

fn issuing(trial: &mut Trial) -> Result<()> {
    // A key that takes a while. The shorter life is for the back-off, which is longer for longer lives.
    let text = "names = [\"rsa.test\"]\nkey_type = \"rsa-4096\"\nlifetime = \"30min\"\n";
    trial.configure("rsa", text)?;
    trial.reload_renewd()?;
    stop_at_once(trial)?;
    at_most(trial, 1)?;
    trial.sabotage(|machine| {
        machine
            .run(&["rm", "/etc/renewd/certs.d/rsa.toml"])
            .map(drop)
    })?;
    at_once(trial, "start")?;
    trial.run(&["renewctl", "wait", "rsa"])?;
    at_most(trial, 2)
}

/// What the authority has signed before the daemon died may have been lost with its key.
fn at_most(trial: &Trial, count: usize) -> Result<()> {
    let issued = trial.issuances("rsa.test").unwrap_or(0);
    expect(
        issued <= count,
        format_args!("at most {count} issuances for rsa.test"),
        issued,
    )
}

const FROZEN: Scenario = Scenario {
    name: "a_frozen_daemon_is_killed_by_its_watchdog_and_comes_back",
    disk: Disk::Installed,
    fault: "the unit has no watchdog",
    red: "a new process",
    run: frozen,
};

fn frozen(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    let configured = trial.unit_property(RENEWD, "WatchdogUSec")?;
    expect_equal("the watchdog as packaged", &"30s", &configured.as_str())?;
    let seconds = trial.choose(2, 0);
    let quick = format!("[Service]\nWatchdogSec={seconds}\nTimeoutAbortSec=1\n");
    trial.drop_in(RENEWD, &quick)?;
    trial.systemctl(&["restart", RENEWD])?;
    let process = trial.unit_property(RENEWD, "MainPID")?;
    trial.run(&["kill", "-STOP", &process])?;
    await_another_process(trial, &process)?;
    trial.renew(&["api"])?.success()?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_issuances(NAME, 2)
}

const BUS: Scenario = Scenario {
    name: "a_bus_that_is_restarted_in_the_middle_of_a_reload_costs_nothing",
    disk: Disk::Installed,
    fault: "the bus stays away",
    red: "api is served",
    run: bus,
};

fn bus(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    hold_reloads(trial, "")?;
    let second = renew_and_hold(trial)?;
    // systemctl talks to systemd itself, not over the bus.
    trial.systemctl(&["stop", "dbus.socket", "dbus.service"])?;
    if trial.choose(true, false) {
        trial.systemctl(&["start", "dbus.socket", "dbus.service"])?;
    }
    trial.run(&["rm", HOLD])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)?;
    expect_verdict(trial, 2, "settled")
}

const POLKIT: Scenario = Scenario {
    name: "without_the_polkit_rule_there_is_debt_and_no_verdict_until_it_is_applied",
    disk: Disk::Installed,
    fault: "the rule is there",
    red: "api is failed by nginx.service",
    run: polkit,
};

fn polkit(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    if trial.choose(true, false) {
        trial.run(&["rm", "/etc/polkit-1/rules.d/50-renewd.rules"])?;
        trial.systemctl(&["restart", "polkit.service"])?;
    }
    trial.run(&["renewctl", "renew", "api"])?;
    let second = trial.await_published_after("api", &first)?;
    let status = trial.await_proof("api", NGINX, "failed")?;
    let reason = status.units.first().and_then(|unit| unit.reason.as_deref());
    expect_equal("the reason", &Some("reload refused"), &reason)?;
    let error = status.last_error.unwrap_or_default();
    expect(error.contains("renewctl apply"), "the remedy", error)?;
    expect_verdict(trial, 2, "unproven")?;
    let (published, served) = (
        trial.published_serial("api")?,
        trial.served_serial(ADDRESS)?,
    );
    expect_equal("what stays published", &second, &published)?;
    expect_equal("what is served", &first, &served)?;
    trial.expect_issuances(NAME, 2)?;

    trial.run(&["renewctl", "apply"])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}
