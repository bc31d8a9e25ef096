//! Baseline and verdict, with a real nginx: when renewd goes back, and when it must not.
//!
//! Each asserts the issuances counted at the authority, the leaf served, the leaf published, and the verdict.

use std::time::Duration;

use super::evidence::{expect_bundle, expect_verdict};
use super::nginx::{self, ADDRESS, NAME, NGINX, RELOADS};
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[
    BLAMED,
    NOT_THE_CERTIFICATE,
    STALE,
    DOWN,
    HELD_FORWARD,
    STOPPED,
];

/// Lets nginx reload only with the leaves listed in a file, where there is one.
const ONLY_ACCEPTED: &str = "ExecReload=/bin/sh -c 'test ! -e /run/accepted || \
    openssl x509 -noout -serial -in /var/lib/renewd/certs/api/cert.pem | grep -qxFf /run/accepted'";
/// Writes down the leaf that is published now.
const ACCEPT_CURRENT: &str =
    "openssl x509 -noout -serial -in /var/lib/renewd/certs/api/cert.pem > /run/accepted";

const BLAMED: Scenario = Scenario {
    name: "a_reload_that_fails_because_of_the_new_certificate_brings_the_old_one_back",
    disk: Disk::Installed,
    fault: "the reload fails with the old certificate as well",
    red: "published for api",
    run: blamed,
};

fn blamed(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    nginx::observe_reloads(trial, ONLY_ACCEPTED)?;
    trial.shell(trial.choose(ACCEPT_CURRENT, "echo none > /run/accepted"))?;
    let renewal = trial.renew(&["api"])?;
    expect(!renewal.succeeded(), "a failed renewal", renewal.output())?;
    trial.wait_until("the old certificate is back", PROOF, || {
        trial.expect_in_use("api", ADDRESS, &first)
    })?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_issuances(NAME, 2)?;
    expect_verdict(trial, 2, "blamed")?;
    expect_bundle(trial)?;
    let status = trial.status("api")?;
    expect(
        status.last_error.is_some(),
        "the cause in the status",
        format_args!("{status:?}"),
    )
}

const NOT_THE_CERTIFICATE: Scenario = Scenario {
    name: "a_reload_that_fails_for_another_reason_is_retried_and_never_issues",
    disk: Disk::Installed,
    fault: "a renewal more",
    red: "issuances",
    run: not_the_certificate,
};

fn not_the_certificate(trial: &mut Trial) -> Result<()> {
    // Retries are never further apart than a thousandth of the life.
    let first = nginx::serve(trial, "10m")?;
    nginx::observe_reloads(trial, "")?;
    trial.write("/etc/nginx/conf.d/broken.conf", "no_such_directive on;\n")?;
    trial.run(&["renewctl", "renew", "api"])?;
    let second = trial.await_published_after("api", &first)?;
    for retry in 1..=20 {
        trial.wait_until("the reload is tried again", PROOF, || {
            let reloads = trial.count_lines(RELOADS)?;
            expect(reloads >= retry, format_args!("{retry} reloads"), reloads)
        })?;
        if retry == 15 {
            trial.sabotage(|machine| machine.run(&["renewctl", "renew", "api"]).map(drop))?;
        }
    }
    trial.expect_issuances(NAME, 2)?;
    let status = trial.await_proof("api", NGINX, "failed")?;
    let reason = status
        .units
        .first()
        .and_then(|unit| unit.reason.clone())
        .unwrap_or_default();
    expect(
        reason == "reload failed",
        "the reason `reload failed`",
        reason,
    )?;
    trial.wait_until("the new certificate is published again", PROOF, || {
        let published = trial.published_serial("api")?;
        expect(
            published == second,
            format_args!("{second} published"),
            published,
        )
    })?;
    expect_verdict(trial, 2, "not the certificate")?;
    expect_bundle(trial)?;
    // The cause mended, the next retry proves it.
    trial.run(&["rm", "/etc/nginx/conf.d/broken.conf"])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}

const STALE: Scenario = Scenario {
    name: "a_service_that_stays_on_the_old_certificate_is_an_alarm_and_nothing_is_taken_back",
    disk: Disk::Installed,
    fault: "the service does take the new one up",
    red: "api is failed by nginx.service",
    run: stale,
};

fn stale(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    let ignored = "[Service]\nExecReload=\nExecReload=/bin/true\n";
    let taken_up = "[Service]\n";
    trial.drop_in(NGINX, trial.choose(ignored, taken_up))?;
    trial.run(&["renewctl", "renew", "api"])?;
    let second = trial.await_published_after("api", &first)?;
    let status = trial.await_proof("api", NGINX, "failed")?;
    let reason = status
        .units
        .first()
        .and_then(|unit| unit.reason.clone())
        .unwrap_or_default();
    expect(reason == "wrong leaf", "the reason `wrong leaf`", reason)?;
    let (published, served) = (
        trial.published_serial("api")?,
        trial.served_serial(ADDRESS)?,
    );
    expect(
        published == second,
        "the new leaf stays published",
        published,
    )?;
    expect(served == first, "the old leaf is served", served)?;
    expect_verdict(trial, 2, "unproven")?;
    expect_bundle(trial)?;
    trial.expect_issuances(NAME, 2)?;
    // The debt is still there: once the service can reload, it is paid without another issuance.
    trial.drop_in(NGINX, taken_up)?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}

const DOWN: Scenario = Scenario {
    name: "a_service_that_was_down_before_is_not_blamed_on_the_certificate",
    disk: Disk::Installed,
    fault: "the service is mended before the renewal",
    red: "api is not running by nginx.service",
    run: down,
};

fn down(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    trial.write("/etc/nginx/conf.d/broken.conf", "no_such_directive on;\n")?;
    trial.attempt(&["systemctl", "restart", NGINX])?;
    trial.expect_unit(NGINX, "failed")?;
    let mend = |machine: &Machine| {
        machine
            .shell("rm /etc/nginx/conf.d/broken.conf; systemctl start nginx.service")
            .map(drop)
    };
    trial.sabotage(mend)?;
    trial.run(&["renewctl", "renew", "api"])?;
    let second = trial.await_published_after("api", &first)?;
    trial.await_proof("api", NGINX, "not running")?;
    trial.expect_unit(NGINX, "failed")?;
    expect_verdict(trial, 2, "settled")?;
    expect_bundle(trial)?;
    mend(trial)?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)
}

const HELD_FORWARD: Scenario = Scenario {
    name: "an_expired_identity_never_comes_back_however_the_reload_fails",
    disk: Disk::Installed,
    fault: "the old identity is not expired",
    red: "the new leaf stays published",
    run: held_forward,
};

fn held_forward(trial: &mut Trial) -> Result<()> {
    nginx::serve(trial, trial.choose("30s", "24h"))?;
    nginx::observe_reloads(trial, ONLY_ACCEPTED)?;
    // Renewals before the expiry are kept off by the daemon's absence.
    trial.systemctl(&["stop", RENEWD])?;
    let old = trial.published_serial("api")?;
    trial.shell(ACCEPT_CURRENT)?;
    let leaf = "/var/lib/renewd/certs/api/cert.pem";
    let expiry = trial.wait_until(
        "the old identity has expired",
        Duration::from_secs(60),
        || {
            let checked =
                trial.attempt(&["openssl", "x509", "-noout", "-checkend", "0", "-in", leaf])?;
            expect(!checked.succeeded(), "an expired leaf", checked.output())
        },
    );
    let (issued, reloads) = (trial.issuances(NAME)?, trial.count_lines(RELOADS)?);
    trial.configure("api", &nginx::configuration("24h"))?;
    trial.systemctl(&["start", RENEWD])?;
    // Only the twin's is still valid now, and not due.
    if expiry.is_err() {
        trial.run(&["renewctl", "renew", "api"])?;
    }
    trial.wait_until("the reload is tried and tried again", PROOF, || {
        let tried = trial.count_lines(RELOADS)?;
        expect(tried >= reloads + 2, "two reloads more", tried)
    })?;
    let published = trial.published_serial("api")?;
    expect(
        published != old,
        "the new leaf stays published",
        "the old one",
    )?;
    trial.expect_issuances(NAME, issued + 1)?;
    let number = trial.status("api")?.generation.unwrap_or_default();
    expect_verdict(trial, number, "held forward")?;
    expect_bundle(trial)?;
    trial.run(&["rm", "/run/accepted"])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &published)?;
    trial.expect_issuances(NAME, issued + 1)
}

const STOPPED: Scenario = Scenario {
    name: "a_service_that_the_administrator_stopped_stays_stopped",
    disk: Disk::Installed,
    fault: "somebody starts it",
    red: "nginx.service is inactive",
    run: stopped,
};

fn stopped(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    trial.systemctl(&["stop", NGINX])?;
    trial.run(&["renewctl", "renew", "api"])?;
    let second = trial.await_published_after("api", &first)?;
    trial.await_proof("api", NGINX, "not running")?;
    trial.systemctl(&["restart", RENEWD])?;
    trial.await_proof("api", NGINX, "not running")?;
    trial.sabotage(|machine| machine.systemctl(&["start", NGINX]).map(drop))?;
    trial.expect_unit(NGINX, "inactive")?;
    trial.expect_issuances(NAME, 2)?;
    expect_verdict(trial, 2, "settled")?;
    expect_bundle(trial)?;
    trial.systemctl(&["start", NGINX])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)
}
