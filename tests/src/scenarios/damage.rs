//! A store that is not as it was left: records and generations truncated, garbage or of another owner; a store of a
//! newer version; two daemons on one. Each gets a clear error, and what is published stays.

use std::time::Duration;

use super::nginx::{self, ADDRESS, NAME, NGINX};
use super::plain::{await_said, bare_certificates, said};
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[RECORDS, FOREIGN, EDITED, LOST, NEWER, TWO];

const STORE: &str = "/var/lib/renewd/store";

/// Lets something be done to the disk while the daemon is away.
fn while_stopped(trial: &Trial, script: &str) -> Result<()> {
    trial.systemctl(&["stop", RENEWD])?;
    trial.shell(script)?;
    trial.systemctl(&["start", RENEWD]).map(drop)
}

fn await_generation(trial: &Trial, certificate: &str, number: u64) -> Result<()> {
    trial.wait_until(
        &format!("generation {number} of {certificate} is published"),
        PROOF,
        || {
            let status = trial.status(certificate)?;
            expect(
                status.generation == Some(number) && status.state == "fresh",
                format_args!("generation {number} of {certificate} published"),
                format_args!("{status:?}"),
            )
        },
    )
}

/// Fails unless key and leaf of what is published belong together.
fn expect_pair(trial: &Trial, certificate: &str) -> Result<()> {
    let script = "cd \"$1\"; openssl x509 -noout -pubkey -in fullchain.pem; echo; openssl pkey -pubout -in key.pem";
    let directory = published(certificate, "");
    let keys = trial.run(&["sh", "-euc", script, "keys", &directory])?;
    let pair = keys.split_once("\n\n");
    expect(
        pair.is_some_and(|(leaf, key)| leaf.trim() == key.trim()),
        format_args!("a matching pair published for {certificate}"),
        keys,
    )
}

const RECORDS: Scenario = Scenario {
    name: "a_truncated_or_garbage_record_is_set_aside_and_what_is_published_stays",
    disk: Disk::Installed,
    fault: "the records are as they were written",
    red: "set aside as",
    run: records,
};

fn records(trial: &mut Trial) -> Result<()> {
    bare_certificates(trial, &["garbage", "short", "sound"])?;
    let damage =
        "cd /var/lib/renewd/store/records; truncate -s 100 short.json; echo '{]' > garbage.json";
    while_stopped(trial, trial.choose(damage, "true"))?;
    for name in ["garbage", "short"] {
        await_said(
            trial,
            &format!("it was set aside as {STORE}/records/{name}.damaged"),
        )?;
        // Numbers only rise, and what readers may have open is not pulled away from them.
        await_generation(trial, name, 2)?;
        expect_pair(trial, name)?;
        for kept in [
            published(name, ".1/fullchain.pem"),
            format!("{STORE}/records/{name}.damaged"),
        ] {
            expect(trial.exists(&kept)?, format_args!("{kept} kept"), "nothing")?;
        }
        trial.expect_issuances(&format!("{name}.test"), 2)?;
    }
    await_generation(trial, "sound", 1)?;
    trial.expect_issuances("sound.test", 1)
}

const FOREIGN: Scenario = Scenario {
    name: "a_record_of_another_owner_holds_its_certificate_alone_and_names_the_remedy",
    disk: Disk::Installed,
    fault: "the records still belong to the daemon",
    red: "held",
    run: foreign,
};

fn foreign(trial: &mut Trial) -> Result<()> {
    let foreign = ["closed", "open"];
    bare_certificates(trial, &["closed", "open", "sound"])?;
    let serials = foreign.map(|name| trial.published_serial(name));
    let give_away =
        "cd /var/lib/renewd/store/records; chown root closed.json open.json; chmod 0644 open.json";
    while_stopped(trial, trial.choose(give_away, "true"))?;
    for (name, serial) in foreign.iter().zip(serials) {
        let status = trial.status(name)?;
        expect(
            status.state == "held",
            format_args!("{name} held"),
            format_args!("{status:?}"),
        )?;
        let error = status.last_error.unwrap_or_default();
        expect(
            error.contains("belongs to user 0"),
            "the owner named",
            &error,
        )?;
        expect_equal(
            "what is published",
            &serial?,
            &trial.published_serial(name)?,
        )?;
        trial.expect_issuances(&format!("{name}.test"), 1)?;
        // The remedy stands between backticks, and is meant to be typed.
        let remedy = error.split('`').nth(1).unwrap_or("false");
        trial.shell(remedy)?;
    }
    trial.renew(&["sound"])?.success()?;
    trial.reload_renewd()?;
    for name in foreign {
        await_generation(trial, name, 1)?;
        trial.renew(&[name])?.success()?;
        trial.expect_issuances(&format!("{name}.test"), 2)?;
    }
    Ok(())
}

const EDITED: Scenario = Scenario {
    name: "a_published_generation_that_was_tampered_with_is_put_right_without_another_issuance",
    disk: Disk::Installed,
    fault: "nobody tampers with anything",
    red: "/var/lib/renewd/certs/altered/.",
    run: edited,
};

const EDITS: &str = "cd /var/lib/renewd/certs
ln -sfn .99 dangling/current
echo more >> altered/.1/fullchain.pem
chmod 0644 opened/.1/key.pem
chown nobody given/.1/key.pem
rm removed/.1/chain.pem
";

fn edited(trial: &mut Trial) -> Result<()> {
    let names = ["altered", "dangling", "given", "opened", "removed"];
    bare_certificates(trial, &names)?;
    let serials = names.map(|name| trial.published_serial(name));
    while_stopped(trial, trial.choose(EDITS, "true"))?;
    for (name, serial) in names.iter().zip(serials) {
        await_said(trial, &format!("/var/lib/renewd/certs/{name}/."))?;
        await_generation(trial, name, 2)?;
        expect_equal("the leaf", &serial?, &trial.published_serial(name)?)?;
        expect_pair(trial, name)?;
        let mode = trial.run(&[
            "stat",
            "--dereference",
            "--format=%U %a",
            &published(name, "key.pem"),
        ])?;
        expect_equal("owner and mode of the key", &"root 600", &mode.trim())?;
        trial.expect_issuances(&format!("{name}.test"), 1)?;
    }
    Ok(())
}

const LOST: Scenario = Scenario {
    name: "a_damaged_private_copy_is_told_and_costs_one_new_certificate",
    disk: Disk::Installed,
    fault: "the private copy is as it was written",
    red: "is damaged",
    run: lost,
};

fn lost(trial: &mut Trial) -> Result<()> {
    bare_certificates(trial, &["empty"])?;
    let damage = format!("truncate -s 0 {STORE}/identities/empty/1/key.pem");
    while_stopped(trial, trial.choose(&damage, "true"))?;
    await_said(trial, "is damaged")?;
    expect_pair(trial, "empty")?;
    // It comes by itself, with a back-off; nobody has to wait for that here.
    trial.renew(&["empty"])?.success()?;
    await_generation(trial, "empty", 2)?;
    expect_pair(trial, "empty")?;
    trial.expect_issuances("empty.test", 2)
}

const NEWER: Scenario = Scenario {
    name: "a_store_of_a_newer_version_is_left_alone_and_the_services_go_on",
    disk: Disk::Installed,
    fault: "the store is of this version",
    red: "the exit code of the daemon",
    run: newer,
};

fn newer(trial: &mut Trial) -> Result<()> {
    let serial = nginx::serve(trial, "24h")?;
    trial.systemctl(&["stop", RENEWD])?;
    let form = trial.choose("99", "1");
    trial.shell(&format!("echo {form} > {STORE}/form"))?;
    let everything = "cd /var/lib/renewd; find . ! -path ./store/form -ls; find . -type f ! -path ./store/form | xargs sha256sum";
    let before = trial.shell(everything)?;
    trial.attempt(&["systemctl", "start", RENEWD])?;
    let code = trial.unit_property(RENEWD, "ExecMainStatus")?;
    expect_equal("the exit code of the daemon", &"74", &code.as_str())?;
    await_said(trial, "was written by a newer renewd (form 99")?;
    expect_equal("all of its files", &before, &trial.shell(everything)?)?;
    trial.systemctl(&["restart", NGINX])?;
    trial.expect_in_use("api", ADDRESS, &serial)?;
    trial.run(&["renewctl", "wait", "api"])?;
    // The version of before is installed again: it comes back by itself, since systemd keeps trying.
    trial.shell(&format!("echo 1 > {STORE}/form"))?;
    trial.await_proof("api", NGINX, "served")?;

    // A single record of a newer version: its certificate is held, and nothing of it is touched.
    let form = |from: u32, to: u32| {
        format!("sed -i 's/\"schema\": {from},/\"schema\": {to},/' {STORE}/records/api.json")
    };
    while_stopped(trial, &form(1, 99))?;
    let status = trial.status("api")?;
    let error = status.last_error.unwrap_or_default();
    expect(
        status.state == "held" && error.contains("was written by a newer renewd (form 99"),
        "api held for its newer record",
        format_args!("{}: {error}", status.state),
    )?;
    trial.expect_in_use("api", ADDRESS, &serial)?;
    trial.shell(&form(99, 1))?;
    trial.reload_renewd()?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_issuances(NAME, 1)
}

const TWO: Scenario = Scenario {
    name: "a_second_daemon_ends_with_75_and_the_first_goes_on",
    disk: Disk::Installed,
    fault: "the first is stopped before",
    red: "exit code 75",
    run: two,
};

fn two(trial: &mut Trial) -> Result<()> {
    bare_certificates(trial, &["api"])?;
    let process = trial.unit_property(RENEWD, "MainPID")?;
    trial.sabotage(|machine| machine.systemctl(&["stop", RENEWD]).map(drop))?;
    trial.shell("install --directory --owner=renewd --group=renewd /var/tmp/other /run/other")?;
    let same_store = ["--runtime", "/run/other"];
    let same_socket = ["--state", "/var/tmp/other"];
    for (options, what) in [
        (
            same_store,
            "another renewd is at work on /var/lib/renewd/store; stop it first",
        ),
        (same_socket, "/run/renewd/status.sock"),
    ] {
        let as_daemon = [
            "setpriv",
            "--reuid=renewd",
            "--regid=renewd",
            "--clear-groups",
        ];
        let argv = [&as_daemon[..], &["renewd"], &options].concat();
        let second = trial.attempt_with(&argv, &[], Duration::from_secs(5))?;
        expect(
            second.code == Some(75),
            "exit code 75",
            format_args!("{:?}: {}", second.code, second.output()),
        )?;
        expect(second.stderr.contains(what), what, &second.stderr)?;
    }
    // root, by hand: refused as well, and not advised to take the store from the service.
    let by_root = trial.attempt_with(&["renewd"], &[], Duration::from_secs(5))?;
    expect(
        by_root.code == Some(74) && by_root.stderr.contains("systemctl start renewd"),
        "root told to use the service",
        by_root.output(),
    )?;
    expect_equal(
        "the process of the first",
        &process,
        &trial.unit_property(RENEWD, "MainPID")?,
    )?;
    trial.renew(&["api"])?.success()?;
    expect(
        !said(trial)?.contains("at work on"),
        "nothing of it in the journal of the first",
        said(trial)?,
    )
}
