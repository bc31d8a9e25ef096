//! The issuer `vault` against OpenBao, whose interface is that of HashiCorp Vault.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};
use crate::wait::wait_until;

use super::plain::unit;

/// All of this file.
pub(super) const ALL: &[Scenario] = &[SEALED];

/// Its unit.
pub(super) const SERVER: &str = "openbao.service";

/// A certificate for the server by a CA of its own, and its configuration: what it stores outlives a restart.
const FILES: &str = r#"
mkdir -p /srv/bao/data && cd /srv/bao
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=servers -days 30
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n' > extensions
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile extensions
install -m 0644 ca.pem /etc/renewd/ca.pem
cat > server.hcl << 'EOF'
storage "raft" {
  path = "/srv/bao/data"
  node_id = "one"
}
listener "tcp" {
  address = "127.0.0.1:8200"
  tls_cert_file = "/srv/bao/server.pem"
  tls_key_file = "/srv/bao/server.key"
}
api_addr = "https://localhost:8200"
cluster_addr = "https://localhost:8201"
EOF
"#;

/// What people type, with what they would remember.
const BAO: &str = r#"#!/bin/bash
export BAO_ADDR=https://localhost:8200 BAO_CACERT=/srv/bao/ca.pem
[ ! -e /srv/bao/root ] || export BAO_TOKEN=$(cat /srv/bao/root)
exec /packages/authorities/openbao "$@"
"#;

/// From an empty server to one that issues for hosts with an AppRole, as docs/issuers/vault.md says.
const SET_UP: &str = r#"
cd /srv/bao
bao operator init -key-shares=1 -key-threshold=1 > told
sed -n 's/^Unseal Key 1: //p' told > key
bao operator unseal "$(cat key)"
until bao status | grep -q 'HA Mode *active'; do bao status > /dev/null; done
sed -n 's/^Initial Root Token: //p' told > root
bao secrets enable pki
bao write -field=certificate pki/root/generate/internal common_name=root key_type=ec ttl=720h > root.pem
bao secrets enable -path=pki_int pki
bao write -field=csr pki_int/intermediate/generate/internal common_name=issuing key_type=ec > issuing.csr
bao write -field=certificate pki/root/sign-intermediate csr=@issuing.csr format=pem_bundle ttl=700h > issuing.pem
bao write pki_int/intermediate/set-signed certificate=@issuing.pem
bao write pki_int/config/crl auto_rebuild=false

bao write pki_int/roles/host \
    allowed_domains=example.internal allow_subdomains=true \
    allow_ip_sans=true 'allowed_uri_sans=spiffe://example.internal/*' \
    require_cn=false key_type=any max_ttl=72h
bao policy write renewd - <<'EOF'
path "pki_int/sign/host" { capabilities = ["update"] }
EOF
bao auth enable approle
bao write auth/approle/role/host token_policies=renewd token_ttl=10m secret_id_num_uses=0
bao read -field=role_id auth/approle/role/host/role-id > role-id
bao write -f -field=secret_id auth/approle/role/host/secret-id > /etc/renewd/secret-id
chgrp renewd /etc/renewd/secret-id && chmod 0640 /etc/renewd/secret-id
"#;

/// What each start of the server waits for.
pub(super) const UNSEAL: &str = "bao operator unseal $(cat /srv/bao/key)";
/// What `api` is certified for.
pub(super) const NAMES: &str =
    r#"["api.example.internal", "127.0.0.1", "spiffe://example.internal/api"]"#;

/// Starts a server that issues, and the daemon at its most talkative; `auth` is how this is known to that.
pub(super) fn set_up(trial: &Trial) -> Result<()> {
    trial.write("/srv/files.sh", FILES)?;
    trial.run(&["bash", "-eu", "/srv/files.sh"])?;
    trial.write("/usr/local/bin/bao", BAO)?;
    trial.run(&["chmod", "0755", "/usr/local/bin/bao"])?;
    unit(
        trial,
        SERVER,
        "[Service]\nExecStart=/packages/authorities/openbao server -config=/srv/bao/server.hcl\n",
    )?;
    trial.systemctl(&["start", SERVER])?;
    answers(trial)?;
    trial.write("/srv/set-up.sh", SET_UP)?;
    trial.run(&["bash", "-eu", "/srv/set-up.sh"])?;
    trial.drop_in(RENEWD, "[Service]\nEnvironment=RENEWD_LOG=trace\n")
}

/// Waits until the server answers: sealed, as after each start, or not.
pub(super) fn answers(machine: &Machine) -> Result<()> {
    let health = "curl -sS --cacert /srv/bao/ca.pem https://localhost:8200/v1/sys/health";
    wait_until("the server answers", PROOF, || machine.shell(health)).map(drop)
}

pub(super) fn issuer(role: &str, auth: &str) -> String {
    format!(
        "[issuer.bao]\ntype = \"vault\"\naddress = \"https://localhost:8200\"\nca = \"/etc/renewd/ca.pem\"\n\
         mount = \"pki_int\"\nrole = \"{role}\"\n{auth}\n"
    )
}

/// How this host is known by the AppRole of [`set_up`].
pub(super) fn app_role(machine: &Machine) -> Result<String> {
    let role_id = machine.read("/srv/bao/role-id")?;
    Ok(format!(
        "role_id = \"{}\"\nsecret_id = \"file:/etc/renewd/secret-id\"",
        role_id.trim()
    ))
}

/// OpenSSL finds what is published right, below the root that nobody configured.
pub(super) fn expect_sound(machine: &Machine) -> Result<()> {
    let (chain, leaf) = (published("api", "chain.pem"), published("api", "cert.pem"));
    let trusted = published("api", "ca.pem");
    let argv = [
        "openssl",
        "verify",
        "-x509_strict",
        "-verify_hostname",
        "api.example.internal",
        "-CAfile",
    ];
    for roots in ["/srv/bao/root.pem", &trusted] {
        machine.run(&[&argv[..], &[roots, "-untrusted", &chain, &leaf]].concat())?;
    }
    let names = machine.run(&[
        "openssl",
        "x509",
        "-noout",
        "-ext",
        "subjectAltName",
        "-in",
        &leaf,
    ])?;
    let told = "DNS:api.example.internal, IP Address:127.0.0.1, URI:spiffe://example.internal/api";
    expect(names.contains(told), told, &names)
}

/// A renewal that fails says this, and changes nothing.
pub(super) fn expect_refused(trial: &Trial, serial: &str, parts: &[&str]) -> Result<()> {
    let refused = trial.renew(&["api"])?;
    for part in parts {
        let said = !refused.succeeded() && refused.output().contains(part);
        expect(
            said,
            format_args!("a renewal that fails: {part}"),
            refused.output(),
        )?;
    }
    expect_equal(
        "the serial",
        &serial,
        &trial.published_serial("api")?.as_str(),
    )?;
    expect_sound(trial)
}

/// What was told in secret is not in the journal.
pub(super) fn expect_silent(trial: &Trial, secrets: &[&str]) -> Result<()> {
    let journal = trial.shell(&format!("journalctl -u {RENEWD}"))?;
    expect(
        journal.contains("checkout waiting"),
        "a journal at trace level",
        "less",
    )?;
    let mut secrets = secrets.iter().map(|secret| secret.trim());
    let told = secrets.any(|secret| secret.len() > 20 && journal.contains(secret));
    expect(!told, "no secret in the journal", "one")?;
    // Nor a token that the server gave, which all begin so.
    let tokens = trial.shell(&format!(
        "journalctl -u {RENEWD} | grep -cE '\\bh?v?s\\.[A-Za-z0-9]{{24}}' || true"
    ))?;
    expect_equal("lines with a token", &"0", &tokens.trim())
}

const SEALED: Scenario = Scenario {
    name: "a_vault_that_is_sealed_is_waited_for_and_one_that_denies_says_which_policy_is_missing",
    disk: Disk::Installed,
    fault: "nobody unseals it",
    red: "api is published anew",
    run: sealed,
};

fn sealed(trial: &mut Trial) -> Result<()> {
    set_up(trial)?;
    trial.write(
        "/etc/renewd/renewd.toml",
        &issuer("host", &app_role(trial)?),
    )?;
    // Short enough that it is tried again soon.
    let certificate = format!("names = {NAMES}\nlifetime = \"2m\"\n");
    trial.configure("api", &certificate)?;
    trial.systemctl(&["restart", RENEWD])?;
    let first = trial.wait_until("api is published", PROOF, || trial.published_serial("api"))?;
    expect_sound(trial)?;
    trial.renew(&["api"])?.success()?;
    let second = trial.published_serial("api")?;
    expect(second != first, "a new serial", &second)?;
    expect_sound(trial)?;

    // Away, then back and sealed, as after each start.
    trial.systemctl(&["stop", SERVER])?;
    expect_refused(trial, &second, &["localhost:8200 cannot be reached"])?;
    trial.systemctl(&["start", SERVER])?;
    answers(trial)?;
    expect_refused(
        trial,
        &second,
        &["localhost:8200 is sealed", "operator unseal"],
    )?;
    if !trial.choose(false, true) {
        trial.shell(UNSEAL)?;
    }
    // By itself.
    trial.await_published_after("api", &second)?;
    expect_sound(trial)?;

    // The policy of the page lets nobody revoke, until it does.
    let refused = trial.attempt(&["renewctl", "revoke", "api"])?;
    let needed = r#"path "pki_int/revoke" { capabilities = ["update"] }"#;
    expect(
        !refused.succeeded() && refused.output().contains(needed),
        "the policy that is missing",
        refused.output(),
    )?;
    let sign = r#"path "pki_int/sign/host" { capabilities = ["update"] }"#;
    policy(trial, &format!("{sign}\n{needed}"))?;
    let revoked = trial.published_serial("api")?;
    trial.run(&["renewctl", "revoke", "api"])?;
    let list = "curl -sSf --cacert /srv/bao/ca.pem https://localhost:8200/v1/pki_int/crl/pem | openssl crl -noout -text";
    let list = trial.shell(list)?;
    expect(
        list.to_ascii_lowercase().contains(&revoked),
        "the serial in the list",
        &list,
    )?;
    trial.await_published_after("api", &revoked)?;

    // A policy that is gone is told, and nothing is tried until somebody says so.
    policy(trial, needed)?;
    let now = trial.published_serial("api")?;
    expect_refused(trial, &now, &["denied pki_int/sign/host", sign])?;
    let check = trial.attempt(&["renewctl", "issuer", "check", "bao"])?;
    expect(
        !check.succeeded() && check.output().contains("version 2."),
        "a check that finds what is denied",
        check.output(),
    )?;
    policy(trial, sign)?;
    trial.run(&["renewctl", "issuer", "check", "bao"])?;
    trial.renew(&["api"])?.success()?;
    let secret = trial.read("/etc/renewd/secret-id")?;
    expect_silent(trial, &[&secret])
}

fn policy(machine: &Machine, rules: &str) -> Result<()> {
    machine.write("/srv/bao/renewd.hcl", rules)?;
    machine
        .shell("bao policy write renewd /srv/bao/renewd.hcl")
        .map(drop)
}
