//! Rotations as they should go, and what lies in their way: death in the middle, many at once, mounts, a first boot.

use std::time::Duration;

use super::nginx::{self, ADDRESS, NAME, NGINX, RELOADS};
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[FIRST, SERVED, LOST_RELOAD, FIRST_BOOT, MASKED, MOUNTED, TEN];

const FIRST: Scenario = Scenario {
    name: "the_first_start_issues_publishes_and_proves",
    disk: Disk::Installed,
    fault: "nginx serves a certificate of its own",
    red: "api is served by nginx.service",
    run: first,
};

fn first(trial: &mut Trial) -> Result<()> {
    trial.write(nginx::SITE, &nginx::site())?;
    trial.configure("api", &nginx::configuration("24h"))?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    trial.await_proof("api", NGINX, "not running")?;
    trial.sabotage(|machine| {
        machine.shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=own -keyout /etc/own.key -out /etc/own.pem")?;
        let site = nginx::site().replace(&published("api", "fullchain.pem"), "/etc/own.pem");
        machine.write(nginx::SITE, &site.replace(&published("api", "key.pem"), "/etc/own.key"))
    })?;
    trial.systemctl(&["start", NGINX])?;
    let status = trial.await_proof("api", NGINX, "served")?;
    let serial = trial.published_serial("api")?;
    trial.expect_in_use("api", ADDRESS, &serial)?;
    expect_equal("the generation", &Some(1), &status.generation)?;
    expect_equal("the serial in the status", &Some(serial), &status.serial)?;
    trial.expect_issuances(NAME, 1)?;
    // The chain as it is served verifies against the authority's root, for the name asked for.
    trial.shell("renewctl ca root > /run/root.pem")?;
    trial.shell(&format!("curl --fail --silent --cacert /run/root.pem --resolve {NAME}:443:127.0.0.1 https://{NAME}/")).map(drop)
}

const SERVED: Scenario = Scenario {
    name: "a_renewal_is_published_reloaded_and_proven",
    disk: Disk::Installed,
    fault: "nginx's reload does nothing",
    red: "renewctl renew api --wait",
    run: served,
};

fn served(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    trial.sabotage(|machine| {
        machine.drop_in(NGINX, "[Service]\nExecReload=\nExecReload=/bin/true\n")
    })?;
    trial.renew(&["api"])?.success()?;
    let second = trial.published_serial("api")?;
    expect(second != first, "a new leaf", &second)?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.expect_issuances(NAME, 2)?;
    let journal = trial.run(&[
        "journalctl",
        "--no-pager",
        "--output=cat",
        "RENEWD_CERT=api",
    ])?;
    expect(
        !journal.trim().is_empty(),
        "the certificate's history in the journal",
        "nothing",
    )
}

const LOST_RELOAD: Scenario = Scenario {
    name: "a_reload_lost_with_the_daemon_between_publish_and_reload_is_made_up_for",
    disk: Disk::Installed,
    fault: "the reload that makes up for it does nothing",
    red: "api is served by nginx.service",
    run: lost_reload,
};

fn lost_reload(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    let held_up = "ExecReload=/bin/sh -c 'while [ -e /run/hold ]; do sleep 0.05; done'";
    nginx::observe_reloads(trial, held_up)?;
    // Planted up front: a change of the unit under a running job is another story.
    trial.sabotage(|machine| {
        machine.drop_in(NGINX, &format!("[Service]\nExecReload=\n{held_up}\n"))
    })?;
    trial.run(&["touch", "/run/hold"])?;
    trial.run(&["renewctl", "renew", "api"])?;
    trial.wait_until("the reload has begun and is held up", PROOF, || {
        trial.expect_unit(NGINX, "reloading")
    })?;
    let second = trial.await_published_after("api", &first)?;
    // Both die: the daemon that awaits the job, and the job.
    trial.systemctl(&["kill", "--signal=KILL", RENEWD])?;
    trial.systemctl(&["kill", "--signal=KILL", "--kill-who=control", NGINX])?;
    trial.run(&["rm", "/run/hold"])?;
    trial.wait_until("the reload has failed", PROOF, || {
        trial.expect_unit(NGINX, "active")
    })?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    expect(
        trial.count_lines(RELOADS)? >= 2,
        "a second reload",
        trial.count_lines(RELOADS)?,
    )?;
    trial.expect_issuances(NAME, 2)
}

const FIRST_BOOT: Scenario = Scenario {
    name: "a_unit_that_waits_for_its_very_first_certificate_starts_with_it",
    disk: Disk::Installed,
    fault: "the certificate is not configured",
    red: "nginx.service is active",
    run: first_boot,
};

fn first_boot(trial: &mut Trial) -> Result<()> {
    trial.write(nginx::SITE, &nginx::site())?;
    if trial.choose(true, false) {
        trial.configure("api", &nginx::configuration("24h"))?;
    }
    trial.drop_in(
        NGINX,
        "[Unit]\nWants=renewd-wait@api.service\nAfter=renewd-wait@api.service\n",
    )?;
    trial.systemctl(&["enable", NGINX])?;
    trial.reboot()?;
    trial.expect_unit(NGINX, "active")?;
    trial.await_proof("api", NGINX, "served").map(drop)
}

const MASKED: Scenario = Scenario {
    name: "a_machine_with_renewd_masked_boots_and_its_services_start",
    disk: Disk::Installed,
    fault: "nginx starts only beside the daemon",
    red: "nginx.service is active",
    run: masked,
};

fn masked(trial: &mut Trial) -> Result<()> {
    let serial = nginx::serve(trial, "24h")?;
    trial.systemctl(&["enable", NGINX])?;
    trial.systemctl(&["mask", "--now", RENEWD])?;
    trial.sabotage(|machine| {
        machine.drop_in(NGINX, "[Unit]\nAssertPathExists=/run/renewd/status.sock\n")
    })?;
    trial.reboot()?;
    trial.expect_unit(RENEWD, "inactive")?;
    trial.expect_unit(NGINX, "active")?;
    trial.expect_in_use("api", ADDRESS, &serial)
}

const MOUNTED: Scenario = Scenario {
    name: "a_unit_with_the_directory_bind_mounted_sees_the_second_generation",
    disk: Disk::Installed,
    fault: "the mount is of the link and not of the directory",
    red: "the serial that the unit sees",
    run: mounted,
};

fn mounted(trial: &mut Trial) -> Result<()> {
    let source = trial.choose(
        "/var/lib/renewd/certs/api",
        "/var/lib/renewd/certs/api/current",
    );
    // The process that runs all the while looks: systemd mounts anew for every command of a unit, also for a reload.
    trial.write(
        "/usr/local/bin/look",
        "#!/bin/sh\ntrap 'openssl x509 -noout -serial -in /srv/api/cert.pem > /run/seen' HUP\n: > /run/seen\nwhile :; do sleep 0.05; done\n",
    )?;
    trial.write(
        "/etc/systemd/system/mounted.service",
        &format!(
            "[Service]\nBindReadOnlyPaths={source}:/srv/api\nExecStart=sh /usr/local/bin/look\nExecReload=kill -HUP $MAINPID\n"
        ),
    )?;
    trial.systemctl(&["daemon-reload"])?;
    trial.configure(
        "api",
        "names = [\"api.test\"]\n[unit.\"mounted.service\"]\n",
    )?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    trial.systemctl(&["start", "mounted.service"])?;
    trial.wait_until("the unit is ready to look", PROOF, || {
        expect(trial.exists("/run/seen")?, "a file of the unit", "none")
    })?;
    trial.renew(&["api"])?.success()?;
    trial.await_proof("api", "mounted.service", "reloaded")?;
    let leaf = published("api", "cert.pem");
    let second = trial.run(&["openssl", "x509", "-noout", "-serial", "-in", &leaf])?;
    trial.wait_until("the unit sees the second generation", PROOF, || {
        expect_equal(
            "the serial that the unit sees",
            &second,
            &trial.read("/run/seen")?,
        )
    })
}

const TEN: Scenario = Scenario {
    name: "ten_certificates_of_one_unit_cost_one_reload",
    disk: Disk::Installed,
    fault: "somebody else reloads the unit as well",
    red: "one reload",
    run: ten,
};

fn ten(trial: &mut Trial) -> Result<()> {
    let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    trial.write(
        "/etc/systemd/system/many.service",
        &format!("[Service]\nExecStart=sleep infinity\nExecReload=/bin/sh -c 'echo reload >> {RELOADS}'\n"),
    )?;
    trial.systemctl(&["daemon-reload"])?;
    trial.systemctl(&["start", "many.service"])?;
    for name in &names {
        trial.configure(
            name,
            &format!("names = [\"{name}.test\"]\n[unit.\"many.service\"]\n"),
        )?;
    }
    trial.reload_renewd()?;
    for name in &names {
        trial.await_proof(name, "many.service", "reloaded")?;
    }
    let before = trial.count_lines(RELOADS)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let renewal = [&["renewctl", "renew"], &names[..], &["--wait"]].concat();
    trial
        .attempt_with(&renewal, &[], Duration::from_secs(120))?
        .success()?;
    trial.sabotage(|machine| machine.systemctl(&["reload", "many.service"]).map(drop))?;
    for name in &names {
        trial.expect_issuances(&format!("{name}.test"), 2)?;
        let status = trial.await_proof(name, "many.service", "reloaded")?;
        expect_equal("the generation", &Some(2), &status.generation)?;
    }
    let reloads = trial.count_lines(RELOADS)? - before;
    expect(reloads == 1, "one reload for all ten", reloads)
}
