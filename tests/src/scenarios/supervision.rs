//! The daemon under systemd's own turns: a boot while the CA is out of order, and a user space that begins anew under it.

use std::time::Duration;

use super::nginx::{self, ADDRESS, NAME, NGINX};
use super::plain::{expect_no_failed_unit, systemd_version};
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[CA_DOWN, ANEW, EXPIRY];

const CA_DOWN: Scenario = Scenario {
    name: "a_machine_boots_and_serves_while_its_ca_is_out_of_order",
    disk: Disk::Installed,
    fault: "what was published is gone, too",
    red: "nginx.service is active",
    run: ca_down,
};

fn ca_down(trial: &mut Trial) -> Result<()> {
    const CA: &str = "/var/lib/renewd/store/issuer/internal";
    let first = nginx::serve(trial, "24h")?;
    trial.systemctl(&["enable", NGINX])?;
    trial.run(&["chmod", "0", CA])?;
    trial.run(&["renewctl", "renew", "api"])?;
    trial.wait_until("the failed try is told", PROOF, || {
        let error = trial.status("api")?.last_error.unwrap_or_default();
        expect(
            error.contains("store/issuer/internal"),
            "a failed try",
            error,
        )
    })?;
    trial.sabotage(|machine| {
        machine.systemctl(&["mask", "--now", RENEWD])?;
        machine
            .run(&["rm", "--recursive", "/var/lib/renewd/certs/api"])
            .map(drop)
    })?;
    trial.reboot()?;
    trial.expect_unit(NGINX, "active")?;
    trial.expect_unit(RENEWD, "active")?;
    expect_no_failed_unit(trial)?;
    trial.expect_in_use("api", ADDRESS, &first)?;
    trial.expect_issuances(NAME, 1)?;

    trial.run(&["chmod", "700", CA])?;
    trial.renew(&["api"])?.success()?;
    trial.await_proof("api", NGINX, "served")?;
    let second = trial.published_serial("api")?;
    expect(second != first, "another certificate", &second)?;
    trial.expect_issuances(NAME, 2)
}

const ANEW: Scenario = Scenario {
    name: "a_soft_reboot_or_a_new_systemd_costs_no_certificate_and_no_proof",
    disk: Disk::Installed,
    fault: "somebody writes the key anew",
    red: "the published key",
    run: anew,
};

/// Runs `systemctl` with little patience: a question that reaches systemd just as it makes way for its successor is never
/// answered.
fn look(trial: &Trial, arguments: &[&str]) -> Result<String> {
    trial
        .attempt_with(
            &[&["systemctl"], arguments].concat(),
            &[],
            Duration::from_secs(5),
        )?
        .success()
}

fn anew(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, "24h")?;
    trial.systemctl(&["enable", NGINX])?;
    let key = published("api", "key.pem");
    let looks =
        |trial: &Trial| trial.run(&["stat", "--dereference", "--format=%i %U:%G %a %z", &key]);
    let before = looks(trial)?;
    if systemd_version(trial)? >= 254 {
        // The command is ended with everything else.
        trial.attempt(&["systemctl", "--no-block", "soft-reboot"])?;
        trial.wait_until("user space has begun anew", PROOF, || {
            let times = look(trial, &["show", "--property=SoftRebootsCount", "--value"])?;
            expect_equal("soft reboots", &"1", &times.trim())?;
            look(trial, &["is-system-running"]).map(drop)
        })?;
    } else {
        trial.systemctl(&["daemon-reexec"])?;
    }
    trial.sabotage(|machine| {
        machine
            .shell(&format!("cp -L {key} /tmp/key && cat /tmp/key >{key}"))
            .map(drop)
    })?;
    trial.expect_unit(RENEWD, "active")?;
    trial.expect_unit(NGINX, "active")?;
    expect_no_failed_unit(trial)?;
    expect_equal("the published key", &before, &looks(trial)?)?;
    trial.expect_issuances(NAME, 1)?;
    trial.renew(&["api"])?.success()?;
    trial.await_proof("api", NGINX, "served")?;
    let second = trial.published_serial("api")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}

const EXPIRY: Scenario = Scenario {
    name: "a_certificate_that_a_stopped_daemon_lets_expire_fails_a_unit_that_tells_others",
    disk: Disk::Installed,
    fault: "the certificate has a day to live",
    red: "a failed look",
    run: expiry,
};

fn expiry(trial: &mut Trial) -> Result<()> {
    const LOOK: &str = "renewd-expiry.service";
    trial.write(
        "/etc/systemd/system/alert@.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo %i >>/run/alerts'\n",
    )?;
    trial.drop_in(LOOK, "[Unit]\nOnFailure=alert@%n.service\n")?;
    trial.expect_unit("renewd-expiry.timer", "active")?;
    let enabled = trial.systemctl(&["is-enabled", "renewd-expiry.timer"])?;
    expect_equal("the timer at boot", &"enabled", &enabled.trim())?;

    let lifetime = trial.choose("30s", "24h");
    trial.configure(
        "api",
        &format!("names = [\"api.test\"]\nlifetime = \"{lifetime}\"\n"),
    )?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    trial.systemctl(&["start", LOOK])?;
    trial.systemctl(&["stop", RENEWD])?;
    trial.wait_until("a failed look", PROOF, || {
        let look = trial.attempt(&["systemctl", "start", LOOK])?;
        expect(!look.succeeded(), "a failed look", look.output())
    })?;
    trial.wait_until("the alert", PROOF, || {
        let alerts = trial.read("/run/alerts")?;
        expect(alerts.contains(LOOK), "an alert", alerts)
    })?;
    let told = trial.run(&[
        "journalctl",
        "--output=cat",
        "--unit=renewd-expiry.service",
        "RENEWD_CERT=api",
        "PRIORITY=3",
    ])?;
    expect(
        told.contains("api: "),
        "an error with its certificate",
        &told,
    )?;
    trial.systemctl(&["start", RENEWD])?;
    trial.wait_until("a look at the renewed certificate", PROOF, || {
        trial.systemctl(&["start", LOOK]).map(drop)
    })
}
