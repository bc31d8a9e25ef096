//! What remains after many rotations, and what an idle daemon costs.

use std::time::Duration;

use super::nginx::{self, ADDRESS, NAME, NGINX};
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Failure, Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[MANY, IDLE];

/// How many rotations; another number in the environment variable `RENEWD_ROTATIONS`.
const ROTATIONS: usize = 200;
/// A rotation with its proof takes a tenth of a second; this allows for a loaded host.
const ROTATION: Duration = Duration::from_secs(2);
/// What a daemon with one certificate may keep in memory.
const RESIDENT_KB: usize = 20_000;

const MANY: Scenario = Scenario {
    name: "many_rotations_in_a_row_are_all_proven_and_leave_nothing_behind",
    disk: Disk::Installed,
    fault: "callers stay connected",
    red: "descriptors",
    run: many,
};

/// What the daemon holds.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    resident_kb: usize,
}

fn held(machine: &Machine) -> Result<Held> {
    let process = machine.unit_property(RENEWD, "MainPID")?;
    let script = "ls /proc/$1/fd | wc -l; sed -n 's/^VmRSS: *//p' /proc/$1/status";
    let text = machine.run(&["sh", "-euc", script, "held", &process])?;
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(descriptors), Some(resident_kb)) => Ok(Held {
            descriptors,
            resident_kb,
        }),
        _ => Err(Failure::Expectation {
            expected: "descriptors and memory".to_owned(),
            found: text,
        }),
    }
}

fn files(machine: &Machine) -> Result<usize> {
    let found = machine.shell("find /var/lib/renewd | wc -l")?;
    Ok(found.trim().parse().unwrap_or(usize::MAX))
}

/// Renews so many times, each with its proof.
fn rotate(machine: &Machine, count: usize) -> Result<()> {
    let script = "for number in $(seq \"$1\"); do renewctl renew api --wait > /run/steps 2>&1 || { echo \"rotation $number of $1\"; cat /run/steps; exit 1; }; done";
    let within = ROTATION * u32::try_from(count).unwrap_or(u32::MAX);
    machine
        .attempt_with(
            &["sh", "-euc", script, "rotate", &count.to_string()],
            &[],
            within.max(PROOF),
        )?
        .success()
        .map(drop)
}

fn many(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    let count = std::env::var("RENEWD_ROTATIONS")
        .ok()
        .and_then(|text| text.parse().ok());
    let count = trial.choose(count.unwrap_or(ROTATIONS), 3);
    // What is kept from the first rotations on is not what grows.
    let warm = 3;
    rotate(trial, warm)?;
    let before = held(trial)?;
    let kept = files(trial)?;
    trial.sabotage(|machine| {
        let stay = "use IO::Socket::UNIX; my @kept = map { IO::Socket::UNIX->new('/run/renewd/status.sock') or die } 1 .. 10; sleep 1000";
        let argv = ["systemd-run", "--quiet", "--unit=callers", "perl", "-e", stay];
        machine.run(&argv).map(drop)
    })?;
    rotate(trial, count)?;
    let after = held(trial)?;
    let (published, all) = (trial.published_serial("api")?, warm + count + 1);
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &published)?;
    trial.expect_issuances(NAME, all)?;
    let generation = trial.status("api")?.generation;
    expect_equal("the generation", &u64::try_from(all).ok(), &generation)?;
    expect(
        after.descriptors <= before.descriptors + 2,
        format_args!("as many descriptors as before: {}", before.descriptors),
        after.descriptors,
    )?;
    expect(
        after.resident_kb < RESIDENT_KB,
        format_args!("less than {RESIDENT_KB} kB of memory"),
        format_args!(
            "{} kB, and {} kB before",
            after.resident_kb, before.resident_kb
        ),
    )?;

    // Old generations stay for ten minutes. When these are over, a look at the disk takes them away: the start's.
    trial.shell("find /var/lib/renewd/certs/api -maxdepth 1 -name '.[0-9]*' -exec touch --date '20 minutes ago' {} +")?;
    let grown = files(trial)?;
    trial.systemctl(&["restart", RENEWD])?;
    trial.wait_until("what is superfluous is removed", PROOF, || {
        let left = files(trial)?;
        expect(
            left <= kept,
            format_args!("no more files than after {warm} rotations: {kept}"),
            format_args!("{left} of {grown}"),
        )
    })?;
    trial.expect_in_use("api", ADDRESS, &published)?;
    trial.expect_issuances(NAME, all)?;
    println!(
        "      {count} rotations, all proven: {before:?} before, {after:?} after; {kept} files before, {grown} meanwhile"
    );
    Ok(())
}

const IDLE: Scenario = Scenario {
    name: "an_idle_daemon_is_small_and_sleeps",
    disk: Disk::Installed,
    fault: "somebody asks it all the while",
    red: "wake-ups",
    run: idle,
};

fn idle(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    let process = trial.unit_property(RENEWD, "MainPID")?;
    let (seconds, disturb) = trial.choose((10, ""), (2, "renewctl status > /run/status;"));
    if disturb.is_empty() {
        // Threads that made keys end by themselves when they are not needed any more.
        trial.wait_until("two threads are left", PROOF, || {
            let threads = trial.shell(&format!("cat /proc/{process}/task/*/comm"))?;
            expect_equal(
                "the driver's thread, and the one that answers for credentials",
                &"renewd\ncredentials\n",
                &threads.as_str(),
            )
        })?;
    }
    let script = format!(
        "count() {{ cat /proc/{process}/task/*/status | awk '/^voluntary_ctxt_switches/ {{ n += $2 }} END {{ print n }}'; }}; \
         before=$(count); for second in $(seq {seconds}); do {disturb} sleep 1; done; echo $(($(count) - before))"
    );
    let switches = trial.shell(&script)?;
    let switches: usize = switches.trim().parse().unwrap_or(usize::MAX);
    // The watchdog is fed every 15 seconds.
    expect(
        switches <= 1,
        "no wake-ups in ten seconds but the watchdog's",
        switches,
    )?;
    let held = held(trial)?;
    expect(
        held.resident_kb < RESIDENT_KB,
        format_args!("less than {RESIDENT_KB} kB of memory"),
        format_args!("{held:?}"),
    )
}
