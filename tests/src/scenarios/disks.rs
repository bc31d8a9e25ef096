//! Disks that refuse: full, read-only, out of descriptors. The old generation stays, nothing is issued twice, and
//! everything goes on when the disk takes what is written.

use std::time::Duration;

use super::nginx::{self, ADDRESS, NAME, NGINX};
use super::plain::{DOOR, MUTE, await_said, door_service};
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[FULL, READ_ONLY, READ_ONLY_START, DESCRIPTORS];

/// Puts a disk of one megabyte below the daemon, and lets nginx serve.
fn serve_from_small_disk(trial: &Trial) -> Result<String> {
    trial.systemctl(&["stop", RENEWD])?;
    trial.run(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=1m,mode=0755",
        "tmpfs",
        "/var/lib/renewd",
    ])?;
    trial.systemctl(&["start", RENEWD])?;
    nginx::serve(trial, "24h")
}

/// Waits until the status says why nothing goes on.
fn await_trouble(trial: &Trial, parts: &[&str]) -> Result<()> {
    trial.wait_until(&format!("the status tells of {parts:?}"), PROOF, || {
        let error = trial.status("api")?.last_error.unwrap_or_default();
        expect(
            parts.iter().all(|part| error.contains(part)),
            format_args!("{parts:?}"),
            &error,
        )
    })
}

/// Asks for a renewal that cannot be begun; whoever waits for it is told why, and goes away.
fn ask_in_vain(machine: &Machine, why: &str) -> Result<()> {
    let argv = ["renewctl", "renew", "api", "--wait"];
    let told = machine.attempt_with(&argv, &[], Duration::from_secs(2))?;
    expect(
        !told.succeeded() && told.output().contains(why),
        format_args!("who waits told of `{why}`"),
        told.output(),
    )
}

fn renew_once_more(machine: &Machine) -> Result<()> {
    machine.renew(&["api"]).map(drop)
}

const FULL: Scenario = Scenario {
    name: "a_full_disk_begins_nothing_publishes_nothing_half_and_heals",
    disk: Disk::Installed,
    fault: "a renewal more",
    red: "issuances",
    run: full,
};

fn full(trial: &mut Trial) -> Result<()> {
    let first = serve_from_small_disk(trial)?;
    trial.shell("dd if=/dev/zero of=/var/lib/renewd/fill bs=4k 2>/dev/null || true")?;
    ask_in_vain(trial, "No space left")?;
    await_trouble(trial, &["/store/records/", "No space left"])?;
    await_said(trial, "nothing is begun until the disk takes it")?;
    trial.expect_issuances(NAME, 1)?;
    trial.expect_in_use("api", ADDRESS, &first)?;

    // Room for the identity, the record and half of what is to be published.
    trial.shell("truncate --size=-28K /var/lib/renewd/fill")?;
    await_trouble(trial, &["/certs/api/.2/", "No space left"])?;
    trial.expect_in_use("api", ADDRESS, &first)?;
    trial.expect_issuances(NAME, 2)?;
    let half = trial.exists("/var/lib/renewd/certs/api/.2")?;
    expect(!half, "nothing left of what could not be published", ".2")?;

    trial.shell("rm /var/lib/renewd/fill")?;
    trial.sabotage(renew_once_more)?;
    let second = trial.await_published_after("api", &first)?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_issuances(NAME, 2)?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    let status = trial.status("api")?;
    expect(
        status.last_error.is_none(),
        "no trouble any more",
        format_args!("{status:?}"),
    )?;
    let asides = trial.shell("find /var/lib/renewd -name '*.new*'")?;
    expect(asides.is_empty(), "nothing left aside", asides)
}

const READ_ONLY: Scenario = Scenario {
    name: "a_disk_that_becomes_read_only_begins_nothing_and_heals",
    disk: Disk::Installed,
    fault: "a renewal more",
    red: "issuances",
    run: read_only,
};

/// The daemon holds its lock open for writing, so the disk itself cannot be remounted; what it sees of it can.
const CLOSE: &str =
    "mount --bind /var/lib/renewd /var/lib/renewd; mount -o remount,bind,ro /var/lib/renewd";

fn read_only(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    let process = trial.unit_property(RENEWD, "MainPID")?;
    let inside = ["nsenter", "--target", &process, "--mount"];
    trial.run(&[&inside[..], &["sh", "-euc", CLOSE]].concat())?;
    ask_in_vain(trial, "Read-only file system")?;
    await_trouble(trial, &["Read-only file system"])?;
    trial.expect_issuances(NAME, 1)?;
    trial.expect_in_use("api", ADDRESS, &first)?;
    trial.run(&[&inside[..], &["umount", "/var/lib/renewd"]].concat())?;
    trial.sabotage(|machine| {
        trial.await_published_after("api", &first)?;
        renew_once_more(machine)
    })?;
    trial.await_published_after("api", &first)?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_issuances(NAME, 2)?;
    expect_equal(
        "the process of the daemon",
        &process,
        &trial.unit_property(RENEWD, "MainPID")?,
    )
}

const READ_ONLY_START: Scenario = Scenario {
    name: "a_start_on_a_read_only_disk_fails_clearly_and_heals_by_itself",
    disk: Disk::Installed,
    fault: "the disk can be written",
    red: "the exit code of the daemon",
    run: read_only_start,
};

fn read_only_start(trial: &mut Trial) -> Result<()> {
    let serial = serve_from_small_disk(trial)?;
    trial.systemctl(&["stop", RENEWD])?;
    let how = trial.choose("remount,ro", "remount,rw");
    trial.run(&["mount", "-o", how, "/var/lib/renewd"])?;
    trial.attempt(&["systemctl", "start", RENEWD])?;
    let code = trial.unit_property(RENEWD, "ExecMainStatus")?;
    expect_equal("the exit code of the daemon", &"74", &code.as_str())?;
    await_said(trial, "/var/lib/renewd/store/lock: Read-only file system")?;
    trial.systemctl(&["restart", NGINX])?;
    trial.expect_in_use("api", ADDRESS, &serial)?;
    trial.run(&["mount", "-o", "remount,rw", "/var/lib/renewd"])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_issuances(NAME, 1)
}

const DESCRIPTORS: Scenario = Scenario {
    name: "a_daemon_out_of_descriptors_keeps_the_old_generation_and_heals",
    disk: Disk::Installed,
    fault: "a renewal more",
    red: "issuances",
    run: descriptors,
};

fn descriptors(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    // Somebody who does not answer: so the baseline takes two seconds.
    door_service(trial)?;
    trial.run(&["touch", MUTE])?;
    let mute = format!(
        "[unit.\"door.service\"]\non_change = \"none\"\nprobe = \"tls://{DOOR}\"\nprobe_timeout = \"2s\"\n"
    );
    trial.configure("api", &format!("{}{mute}", nginx::configuration("24h")))?;
    trial.reload_renewd()?;
    trial.await_proof("api", "door.service", "failed")?;

    let process = trial.unit_property(RENEWD, "MainPID")?;
    // It stays connected, so its descriptor is not given back.
    trial.run(&[
        "systemd-run",
        "--quiet",
        "--unit=renewal",
        "renewctl",
        "renew",
        "api",
        "--wait",
    ])?;
    await_said(trial, "issued: generation 2")?;
    // While the baseline waits for an answer.
    let limit = |soft: &str| {
        trial.run(&[
            "setpriv",
            "--reuid=renewd",
            "--regid=renewd",
            "--clear-groups",
            "prlimit",
            "--pid",
            &process,
            &format!("--nofile={soft}:"),
        ])
    };
    // Fewer than it holds all the time, so that none that it gives back can be had again.
    limit("12")?;
    await_said(trial, "Too many open files")?;
    trial.expect_in_use("api", ADDRESS, &first)?;
    limit("1024")?;
    let second = trial.await_published_after("api", &first)?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.sabotage(renew_once_more)?;
    trial.expect_issuances(NAME, 2)?;
    expect_equal(
        "the process of the daemon",
        &process,
        &trial.unit_property(RENEWD, "MainPID")?,
    )?;
    let seconds = trial.run(&["ps", "--no-headers", "-o", "cputimes", "--pid", &process])?;
    let spent = Duration::from_secs(seconds.trim().parse().unwrap_or(u64::MAX / 2));
    expect(
        spent < Duration::from_secs(2),
        "no hot loop: less than 2 s of processor time",
        format_args!("{spent:?}"),
    )
}
