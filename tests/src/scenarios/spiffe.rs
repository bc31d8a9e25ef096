//! The issuer `spiffe` against the fake Workload API of go-spiffe, the reference implementation: SVIDs of seconds.

use super::nginx::{self, ADDRESS, NGINX};
use super::plain::{TALKATIVE, expect_untold, key_lines, unit};
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

/// All of this file.
pub(super) const ALL: &[Scenario] = &[STREAMED];

const AGENT: &str = "workload-api.service";
/// While this exists, no identity is registered for anybody.
const WITHHELD: &str = "/run/withheld";
const ID: &str = "spiffe://example.org/web";

const STREAMED: Scenario = Scenario {
    name: "spiffe_svids_that_stream_in_are_served_with_the_keys_that_came_with_them",
    disk: Disk::Installed,
    fault: "the Workload API falls silent after the first",
    red: "another SVID is served",
    run: streamed,
};

/// Each half of their life brings another one.
const LIFE: &str = "8s";

fn set_up(trial: &Trial) -> Result<()> {
    trial.shell(&format!(
        "mkdir -p /run/spire/agent/public && touch {WITHHELD}"
    ))?;
    let agent = format!(
        "[Service]\nEnvironment=FAKE_SOCKET=/run/spire/agent/public/api.sock FAKE_LIFE={LIFE} FAKE_ID={ID} \
         FAKE_WITHHELD={WITHHELD} FAKE_FEDERATED=partner.test\n\
         ExecStart=/packages/authorities/spiffe -test.run TestServe -test.timeout 0\n"
    );
    unit(trial, AGENT, &agent)?;
    trial.systemctl(&["start", AGENT])?;
    configure(trial, "")?;
    trial.configure(
        "api",
        &format!("names = [\"{ID}\"]\n[unit.\"{NGINX}\"]\nprobe = [\"tls://{ADDRESS}\"]\n"),
    )?;
    trial.write(nginx::SITE, &nginx::site())?;
    // What it tells at its most talkative is looked through in the end.
    trial.drop_in(RENEWD, TALKATIVE)?;
    trial.systemctl(&["restart", RENEWD]).map(drop)
}

fn configure(machine: &Machine, more: &str) -> Result<()> {
    let text = format!("[issuer.spire]\ntype = \"spiffe\"\ntrust_domain = \"example.org\"\n{more}");
    machine.write("/etc/renewd/renewd.toml", &text)
}

/// A renewal fails, and says why.
fn expect_no_renewal(trial: &Trial, why: &str) -> Result<()> {
    let renewal = trial.renew(&["api"])?;
    expect(
        !renewal.succeeded() && renewal.output().contains(why),
        format_args!("a renewal that fails, and says {why:?}"),
        renewal.output(),
    )
}

/// OpenSSL finds leaf and bundle right; both are of one generation, whatever comes meanwhile.
fn expect_sound(machine: &Machine) -> Result<()> {
    let directory = published("api", "current");
    let verify = format!(
        "cd -P {directory} && openssl verify -CAfile ca.pem -untrusted cert.pem cert.pem && \
         openssl x509 -in cert.pem -noout -ext subjectAltName | grep -qF URI:{ID} && \
         test \"$(openssl pkey -in key.pem -pubout)\" = \"$(openssl x509 -in cert.pem -noout -pubkey)\""
    );
    machine.shell(&verify).map(drop)
}

fn roots(machine: &Machine) -> Result<usize> {
    let bundle = machine.read(&published("api", "ca.pem"))?;
    Ok(bundle.matches("BEGIN CERTIFICATE").count())
}

fn await_served_after(trial: &Trial, previous: &str) -> Result<String> {
    trial.wait_until("another SVID is served", PROOF, || {
        let serial = trial.served_serial(ADDRESS)?;
        expect(serial != previous, "another leaf", &serial).map(|()| serial)
    })
}

fn streamed(trial: &mut Trial) -> Result<()> {
    set_up(trial)?;
    expect_no_renewal(trial, "no registration entry fits")?;
    trial.shell(&format!("rm {WITHHELD}"))?;
    // Nobody asks for it.
    trial.wait_until("the first SVID is published", PROOF, || {
        trial.published_serial("api")
    })?;
    trial.systemctl(&["start", NGINX])?;
    trial.await_proof("api", NGINX, "served")?;
    let first = trial.served_serial(ADDRESS)?;
    trial.sabotage(|machine| {
        machine
            .systemctl(&["kill", "--signal=STOP", AGENT])
            .map(drop)
    })?;
    let second = await_served_after(trial, &first)?;
    await_served_after(trial, &second)?;
    expect_sound(trial)?;
    expect_equal("roots of one trust domain", &1, &roots(trial)?)?;
    let keys = key_lines(trial, "api")?;

    // It goes away, and what is published stays, to its end and beyond.
    trial.systemctl(&["stop", AGENT])?;
    expect_no_renewal(trial, "cannot be reached")?;
    let last = trial.published_serial("api")?;
    expect_equal("what is served", &last, &trial.served_serial(ADDRESS)?)?;
    // It comes back with another root, and the other trust domain was asked for meanwhile.
    configure(trial, "federated = [\"partner.test\"]\n")?;
    trial.reload_renewd()?;
    trial.systemctl(&["start", AGENT])?;
    let anew = await_served_after(trial, &last)?;
    trial.wait_until("the other trust domain's root is published", PROOF, || {
        expect_sound(trial)?;
        // With the root before, which is kept for a while.
        expect_equal("roots of two trust domains", &3, &roots(trial)?)
    })?;
    await_served_after(trial, &anew)?;

    expect_untold(trial, &keys)
}
