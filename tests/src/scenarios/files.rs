//! Who owns what is published, who can read it, and that nothing takes that away again.

use super::nginx;
use super::plain::{await_another_process, said, systemd_version};
use crate::agent::{RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::program::Finished;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[MODES, READABLE, FAR];

fn read_as(machine: &Machine, user: &str, path: &str) -> Result<Finished> {
    machine.attempt(&[
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--init-groups",
        "cat",
        path,
    ])
}

fn two_certificates(trial: &Trial) -> Result<()> {
    trial.configure("api", &nginx::configuration("24h"))?;
    trial.configure("private", "names = [\"private.test\"]\n")?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    trial.run(&["renewctl", "wait", "private"]).map(drop)
}

const MODES: Scenario = Scenario {
    name: "owners_and_modes_are_as_asked_and_a_service_reads_its_own_key_only",
    disk: Disk::Installed,
    fault: "the other certificate's key is opened to all",
    red: "private/key.pem",
    run: modes,
};

fn modes(trial: &mut Trial) -> Result<()> {
    two_certificates(trial)?;
    trial.sabotage(|machine| {
        machine
            .run(&["chmod", "0644", &published("private", "key.pem")])
            .map(drop)
    })?;
    let expected = [
        ("/var/lib/renewd", "renewd:renewd 755"),
        ("/var/lib/renewd/store", "renewd:renewd 700"),
        ("/var/lib/renewd/certs", "renewd:renewd 755"),
        ("/var/lib/renewd/certs/api", "renewd:www-data 750"),
        ("/var/lib/renewd/certs/api/key.pem", "root:www-data 640"),
        (
            "/var/lib/renewd/certs/api/combined.pem",
            "root:www-data 640",
        ),
        ("/var/lib/renewd/certs/api/cert.pem", "root:www-data 644"),
        ("/var/lib/renewd/certs/api/ca.pem", "root:www-data 644"),
        ("/var/lib/renewd/certs/private", "renewd:root 750"),
        ("/var/lib/renewd/certs/private/key.pem", "root:root 600"),
        (
            "/var/lib/renewd/certs/private/combined.pem",
            "root:root 600",
        ),
    ];
    for (path, wanted) in expected {
        let found = trial.run(&["stat", "--dereference", "--format=%U:%G %a", path])?;
        expect_equal(path, &wanted, &found.trim())?;
    }
    let own = read_as(trial, "www-data", &published("api", "key.pem"))?;
    expect(
        own.stdout.contains("PRIVATE KEY"),
        "www-data reads its own key",
        own.output(),
    )?;
    for other in [
        &published("private", "key.pem"),
        "/var/lib/renewd/store/records/api.json",
    ] {
        let denied = read_as(trial, "www-data", other)?;
        expect(
            denied.stderr.contains("Permission denied"),
            format_args!("www-data is denied {other}"),
            denied.output(),
        )?;
    }
    Ok(())
}

const READABLE: Scenario = Scenario {
    name: "stop_crash_upgrade_downgrade_reinstall_and_tmpfiles_leave_every_published_file_as_it_was",
    disk: Disk::Installed,
    fault: "a tmpfiles.d line that takes the directory over",
    red: "after systemd-tmpfiles",
    run: untouched,
};

/// Every published file, link and directory with its owner, mode, inode and target.
pub(super) fn published_files(machine: &Machine) -> Result<String> {
    machine.shell("find /var/lib/renewd/certs -printf '%p %U:%G %m %i %l\\n' | sort")
}

fn untouched(trial: &mut Trial) -> Result<()> {
    two_certificates(trial)?;
    let before = published_files(trial)?;
    let expect_untouched = |trial: &Trial, after: &str| -> Result<()> {
        trial.expect_unit(RENEWD, "active")?;
        expect_equal(&format!("after {after}"), &before, &published_files(trial)?)?;
        let read = read_as(trial, "www-data", &published("api", "key.pem"))?;
        expect(
            read.stdout.contains("PRIVATE KEY"),
            format_args!("a key readable after {after}"),
            read.output(),
        )
    };
    trial.systemctl(&["stop", RENEWD])?;
    expect_equal("after stop", &before, &published_files(trial)?)?;
    trial.systemctl(&["start", RENEWD])?;
    expect_untouched(trial, "start")?;
    trial.systemctl(&["restart", RENEWD])?;
    expect_untouched(trial, "restart")?;

    let process = trial.unit_property(RENEWD, "MainPID")?;
    trial.systemctl(&["kill", "--signal=KILL", RENEWD])?;
    let mut process = await_another_process(trial, &process)?;
    expect_untouched(trial, "a crash")?;

    let previous = previous_build(trial)?;
    let this = format!("{IN_MACHINE}/renewd_*.deb");
    for (what, options, package) in [
        ("downgrade", "--allow-downgrades", &previous),
        ("upgrade", "", &this),
        ("reinstall", "--reinstall", &this),
    ] {
        trial.shell(&format!("apt-get install --yes {options} {package}"))?;
        process = await_another_process(trial, &process)?;
        expect_untouched(trial, what)?;
    }
    trial.sabotage(|machine| {
        machine.write(
            "/etc/tmpfiles.d/taken.conf",
            "Z /var/lib/renewd/certs 0700 root root\n",
        )
    })?;
    trial.run(&["systemd-tmpfiles", "--create"])?;
    expect_untouched(trial, "systemd-tmpfiles")?;
    trial.reboot()?;
    expect_untouched(trial, "a reboot")
}

/// Makes the same package under an earlier version, and returns its path.
fn previous_build(machine: &Machine) -> Result<String> {
    let made = "/var/tmp/previous.deb";
    machine.shell(&format!(
        "dpkg-deb --raw-extract {IN_MACHINE}/renewd_*.deb /var/tmp/previous\n\
         sed -i 's/^Version: .*/Version: 0.0.1-1/' /var/tmp/previous/DEBIAN/control\n\
         dpkg-deb -Znone --build /var/tmp/previous {made}"
    ))?;
    Ok(made.to_owned())
}

const FAR: Scenario = Scenario {
    name: "an_owner_of_a_directory_service_is_served_or_told_which_line_of_the_sandbox_is_in_the_way",
    disk: Disk::Installed,
    fault: "somebody gives the key back to root",
    red: "owner of the key",
    run: far,
};

fn far(trial: &mut Trial) -> Result<()> {
    // Directory services number their users far above what the user namespace of systemd 257 has.
    trial.run(&["useradd", "--uid", "1234567890", "far"])?;
    trial.configure("api", "names = [\"api.test\"]\nowner = \"far\"\n")?;
    if systemd_version(trial)? == 257 {
        let refused = trial.attempt(&["systemctl", "reload", RENEWD])?;
        expect(!refused.succeeded(), "a refused reload", refused.output())?;
        let said = said(trial)?;
        for part in ["api.toml:2: owner: far", "1234567890", "PrivateUsers=no"] {
            expect(said.contains(part), part, &said)?;
        }
        trial.drop_in(RENEWD, "[Service]\nPrivateUsers=no\n")?;
        trial.systemctl(&["restart", RENEWD])?;
    } else {
        trial.reload_renewd()?;
    }
    trial.run(&["renewctl", "wait", "api"])?;
    let key = published("api", "key.pem");
    trial.sabotage(|machine| machine.run(&["chown", "root", &key]).map(drop))?;
    let owner = trial.run(&["stat", "--dereference", "--format=%U", &key])?;
    expect_equal("owner of the key", &"far", &owner.trim())
}
