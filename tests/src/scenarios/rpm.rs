//! The `.rpm`s, installed with `rpm` beside Debian's own packages: what their scriptlets do, and the file contexts.
//!
//! A Debian root file system stands in for a distribution that uses rpm: the scriptlets call only systemd and, where it is
//! there, SELinux. Dependencies are not looked at (`--nodeps`), since Debian's packages are no rpms.

use super::files::published_files;
use super::plain::{await_another_process, bare_certificates};
use crate::agent::RENEWD;
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[RPM, LABELS];

const SAMPLE_API: &str = "renewd-sample-api.service";
const SOCKET: &str = "renewd-http01.socket";

fn rpm(machine: &Machine, how: &str, directory: &str) -> Result<()> {
    machine
        .shell(&format!(
            "rpm --nodeps --nosignature {how} {directory}/*.rpm"
        ))
        .map(drop)
}

const RPM: Scenario = Scenario {
    name: "an_rpm_is_installed_upgraded_downgraded_and_removed_and_its_certificates_stay",
    disk: Disk::Bare,
    fault: "the scriptlet before the removal is left out",
    red: "renewd.service is inactive",
    run: life_of_an_rpm,
};

fn life_of_an_rpm(trial: &mut Trial) -> Result<()> {
    // Without SELinux here: with it is the other scenario.
    trial.run(&["rm", "--force", "/etc/selinux/config"])?;
    let previous = format!("{IN_MACHINE}/previous");
    rpm(trial, "--install", &previous)?;
    trial.expect_unit(RENEWD, "inactive")?;
    let enabled = |unit: &str| Ok(trial.attempt(&["systemctl", "is-enabled", unit])?.stdout);
    for (unit, preset) in [
        (RENEWD, "enabled\n"),
        ("renewd-credentials.socket", "enabled\n"),
        ("renewd-expiry.timer", "enabled\n"),
        (SAMPLE_API, "enabled\n"),
        (SOCKET, "disabled\n"),
    ] {
        expect_equal(unit, &preset.to_owned(), &enabled(unit)?)?;
    }
    trial.systemctl(&["start", RENEWD])?;
    bare_certificates(trial, &["api"])?;
    let published = published_files(trial)?;

    // A choice of the administrator's, which no preset is to undo.
    trial.systemctl(&["disable", SAMPLE_API])?;
    for (how, directory, version) in [
        ("--upgrade", IN_MACHINE, env!("CARGO_PKG_VERSION")),
        ("--upgrade --oldpackage", &previous, "0.0.1"),
    ] {
        let process = trial.unit_property(RENEWD, "MainPID")?;
        rpm(trial, how, directory)?;
        await_another_process(trial, &process)?;
        let found = trial.run(&["rpm", "--query", "--queryformat=%{VERSION}", "renewd"])?;
        expect_equal("the version", &version.to_owned(), &found)?;
        expect_equal(how, &published, &published_files(trial)?)?;
        expect_equal(SAMPLE_API, &"disabled\n".to_owned(), &enabled(SAMPLE_API)?)?;
    }

    let how = trial.choose("--erase", "--erase --nopreun");
    let said = trial.shell(&format!("rpm {how} renewd renewd-sample-api"))?;
    expect(said.contains("kept /var/lib/renewd"), "what is kept", &said)?;
    trial.expect_unit(RENEWD, "inactive")?;
    expect_equal("after removal", &published, &published_files(trial)?)?;
    for gone in [
        "/etc/systemd/system/multi-user.target.wants/renewd.service",
        "/etc/polkit-1/rules.d/50-renewd.rules",
        "/run/renewd-apply.digest",
        "/usr/share/doc/renewd",
        "/etc/renewd-sample-api",
    ] {
        expect(
            !trial.exists(gone)?,
            format_args!("no {gone}"),
            "it is still there",
        )?;
    }
    Ok(())
}

const LABELS: Scenario = Scenario {
    name: "the_rpm_labels_published_certificates_for_good",
    disk: Disk::Bare,
    fault: "the rules lose the line of our policy module",
    red: "cert_t on certs",
    run: labels,
};

/// The rules that `restorecon` goes by.
const CONTEXTS: &str = "/etc/selinux/default/contexts/files/file_contexts";

/// Does what `restorecon -R` does, which without SELinux in the kernel does nothing; and tells what it changed. Each file by
/// its own name: in an overlay, directories seem to be on another file system than their files, and are not left.
fn relabel(machine: &Machine) -> Result<String> {
    machine.shell(&format!(
        "find /var/lib/renewd | setfiles -v -f - {CONTEXTS}"
    ))
}

fn labels(trial: &mut Trial) -> Result<()> {
    rpm(trial, "--install", IN_MACHINE)?;
    trial.systemctl(&["start", RENEWD])?;
    bare_certificates(trial, &["api"])?;
    trial.sabotage(|machine| {
        let without = format!("sed -i /renewd/d {CONTEXTS}\nrm {CONTEXTS}.bin");
        machine.shell(&without).map(drop)
    })?;
    let relabelled = relabel(trial)?;
    for (file, label) in [
        ("certs", "cert_t"),
        ("certs/api", "cert_t"),
        ("certs/api/.1/key.pem", "cert_t"),
        ("certs/api/.1/fullchain.pem", "cert_t"),
        ("store", "var_lib_t"),
    ] {
        let (begin, end) = (
            format!("Relabeled /var/lib/renewd/{file} "),
            format!(":object_r:{label}:s0"),
        );
        let found = relabelled
            .lines()
            .any(|line| line.starts_with(&begin) && line.ends_with(&end));
        expect(found, format_args!("{label} on {file}"), &relabelled)?;
    }
    let again = relabel(trial)?;
    expect(again.is_empty(), "nothing left to relabel", again)?;
    // Published files stay, so their labels have to.
    trial.run(&["rpm", "--erase", "renewd"])?;
    let place = trial.run(&["matchpathcon", "-n", "/var/lib/renewd/certs/api/.1/key.pem"])?;
    expect(place.contains("cert_t"), "cert_t after removal", place)
}
