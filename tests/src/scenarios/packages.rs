//! The packages: installed from the file with `apt`, run, upgraded, removed; and the units that they bring.

use std::collections::BTreeSet;

use super::plain::{bare_certificates, expect_no_failed_unit, systemd_version};
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[INSTALL, PURGE, VERIFY, EXPOSURE, SOCKET, CONFINED];

const UNITS: [&str; 6] = [
    RENEWD,
    "renewd-credentials.socket",
    "renewd-wait@x.service",
    "renewd-expiry.service",
    "renewd-expiry.timer",
    "renewd-sample-api.service",
];
const HTTP01: &str = "renewd-http01.socket";
const TLS_ALPN01: &str = "renewd-tls-alpn01.socket";

fn install(machine: &Machine) -> Result<()> {
    machine
        .shell(&format!("apt-get install --yes {IN_MACHINE}/*.deb"))
        .map(drop)
}

const INSTALL: Scenario = Scenario {
    name: "both_packages_install_and_start_without_any_configuration",
    disk: Disk::Bare,
    fault: "renewd.service is masked before the installation",
    red: "renewd.service is active",
    run: install_and_start,
};

fn install_and_start(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| machine.systemctl(&["mask", RENEWD]).map(drop))?;
    install(trial)?;
    trial.expect_unit(RENEWD, "active")?;
    expect_equal(
        "renewd at boot",
        &"enabled\n".to_owned(),
        &trial.systemctl(&["is-enabled", RENEWD])?,
    )?;
    for socket in [HTTP01, TLS_ALPN01] {
        let enabled = trial.attempt(&["systemctl", "is-enabled", socket])?;
        expect_equal(socket, &"disabled\n".to_owned(), &enabled.stdout)?;
    }
    trial.run(&["renewctl", "status"])?;
    // Without its certificate the sample API is skipped, and that is no failure.
    trial.expect_unit("renewd-sample-api.service", "inactive")?;
    expect_no_failed_unit(trial)?;
    trial.reboot()?;
    trial.expect_unit(RENEWD, "active")?;
    expect_no_failed_unit(trial)
}

const PURGE: Scenario = Scenario {
    name: "purging_both_packages_leaves_nothing_behind_but_what_it_names",
    disk: Disk::Bare,
    fault: "the maintainer script does nothing",
    red: "/var/lib/renewd",
    run: purge,
};

fn purge(trial: &mut Trial) -> Result<()> {
    let before = files(trial)?;
    install(trial)?;
    trial.configure("api", "names = [\"api.test\"]\n[unit.\"nginx.service\"]\n")?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    let right = [
        "/etc/polkit-1/rules.d/50-renewd.rules",
        "/run/renewd-apply.digest",
    ];
    for file in right {
        expect(
            trial.exists(file)?,
            format_args!("{file} written by apply"),
            "nothing",
        )?;
    }
    trial.systemctl(&["enable", HTTP01])?;
    trial.run(&["apt-get", "remove", "--yes", "renewd", "renewd-sample-api"])?;
    trial.expect_unit(RENEWD, "inactive")?;
    // A digest that outlived its rule would say that reloads are allowed.
    for file in right {
        expect(
            !trial.exists(file)?,
            format_args!("no {file} after removal"),
            "it is still there",
        )?;
    }
    expect(
        trial.exists("/var/lib/renewd/certs/api/key.pem")?,
        "the published key after removal",
        "nothing",
    )?;
    trial.sabotage(|machine| machine.write("/var/lib/dpkg/info/renewd.postrm", "#!/bin/sh\n"))?;
    let said = trial.run(&["apt-get", "purge", "--yes", "renewd", "renewd-sample-api"])?;
    let left: Vec<String> = files(trial)?.difference(&before).cloned().collect();
    expect(
        left.is_empty(),
        "no file that was not there before",
        format_args!("{left:#?}"),
    )?;
    for word in [
        "the published certificates, the local CA",
        "renewd-admin",
        "group renewd-sample-api",
    ] {
        expect(said.contains(word), format_args!("`{word}` said"), &said)?;
    }
    let processes = trial.attempt(&["pgrep", "--list-full", "renewd"])?;
    expect(
        !processes.succeeded(),
        "no process left",
        processes.output(),
    )
}

/// Every path on the machine's disk, without what the package manager and systemd note down about any package.
fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let ours_to_ignore = [
        "/var/lib/dpkg/",
        "/var/lib/apt/",
        "/var/log/",
        "/var/cache/",
        "/etc/.pwd.lock",
    ];
    let all = machine.run(&["find", "/", "-xdev"])?;
    Ok(all
        .lines()
        .filter(|path| !ours_to_ignore.iter().any(|prefix| path.starts_with(prefix)))
        .map(str::to_owned)
        .collect())
}

const VERIFY: Scenario = Scenario {
    name: "systemd_has_nothing_to_say_against_the_units",
    disk: Disk::Installed,
    fault: "a key that systemd does not know",
    red: "NoSuchKey",
    run: verify,
};

fn verify(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| machine.drop_in(RENEWD, "[Service]\nNoSuchKey=1\n"))?;
    // It ends with exit code 0 on unknown keys: only silence is consent.
    let said = trial.attempt(
        &[
            &["systemd-analyze", "verify", HTTP01, TLS_ALPN01],
            &UNITS[..],
        ]
        .concat(),
    )?;
    expect(
        said.succeeded() && said.output().is_empty(),
        "silence",
        said.output(),
    )
}

const EXPOSURE: Scenario = Scenario {
    name: "the_units_stay_in_their_sandbox",
    disk: Disk::Installed,
    fault: "a sandbox without a system call filter",
    red: "exposure of renewd.service",
    run: exposure,
};

fn exposure(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| {
        machine.drop_in(RENEWD, "[Service]\nSystemCallFilter=\nPrivateTmp=no\n")
    })?;
    let with_user_namespace = systemd_version(trial)? >= 257;
    // In tenths.
    for (unit, most) in [
        (RENEWD, if with_user_namespace { 15 } else { 16 }),
        ("renewd-wait@api.service", 5),
        ("renewd-expiry.service", 5),
        ("renewd-sample-api.service", 11),
    ] {
        let threshold = format!("--threshold={most}");
        let judged = trial.attempt(&[
            "systemd-analyze",
            "security",
            "--no-pager",
            &threshold,
            unit,
        ])?;
        expect(
            judged.succeeded(),
            format_args!("an exposure of {unit} of at most {most} tenths"),
            judged.output(),
        )?;
    }
    Ok(())
}

const SOCKET: Scenario = Scenario {
    name: "the_daemon_does_not_mind_the_socket_for_http_01",
    disk: Disk::Installed,
    fault: "the socket is not started",
    red: "http01 among LISTEN_FDNAMES",
    run: socket,
};

fn socket(trial: &mut Trial) -> Result<()> {
    trial.systemctl(&["stop", RENEWD])?;
    let units = trial.choose(&[HTTP01, RENEWD][..], &[RENEWD]);
    trial.systemctl(&[&["start"], units].concat())?;
    let process = trial.unit_property(RENEWD, "MainPID")?;
    let handed = trial.shell(&format!("tr '\\0' '\\n' < /proc/{process}/environ"))?;
    let names = handed
        .lines()
        .find_map(|line| line.strip_prefix("LISTEN_FDNAMES="));
    expect(
        names.is_some_and(|names| names.split(':').any(|name| name == "http01")),
        "http01 among LISTEN_FDNAMES",
        handed,
    )?;
    // A caller that nobody answers yet, and a restart, which gets the same socket again.
    trial.run(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80"])?;
    trial.systemctl(&["restart", RENEWD])?;
    bare_certificates(trial, &["api"])?;
    trial.expect_unit(HTTP01, "active")?;
    // A daemon that the operator has to mend is not started without end by callers; with its start they get through again.
    trial.systemctl(&["enable", HTTP01])?;
    let ends = "[Service]\nExecStart=\nExecStart=/bin/sh -c 'exit 78'\n";
    trial.drop_in(RENEWD, ends)?;
    trial.systemctl(&["stop", RENEWD])?;
    let call = "exec 3<>/dev/tcp/127.0.0.1/80";
    trial.wait_until("the socket gives up", PROOF, || {
        trial.attempt(&["bash", "-c", call])?;
        trial.expect_unit(HTTP01, "failed")
    })?;
    trial.run(&[
        "rm",
        &format!("/etc/systemd/system/{RENEWD}.d/scenario.conf"),
    ])?;
    trial.systemctl(&["daemon-reload"])?;
    trial.systemctl(&["start", RENEWD])?;
    trial.wait_until("the socket is back with the daemon", PROOF, || {
        trial.expect_unit(RENEWD, "active")?;
        trial.expect_unit(HTTP01, "active")
    })?;
    trial.run(&["bash", "-c", call]).map(drop)
}

const CONFINED: Scenario = Scenario {
    name: "profiles_of_apparmor_that_include_certificates_and_keys_take_in_ours",
    disk: Disk::Installed,
    fault: "a rule without its end",
    red: "apparmor_parser",
    run: confined,
};

/// A profile as a distribution ships it for a server.
const PROFILE: &str = "include <tunables/global>
profile server /usr/sbin/server {
  include <abstractions/ssl_certs>
  include <abstractions/ssl_keys>
}
";

fn confined(trial: &mut Trial) -> Result<()> {
    trial.write("/root/profile", PROFILE)?;
    trial.sabotage(|machine| {
        let ours = "/etc/apparmor.d/abstractions/ssl_keys.d/renewd";
        machine.write(ours, "  /var/lib/renewd/certs/*/key.pem r\n")
    })?;
    // No profile is loaded: that takes a kernel with AppArmor.
    let parser = ["apparmor_parser", "--skip-kernel-load", "--skip-cache"];
    trial.run(&[&parser[..], &["/root/profile"]].concat())?;
    let whole = trial.run(&[&parser[..], &["--preprocess", "/root/profile"]].concat())?;
    for rule in [
        "certs/*/.[0-9]*/{cert,chain,fullchain,ca}.pem r,",
        "certs/*/.[0-9]*/{key,combined}.pem r,",
    ] {
        expect(whole.contains(rule), rule, &whole)?;
    }
    Ok(())
}
