//! What the daemon makes of the results of systemd's jobs: each while another job is under way on that unit.
//! What can be refused is in [`super::refusals`].
//!
//! `act` (`agent/examples/act.rs`) tells one unit to act by the daemon's own code and prints what came of it. The
//! units' commands wait at gates, so that what happens in which order is the scenario's choice, not the clock's.

use std::thread;
use std::time::Duration;

use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[RESULTS, RUN_ANEW];

/// What a single act may take.
pub(super) const ACT: Duration = Duration::from_secs(50);
/// What systemd needs for anything but an act.
pub(super) const MOMENT: Duration = Duration::from_secs(20);

/// `turn NAME CODE…`: waits at its gate; its n-th run ends with the n-th code.
const TURN: &str = r#"#!/bin/sh
name=$1
echo run >> "/run/$name.runs"
until [ -e "/run/$name.gate" ]; do sleep 0.05; done
shift "$(wc -l < "/run/$name.runs")"
exit "$1"
"#;

pub(super) fn prepare(machine: &Machine) -> Result<()> {
    machine.write("/usr/local/bin/turn", TURN)?;
    machine.run(&["chmod", "0755", "/usr/local/bin/turn"])?;
    machine
        .shell("useradd --system --no-create-home renewd")
        .map(drop)
}

pub(super) fn unit(machine: &Machine, name: &str, text: &str) -> Result<()> {
    machine.write(&format!("/etc/systemd/system/{name}.service"), text)?;
    machine.systemctl(&["daemon-reload"]).map(drop)
}

/// A running service whose reloads are turns.
pub(super) fn service(machine: &Machine, name: &str, codes: &str, more: &str) -> Result<()> {
    let text = format!(
        "[Unit]\n{more}\n[Service]\nExecStart=/bin/sleep infinity\nExecReload=/usr/local/bin/turn {name} {codes}\n"
    );
    unit(machine, name, &text)?;
    machine.systemctl(&["start", name]).map(drop)
}

pub(super) fn open(machine: &Machine, name: &str) -> Result<()> {
    machine.shell(&format!("touch /run/{name}.gate")).map(drop)
}

/// What became of telling a unit, as JSON. What it says on the way is in `/run/UNIT.log`.
pub(super) fn act(machine: &Machine, unit: &str, verb: &str) -> Result<String> {
    let script =
        format!("RENEWD_LOG=renewd=debug {IN_MACHINE}/act \"$1\" \"$2\" 40s 2> \"/run/$1.log\"");
    let argv = ["sh", "-euc", &script, "act", unit, verb];
    let text = machine.attempt_with(&argv, &[], ACT)?.success()?;
    Ok(text.trim().to_owned())
}

/// Lets somebody else's job on the unit begin, then tells the unit, and lets `then` happen once systemd took the
/// request; what became of ours.
pub(super) fn act_beside(
    trial: &Trial,
    name: &str,
    verb: &str,
    then: impl FnOnce(&Machine) -> Result<()>,
) -> Result<String> {
    let unit = format!("{name}.service");
    trial.systemctl(&["--no-block", verb, &unit])?;
    trial.wait_until(
        &format!("the other job on {unit} is under way"),
        MOMENT,
        || {
            let jobs = trial.systemctl(&["list-jobs", "--plain", "--no-legend"])?;
            expect(jobs.contains(&unit), format_args!("a job on {unit}"), jobs)?;
            expect(
                trial.count_lines(&format!("/run/{name}.runs"))? == 1,
                "its first run",
                "none",
            )
        },
    )?;
    let machine: &Machine = trial;
    thread::scope(|scope| {
        let ours = scope.spawn(|| act(machine, &unit, verb));
        let log = format!("/run/{unit}.log");
        trial.wait_until(
            &format!("systemd took the request for {unit}"),
            MOMENT,
            || {
                let text = trial.read(&log)?;
                expect(text.contains("waiting for the job"), "a job of ours", text)
            },
        )?;
        then(machine)?;
        ours.join().expect("the act does not panic")
    })
}

const RESULTS: Scenario = Scenario {
    name: "each_result_of_a_job_is_told_while_another_job_is_under_way_on_the_unit",
    disk: Disk::Bare,
    fault: "the reload that has to succeed fails",
    red: "the outcome of done.service",
    run: results,
};

fn results(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    let expect_outcome = |name: &str, found: &str| {
        let unit = format!("the outcome of {name}.service");
        expect_equal(&unit, &format!(r#"{{"job":"{name}"}}"#), &found.to_owned())
    };
    // The other's reload fails, and ours does not: each has its own result.
    service(trial, "done", trial.choose("1 0", "1 1"), "")?;
    let found = act_beside(trial, "done", "reload", |machine| open(machine, "done"))?;
    expect_outcome("done", &found)?;

    service(trial, "failed", "0 1", "")?;
    let found = act_beside(trial, "failed", "reload", |machine| open(machine, "failed"))?;
    expect_outcome("failed", &found)?;

    service(trial, "timeout", "0 0", "JobRunningTimeoutSec=3")?;
    let found = act_beside(trial, "timeout", "reload", |_| Ok(()))?;
    expect_outcome("timeout", &found)?;

    service(trial, "canceled", "0 0", "")?;
    let found = act_beside(trial, "canceled", "reload", |machine| {
        machine.systemctl(&["stop", "canceled.service"]).map(drop)
    })?;
    expect_outcome("canceled", &found)?;

    // It waits for another, whose run is the first that is seen, and which fails.
    let oneshot = "[Service]\nType=oneshot\nExecStart=";
    unit(
        trial,
        "needed",
        &format!("{oneshot}/usr/local/bin/turn dependency 1\n"),
    )?;
    let needs = "[Unit]\nRequires=needed.service\nAfter=needed.service\n";
    unit(trial, "dependency", &format!("{needs}{oneshot}/bin/true\n"))?;
    let found = act_beside(trial, "dependency", "start", |machine| {
        open(machine, "dependency")
    })?;
    expect_outcome("dependency", &found)?;

    // It can no longer reload when the turn of our reload comes.
    service(trial, "skipped", "0 0", "")?;
    let found = act_beside(trial, "skipped", "reload", |machine| {
        machine.shell("sed -i /ExecReload/d /etc/systemd/system/skipped.service")?;
        machine.systemctl(&["daemon-reload"])?;
        open(machine, "skipped")
    })?;
    expect_outcome("skipped", &found)
}

const RUN_ANEW: Scenario = Scenario {
    name: "a_run_that_began_before_the_request_does_not_count_for_it",
    disk: Disk::Bare,
    fault: "the unit fails when it runs a second time",
    red: "the outcome",
    run: run_anew,
};

fn run_anew(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    let codes = trial.choose("0 0", "0 1");
    let text = format!("[Service]\nType=oneshot\nExecStart=/usr/local/bin/turn once {codes}\n");
    unit(trial, "once", &text)?;
    let found = act_beside(trial, "once", "start", |machine| open(machine, "once"))?;
    expect_equal("the outcome", &r#"{"job":"done"}"#, &found.as_str())?;
    expect_equal("the runs", &2, &trial.count_lines("/run/once.runs")?)?;

    // systemd itself does the same for reloads.
    service(trial, "again", "0 0", "")?;
    let found = act_beside(trial, "again", "reload", |machine| open(machine, "again"))?;
    expect_equal("the outcome", &r#"{"job":"done"}"#, &found.as_str())?;
    expect_equal("the reloads", &2, &trial.count_lines("/run/again.runs")?)
}
