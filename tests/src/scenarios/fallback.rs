//! A CA that stands in for another one: OpenBao is stopped, and pebble is asked before the certificate in use ends.

use std::time::Duration;

use super::nginx::{ADDRESS, NGINX, SITE};
use super::plain::unit;
use super::{acme, vault};
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};
use crate::wait::wait_until;

/// All of this file.
pub(super) const ALL: &[Scenario] = &[STANDS_IN];

const STANDS_IN: Scenario = Scenario {
    name: "a_ca_that_is_gone_is_stood_in_for_in_the_last_sixth_of_the_life_and_asked_first_when_it_is_back",
    disk: Disk::Installed,
    fault: "nobody stands in for it",
    red: "handshakes that failed",
    run: stands_in,
};

const NAME: &str = "api.example.internal";
/// So long that a sixth of it is enough for an order.
const LIFETIME: Duration = Duration::from_secs(36);
/// The message of the journal when a stand-in is asked.
const FALLEN_BACK: &str = "d2b774e79b274511a19358b5d1f901bf";

/// Shakes hands with nginx all the time, as a client that believes what is published; writes down how that ends.
const PROBER: &str = r#"
while sleep 0.2; do
    if openssl s_client -connect 127.0.0.1:443 -servername api.example.internal -verify_hostname api.example.internal \
        -CAfile /var/lib/renewd/certs/api/ca.pem -verify_return_error < /dev/null > /run/told 2>&1
    then echo . >> /run/well; else cat /run/told >> /run/why; echo . >> /run/failed; fi
done
"#;

fn configure(trial: &Trial, issuer: &str) -> Result<()> {
    trial.configure(
        "api",
        &format!(
            "names = [\"{NAME}\"]\nissuer = {issuer}\nlifetime = \"{}s\"\ngroup = \"www-data\"\n\n\
             [unit.\"{NGINX}\"]\nprobe = [\"tls://{ADDRESS}\"]\n",
            LIFETIME.as_secs()
        ),
    )
}

/// Both CAs, and the daemon with a certificate of the first one.
fn set_up(trial: &Trial) -> Result<()> {
    vault::set_up(trial)?;
    let pebble = format!("{}profile = \"minute\"", acme::PINNED);
    acme::set_up(trial, "PEBBLE_VA_NOSLEEP=1", &pebble)?;
    trial.shell("cat /srv/bao/ca.pem /srv/pebble/ca.pem > /etc/renewd/ca.pem")?;
    let pebble = trial.read("/etc/renewd/renewd.toml")?;
    let bao = vault::issuer("host", &vault::app_role(trial)?);
    trial.write("/etc/renewd/renewd.toml", &(pebble + &bao))?;
    configure(trial, "[\"bao\", \"pebble\"]")?;
    acme::start(trial, &[acme::SOCKET, RENEWD])?;
    trial.run(&["renewctl", "wait", "api"]).map(drop)
}

/// nginx with the certificate, and somebody who looks at it from now on.
fn serve(trial: &Trial) -> Result<()> {
    let path = |file| published("api", file);
    let site = format!(
        "server {{\n  listen {ADDRESS} ssl;\n  server_name {NAME};\n  ssl_certificate {};\n  ssl_certificate_key {};\n}}\n",
        path("fullchain.pem"),
        path("key.pem"),
    );
    trial.write(SITE, &site)?;
    trial.systemctl(&["start", NGINX])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.write("/srv/prober.sh", PROBER)?;
    unit(
        trial,
        "prober.service",
        "[Service]\nExecStart=/bin/sh /srv/prober.sh\n",
    )?;
    trial.systemctl(&["start", "prober.service"]).map(drop)
}

fn failed(machine: &Machine) -> Result<usize> {
    machine.count_lines("/run/failed")
}

/// What is published is of one root, and not of the other.
fn expect_of(trial: &Trial, root: &str, not: &str) -> Result<()> {
    let (chain, leaf) = (published("api", "chain.pem"), published("api", "cert.pem"));
    let verify = |root: &str| {
        trial.attempt(&[
            "openssl",
            "verify",
            "-verify_hostname",
            NAME,
            "-CAfile",
            root,
            "-untrusted",
            &chain,
            &leaf,
        ])
    };
    verify(root)?.success()?;
    let other = verify(not)?;
    expect(!other.succeeded(), format_args!("a leaf of {root}"), not)
}

/// The begin and the end of a published life, in seconds.
fn life(trial: &Trial) -> Result<[u64; 2]> {
    let told = |date: &str| {
        let leaf = published("api", "cert.pem");
        let told = trial.shell(&format!(
            "date +%s -d \"$(openssl x509 -in {leaf} -noout -{date} | cut -d = -f 2)\""
        ))?;
        Ok(told.trim().parse().unwrap_or_default())
    };
    Ok([told("startdate")?, told("enddate")?])
}

fn stands_in(trial: &mut Trial) -> Result<()> {
    let (bao, pebble) = ("/srv/bao/root.pem", "/etc/renewd/roots.pem");
    set_up(trial)?;
    expect_of(trial, bao, pebble)?;
    wait_until("both roots are published", PROOF, || {
        let bundle = trial.read(&published("api", "ca.pem"))?;
        for root in [bao, pebble] {
            expect(bundle.contains(trial.read(root)?.trim()), root, &bundle)?;
        }
        Ok(())
    })?;
    serve(trial)?;
    trial.sabotage(|_| {
        configure(trial, "\"bao\"")?;
        trial.reload_renewd()
    })?;

    trial.systemctl(&["stop", vault::SERVER])?;
    let first = trial.published_serial("api")?;
    expect_of(trial, bao, pebble)?;
    let [_, end] = life(trial)?;
    // A twin has to see the end, too.
    wait_until(
        "another certificate, or the end of this one",
        2 * PROOF,
        || {
            let over = trial.served_serial(ADDRESS)? != first || failed(trial)? > 0;
            expect(over, "another certificate", &first)
        },
    )?;
    expect_equal("handshakes that failed", &0, &failed(trial)?)?;
    expect_of(trial, pebble, bao)?;
    let second = trial.published_serial("api")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    let asked = trial.shell(&format!(
        "journalctl -o short-unix MESSAGE_ID={FALLEN_BACK} | grep -v '^--' | head -n 1 | cut -d . -f 1"
    ))?;
    let asked: u64 = asked.trim().parse().unwrap_or_default();
    expect(
        asked < end && (end - asked) * 6 <= LIFETIME.as_secs() + 6,
        "a stand-in that is asked in the last sixth",
        format_args!("at {asked} of {end}"),
    )?;

    trial.systemctl(&["start", vault::SERVER])?;
    vault::answers(trial)?;
    trial.shell(vault::UNSEAL)?;
    trial.renew(&["api"])?.success()?;
    let third = trial.await_published_after("api", &second)?;
    expect_of(trial, bao, pebble)?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &third)?;
    expect_equal("handshakes that failed", &0, &failed(trial)?)?;
    let well = trial.count_lines("/run/well")?;
    expect(well > 50, "handshakes", well)
}
