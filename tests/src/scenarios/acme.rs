//! The issuer `acme` against pebble, the CA that Let's Encrypt tests clients with: its rejected nonces are left on.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};
use crate::wait::wait_until;

use super::plain::{TALKATIVE, expect_untold, unit};

/// All of this file.
pub(super) const ALL: &[Scenario] = &[ISSUED, ANEW, CRASHED, ADVISED];

const PEBBLE: &str = "pebble.service";
pub(super) const SOCKET: &str = "renewd-http01.socket";
/// What the issuer keeps of the order for `api`.
const ORDER: &str = "/var/lib/renewd/store/issuer/pebble/order-api.json";

/// A CA for pebble's own address: rustls refuses a server that is its own CA.
const SERVER: &str = "mkdir -p /srv/pebble && cd /srv/pebble
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=servers -days 30
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=critical,CA:FALSE\\n' > extensions
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile extensions
cp ca.pem /etc/renewd/ca.pem && chmod 0644 /etc/renewd/ca.pem";

/// Where it looks for proofs is where the daemon's socket listens.
fn configuration(more: &str) -> String {
    format!(
        r#"{{"pebble": {{"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
"certificate": "/srv/pebble/server.pem", "privateKey": "/srv/pebble/server.key", "httpPort": 80, "tlsPort": 443,
"ocspResponderURL": "", "keyAlgorithm": "ecdsa", "retryAfter": {{"authz": 1, "order": 1}}, "profiles": {{
"default": {{"description": "90 days", "validityPeriod": 7776000}},
"tiny": {{"description": "20 s", "validityPeriod": 20}},
"minute": {{"description": "60 s", "validityPeriod": 60}},
"short": {{"description": "6 min", "validityPeriod": 360}}}}{more}}}}}"#
    )
}

/// What the restarted CA demands: a key of RFC 8555, section 7.3.4, which it knows by the name `kid-1`.
const BINDING: &str = r#", "externalAccountBindingRequired": true, "externalAccountMACKeys": {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}"#;
const BINDING_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Starts pebble, and the daemon with its socket; `environment` is pebble's.
pub(super) fn set_up(trial: &Trial, environment: &str, more: &str) -> Result<()> {
    trial.shell(SERVER)?;
    trial.write("/srv/pebble/pebble.json", &configuration(""))?;
    let names = "[Service]\nExecStart=/packages/authorities/pebble-challtestsrv -dnsserver 127.0.0.1:8053 \
        -management 127.0.0.1:8055 -http01 \"\" -https01 \"\" -tlsalpn01 \"\" -doh \"\" -defaultIPv6 \"\"\n";
    unit(trial, "names.service", names)?;
    let pebble = format!(
        "[Service]\nEnvironment=PEBBLE_AUTHZREUSE=0 {environment}\n\
         ExecStart=/packages/authorities/pebble -config /srv/pebble/pebble.json -dnsserver 127.0.0.1:8053\n"
    );
    unit(trial, PEBBLE, &pebble)?;
    trial.systemctl(&["start", "names.service", PEBBLE])?;
    take_roots(trial)?;
    configure(trial, more)?;
    trial.configure(
        "api",
        "names = [\"api.test\"]\nissuer = \"pebble\"\nlifetime = \"30s\"\n",
    )
}

/// Both files are the CA's own.
pub(super) const PINNED: &str = "ca = \"/etc/renewd/ca.pem\"\ntrust = \"/etc/renewd/roots.pem\"\n";

pub(super) fn configure(machine: &Machine, more: &str) -> Result<()> {
    let text = format!(
        "[issuer.pebble]\ntype = \"acme\"\ndirectory = \"https://localhost:14000/dir\"\nterms_of_service = \"agreed\"\ncontact = [\"mailto:ops@example.test\"]\n{more}\n"
    );
    machine.write("/etc/renewd/renewd.toml", &text)
}

/// Starts the daemon, with or without its port.
pub(super) fn start(machine: &Machine, units: &[&str]) -> Result<()> {
    machine.systemctl(&["stop", RENEWD])?;
    machine.systemctl(&[&["start"], units].concat()).map(drop)
}

/// Pebble makes a new root at each start, and tells it at its management address once it is ready.
fn take_roots(machine: &Machine) -> Result<()> {
    let roots = "curl -sSf --cacert /srv/pebble/ca.pem https://127.0.0.1:15000/roots/0";
    let roots = wait_until("pebble is ready", PROOF, || machine.shell(roots))?;
    machine.write("/etc/renewd/roots.pem", &roots)
}

/// What pebble wrote since it was started last.
fn told(machine: &Machine) -> Result<String> {
    machine.shell(&format!(
        "journalctl -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID {PEBBLE})"
    ))
}

/// How many lines of pebble's begin so.
fn count(machine: &Machine, words: &str) -> Result<usize> {
    let told = told(machine)?;
    Ok(told.lines().filter(|line| line.contains(words)).count())
}

fn await_published(trial: &Trial) -> Result<String> {
    trial.wait_until("a certificate of pebble for api", PROOF, || {
        trial.published_serial("api")
    })
}

/// OpenSSL finds what is published right, for the name, below pebble's root.
fn expect_sound(machine: &Machine) -> Result<()> {
    let (chain, leaf) = (published("api", "chain.pem"), published("api", "cert.pem"));
    let argv = [
        "openssl",
        "verify",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "api.test",
        "-CAfile",
    ];
    let files = ["/etc/renewd/roots.pem", "-untrusted", &chain, &leaf];
    machine.run(&[&argv[..], &files].concat()).map(drop)
}

/// The host trusts pebble, and what pebble's own server has its certificate from.
const TRUSTED: &str = "cd /usr/local/share/ca-certificates && cp /etc/renewd/ca.pem server.crt && \
    cp /etc/renewd/roots.pem issued.crt && update-ca-certificates && rm /etc/renewd/ca.pem";

const ISSUED: Scenario = Scenario {
    name: "an_acme_ca_is_answered_on_the_port_that_systemd_opens_and_asked_again_in_time",
    disk: Disk::Installed,
    fault: "the socket is not started",
    red: "a certificate of pebble for api",
    run: issued,
};

fn issued(trial: &mut Trial) -> Result<()> {
    set_up(trial, "PEBBLE_VA_NOSLEEP=1", "profile = \"tiny\"")?;
    // As with a public CA: nothing is pinned.
    trial.shell(TRUSTED)?;
    start(trial, trial.choose(&[SOCKET, RENEWD][..], &[RENEWD]))?;
    let first = await_published(trial)?;
    expect_sound(trial)?;
    // With another key it is the same account.
    let key = "sha256sum /var/lib/renewd/store/issuer/pebble/account-*.json";
    let before = trial.shell(key)?;
    trial.run(&["renewctl", "issuer", "rollover", "pebble"])?;
    expect(trial.shell(key)? != before, "another key", &before)?;
    trial.await_published_after("api", &first)?;
    expect_sound(trial)?;
    let accounts = count(trial, "accounts in memory")?;
    expect_equal("accounts at the CA", &1, &accounts)?;
    // In this order: what is begun meanwhile is counted by neither, or by the latter.
    let orders = count(trial, "Added order")?;
    let certificates = count(trial, "Issued certificate serial")?;
    expect(
        orders <= certificates + 1,
        "one order for each certificate, and the next one",
        format_args!("{orders} orders, {certificates} certificates"),
    )?;
    // The account's key is closed, and no key is in the journal.
    let modes = trial.shell("stat -c %a /var/lib/renewd/store/issuer/pebble/account-*.json")?;
    expect(
        modes.lines().all(|mode| mode == "600"),
        "closed files",
        &modes,
    )?;
    // The next one may be under way.
    trial.wait_until("no open order is left over", PROOF, || {
        let done = !trial.exists(ORDER)? || trial.read(ORDER)?.contains("\"done\":true");
        expect(done, "an order that is done", "one that is not")
    })
}

const ANEW: Scenario = Scenario {
    name: "an_acme_ca_that_was_away_and_forgot_its_accounts_is_made_another_with_the_key_that_it_demands",
    disk: Disk::Installed,
    fault: "the roots of the CA before stay",
    red: "api is published anew",
    run: anew,
};

fn anew(trial: &mut Trial) -> Result<()> {
    set_up(trial, "PEBBLE_VA_NOSLEEP=1", PINNED)?;
    trial.drop_in(RENEWD, TALKATIVE)?;
    start(trial, &[SOCKET, RENEWD])?;
    let first = await_published(trial)?;
    trial.systemctl(&["stop", PEBBLE])?;
    let away = trial.renew(&["api"])?;
    expect(
        !away.succeeded() && away.output().contains("localhost:14000 cannot be reached"),
        "a renewal that fails, and says why",
        away.output(),
    )?;
    expect_equal("the serial", &first, &trial.published_serial("api")?)?;
    expect_sound(trial)?;
    // Now it wants to know whom it deals with.
    trial.write("/srv/pebble/pebble.json", &configuration(BINDING))?;
    trial.systemctl(&["start", PEBBLE])?;
    let before = trial.read("/etc/renewd/roots.pem")?;
    take_roots(trial)?;
    trial.sabotage(|machine| machine.write("/etc/renewd/roots.pem", &before))?;
    let unbound = trial.renew(&["api"])?;
    expect(
        !unbound.succeeded() && unbound.output().contains("eab_key_id"),
        "a renewal that fails for want of a key, and says so",
        unbound.output(),
    )?;
    trial.write("/etc/renewd/binding", BINDING_KEY)?;
    trial.shell("chgrp renewd /etc/renewd/binding && chmod 0640 /etc/renewd/binding")?;
    let binding = "eab_key_id = \"kid-1\"\neab_key = \"file:/etc/renewd/binding\"";
    configure(trial, &format!("{PINNED}{binding}"))?;
    trial.reload_renewd()?;
    trial.renew(&["api"])?;
    trial.await_published_after("api", &first)?;
    expect_sound(trial)?;
    let account = account_key(trial, "pebble")?;
    expect_untold(trial, &[BINDING_KEY.to_owned(), account])
}

/// What gives the account's key away: of its PKCS#8 form, where the private number is.
pub(super) fn account_key(machine: &Machine, issuer: &str) -> Result<String> {
    let account = machine.shell(&format!(
        "cat /var/lib/renewd/store/issuer/{issuer}/account-*.json"
    ))?;
    let account: serde_json::Value = serde_json::from_str(&account).unwrap_or_default();
    let key = account["credentials"]["key_pkcs8"].as_str().unwrap_or("");
    let key = key.get(50..88).unwrap_or_default();
    expect(!key.is_empty(), "the account's key", &account)?;
    Ok(key.to_owned())
}

const CRASHED: Scenario = Scenario {
    name: "an_acme_order_that_a_crash_interrupted_is_gone_on_with",
    disk: Disk::Installed,
    fault: "what was kept of the order is removed",
    red: "orders at the CA",
    run: crashed,
};

fn crashed(trial: &mut Trial) -> Result<()> {
    set_up(trial, "PEBBLE_VA_SLEEPTIME=4", PINNED)?;
    trial.drop_in(RENEWD, "[Service]\nRestartSec=1\n")?;
    start(trial, &[SOCKET, RENEWD])?;
    trial.wait_until("pebble is about to look", PROOF, || {
        let looks = count(trial, "Pulled a task")?;
        expect(looks > 0, "a task", looks)
    })?;
    trial.systemctl(&["kill", "--signal=KILL", RENEWD])?;
    trial.sabotage(|machine| machine.run(&["rm", ORDER]).map(drop))?;
    await_published(trial)?;
    expect_sound(trial)?;
    expect_equal("orders at the CA", &1, &count(trial, "Added order")?)?;
    expect_equal(
        "accounts at the CA",
        &1,
        &count(trial, "accounts in memory")?,
    )
}

const ADVISED: Scenario = Scenario {
    name: "an_acme_ca_that_wants_a_certificate_replaced_early_is_obeyed",
    disk: Disk::Installed,
    fault: "the CA does not say so",
    red: "api is published anew",
    run: advised,
};

const WHY: &str = "https://ca.example.test/incident";

fn advised(trial: &mut Trial) -> Result<()> {
    set_up(
        trial,
        "PEBBLE_VA_NOSLEEP=1",
        &format!("{PINNED}profile = \"short\""),
    )?;
    start(trial, &[SOCKET, RENEWD])?;
    let first = await_published(trial)?;
    let window = r#"{"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}"#;
    let advice = serde_json::json!({
        "certificate": trial.read(&published("api", "cert.pem"))?,
        "ariResponse": format!(r#"{{"suggestedWindow": {window}, "explanationURL": "{WHY}"}}"#),
    });
    trial.write("/srv/pebble/advice.json", &advice.to_string())?;
    let tell = "curl -sSf --cacert /srv/pebble/ca.pem --data @/srv/pebble/advice.json https://127.0.0.1:15000/set-renewal-info/";
    let tell = trial.choose(tell, "true");
    trial.shell(tell)?;
    // Two minutes of the life would have to be over before it is renewed for anything else; a tenth has to be.
    trial.wait_until("api is published anew", 2 * PROOF, || {
        let serial = trial.published_serial("api")?;
        expect(serial != first, "a new leaf", &serial)
    })?;
    expect_sound(trial)?;
    let journal = trial.shell(&format!("journalctl -u {RENEWD}"))?;
    expect(
        journal.contains(WHY),
        "the address of the reason in the journal",
        &journal,
    )?;
    expect_equal("orders at the CA", &2, &count(trial, "Added order")?)
}
