//! The issuer `step` against step-ca, built from Debian's sources by `tests/servers/step-ca.sh`: `make test-step`.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};
use crate::wait::wait_until;

use super::plain::unit;

/// All of this file.
pub(super) const ALL: &[Scenario] = &[TOKEN, ENDED];

const CA: &str = "step-ca.service";
const NAMES: &str = "api.test 127.0.0.1";

/// Root, intermediate, the root of a CA that it is federated with, and a provisioner's key; and a program that does what `step ca token NAME…` does.
const SET_UP: &str = r#"
mkdir -p /srv/step && cd /srv/step
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$1.key" -out "$1.pem" "${@:2}"; }
make root
make other
make intermediate -CA root.pem -CAkey root.key -addext basicConstraints=critical,CA:TRUE,pathlen:0
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out provisioner.key
cat > step.py << 'END'
import base64, hashlib, json, os, subprocess, sys, time
def b64(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def of(*argv, **more): return subprocess.run(["openssl", *argv], stdout=subprocess.PIPE, check=True, **more).stdout
point = of("pkey", "-in", "/srv/step/provisioner.key", "-pubout", "-outform", "DER")[-64:]
jwk = {"crv": "P-256", "kty": "EC", "x": b64(point[:32]), "y": b64(point[32:])}
kid = b64(hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest())
if sys.argv[1] == "configuration":
    claims = {"minTLSCertDuration": "5s", "allowRenewalAfterExpiry": sys.argv[2] == "after-expiry"}
    print(json.dumps({"root": "/srv/step/root.pem", "federatedRoots": ["/srv/step/other.pem"], "crt": "/srv/step/intermediate.pem", "key": "/srv/step/intermediate.key",
        "address": "127.0.0.1:9000", "insecureAddress": "127.0.0.1:9080", "dnsNames": ["localhost"],
        "db": {"type": "bbolt", "dataSource": "/srv/step/db"}, "crl": {"enabled": True, "generateOnRevoke": True},
        "authority": {"provisioners": [{"type": "JWK", "name": "hosts", "key": dict(jwk, kid=kid, alg="ES256", use="sig"), "claims": claims}]}}))
else:
    now = int(time.time())
    claims = {"iss": "hosts", "aud": "https://localhost:9000/1.0/sign", "sub": sys.argv[2], "sans": sys.argv[2:],
        "iat": now, "nbf": now, "exp": now + 300, "jti": b64(os.urandom(16))}
    text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT", "kid": kid}, claims))
    der = of("dgst", "-sha256", "-sign", "/srv/step/provisioner.key", input=text.encode())
    r = der[4:4 + der[3]]; s = der[6 + der[3]:]
    print(text + "." + b64(b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))))
END
"#;

/// Sets the CA up, and starts it.
pub(super) fn start(trial: &Trial) -> Result<()> {
    trial.write("/srv/setup.sh", SET_UP)?;
    trial.run(&["bash", "-eu", "/srv/setup.sh"])?;
    configure_ca(trial, "not-after-expiry")?;
    let service = "[Service]\nExecStart=/packages/authorities/step-ca /srv/step/ca.json\n";
    unit(trial, CA, service)?;
    start_ca(trial)
}

/// Starts the CA, and writes what is to be asked of it. `pinned` is the file of the root whose digest is configured.
fn set_up(trial: &Trial, lifetime: &str, pinned: &str) -> Result<()> {
    start(trial)?;
    configure(trial, pinned, "token = \"file:/etc/renewd/token\"")?;
    provide_token(trial, NAMES)?;
    trial.configure(
        "api",
        &format!("names = [\"api.test\", \"127.0.0.1\"]\nlifetime = \"{lifetime}\"\n"),
    )?;
    trial.drop_in(RENEWD, "[Service]\nEnvironment=RENEWD_LOG=trace\n")
}

fn configure_ca(machine: &Machine, mode: &str) -> Result<()> {
    let write = format!("python3 /srv/step/step.py configuration {mode} > /srv/step/ca.json");
    machine.shell(&write).map(drop)
}

fn start_ca(machine: &Machine) -> Result<()> {
    machine.systemctl(&["start", CA])?;
    let well = "curl -sSf --cacert /srv/step/root.pem https://localhost:9000/health";
    wait_until("step-ca is ready", PROOF, || machine.shell(well)).map(drop)
}

fn configure(machine: &Machine, pinned: &str, admission: &str) -> Result<()> {
    machine.write(
        "/etc/renewd/renewd.toml",
        &issuer(machine, pinned, admission)?,
    )
}

/// What is configured of it.
pub(super) fn issuer(machine: &Machine, pinned: &str, admission: &str) -> Result<String> {
    let digest = format!("openssl x509 -in {pinned} -outform DER | sha256sum | cut -c 1-64");
    let digest = machine.shell(&digest)?;
    Ok(format!(
        "[issuer.step]\ntype = \"step\"\nurl = \"https://localhost:9000\"\nfingerprint = \"{}\"\n{admission}\n",
        digest.trim()
    ))
}

/// A token for these names, where the daemon reads it.
pub(super) fn provide_token(machine: &Machine, names: &str) -> Result<()> {
    machine.shell(&format!(
        "python3 /srv/step/step.py token {names} > /etc/renewd/token
chgrp renewd /etc/renewd/token && chmod 0640 /etc/renewd/token"
    ))?;
    Ok(())
}

fn await_first(trial: &Trial) -> Result<String> {
    trial.wait_until("a certificate of step-ca for api", PROOF, || {
        trial.published_serial("api")
    })
}

/// OpenSSL finds what is published right, for the name, below the CA's root; returns the key's public part.
fn expect_sound(machine: &Machine) -> Result<String> {
    let (chain, leaf) = (published("api", "chain.pem"), published("api", "cert.pem"));
    machine.shell(&format!(
        "openssl verify -x509_strict -purpose sslserver -verify_hostname api.test -CAfile /srv/step/root.pem \
         -untrusted {chain} {leaf} > /dev/null
cmp /srv/step/root.pem {}
openssl x509 -in {leaf} -noout -pubkey",
        published("api", "ca.pem")
    ))
}

/// A renewal that is asked for, fails, says so in these words, and leaves what is published.
fn expect_refused(trial: &Trial, words: &str) -> Result<()> {
    let before = trial.published_serial("api")?;
    let renewed = trial.renew(&["api"])?;
    expect(
        !renewed.succeeded() && renewed.output().contains(words),
        format_args!("a renewal that fails, and says {words:?}"),
        renewed.output(),
    )?;
    expect_equal("the serial", &before, &trial.published_serial("api")?)
}

fn renewed(trial: &Trial) -> Result<String> {
    trial.renew(&["api"])?.success()?;
    trial.published_serial("api")
}

/// At its most talkative, the daemon tells nothing of what lets it in.
fn expect_nothing_told(trial: &Trial, secrets: &[&str]) -> Result<()> {
    let journal = trial.shell(&format!("journalctl -u {RENEWD}"))?;
    let loud = journal.contains("checkout waiting");
    expect(loud, "a journal at trace level", "less")?;
    for secret in secrets {
        let secret = trial.shell(secret)?;
        let told = secret.lines().any(|line| journal.contains(line));
        expect(
            secret.len() > 30 && !told,
            "no secret in the journal",
            "one",
        )?;
    }
    Ok(())
}

/// The signature, without which a token is nothing.
const TOKEN_SECRET: &str = "cut -d . -f 3 /etc/renewd/token";
/// Lines of the PKCS#8 text, and the private number as a JWK has it.
const KEY_SECRET: &str = "grep -v -e ----- /srv/step/provisioner.key | head -n 1";

const TOKEN: Scenario = Scenario {
    name: "a_step_ca_gives_a_certificate_for_a_token_and_renews_it_for_a_fresh_key_each_time",
    disk: Disk::Installed,
    fault: "the digest of another root is pinned",
    red: "a certificate of step-ca for api",
    run: token,
};

fn token(trial: &mut Trial) -> Result<()> {
    let pinned = trial.choose("/srv/step/root.pem", "/srv/step/other.pem");
    set_up(trial, "1h", pinned)?;
    trial.systemctl(&["restart", RENEWD])?;
    let first = await_first(trial)?;
    let first_key = expect_sound(trial)?;

    trial.systemctl(&["restart", CA])?;
    start_ca(trial)?;
    let second = renewed(trial)?;
    expect(second != first, "a new serial", &second)?;
    let second_key = expect_sound(trial)?;
    expect(first_key != second_key, "a fresh key", &second_key)?;

    trial.systemctl(&["stop", CA])?;
    expect_refused(trial, "localhost:9000 cannot be reached")?;
    start_ca(trial)?;
    let third = renewed(trial)?;
    expect(third != second, "a new serial", &third)?;
    expect_sound(trial)?;

    let looked = trial.run(&["renewctl", "issuer", "check", "step"])?;
    expect(looked.contains("is well"), "a CA that is well", &looked)?;

    // Other names are no renewal: the token was for those before, and whatever it was for, it was used.
    trial.configure("api", "names = [\"other.test\"]\n")?;
    trial.reload_renewd()?;
    expect_refused(trial, "holds no token for exactly other.test")?;

    federated(trial)?;
    expect_nothing_told(trial, &[TOKEN_SECRET])
}

/// Only who says so trusts those that the CA is federated with: it always is, here.
fn federated(trial: &Trial) -> Result<()> {
    let token = "token = \"file:/etc/renewd/token\"";
    let believe = format!("{token}\nfederation = true");
    configure(trial, "/srv/step/root.pem", &believe)?;
    trial.reload_renewd()?;
    trial.wait_until("the other root is published, too", PROOF, || {
        let bundle = trial.read(&published("api", "ca.pem"))?;
        expect_equal("roots", &2, &bundle.matches("BEGIN CERTIFICATE").count())?;
        for root in ["root", "other"] {
            let root = trial.read(&format!("/srv/step/{root}.pem"))?;
            expect(bundle.contains(root.trim()), &root, &bundle)?;
        }
        Ok(())
    })
}

const ENDED: Scenario = Scenario {
    name: "a_step_certificate_that_has_ended_is_prolonged_where_the_ca_allows_it_and_else_takes_a_new_token",
    disk: Disk::Installed,
    fault: "the CA does not allow it",
    red: "api is published anew",
    run: ended,
};

/// The CA is away until the certificate has ended.
fn outlast(trial: &Trial) -> Result<()> {
    trial.systemctl(&["stop", CA])?;
    let leaf = published("api", "cert.pem");
    // The second in which it ends is one in which the CA still renews it.
    let ended = format!(
        "test $(date +%s) -gt $(($(date +%s -d \"$(openssl x509 -in {leaf} -noout -enddate | cut -d = -f 2)\") + 1))"
    );
    trial.wait_until("the certificate ends", PROOF, || trial.shell(&ended))?;
    Ok(())
}

fn ended(trial: &mut Trial) -> Result<()> {
    set_up(trial, "30s", "/srv/step/root.pem")?;
    trial.systemctl(&["restart", RENEWD])?;
    await_first(trial)?;
    outlast(trial)?;
    start_ca(trial)?;
    expect_refused(trial, "a token works once")?;
    let before = trial.published_serial("api")?;
    provide_token(trial, NAMES)?;
    let anew = renewed(trial)?;
    expect(anew != before, "a new serial", &anew)?;
    let key = expect_sound(trial)?;

    outlast(trial)?;
    let before = trial.published_serial("api")?;
    configure_ca(trial, trial.choose("after-expiry", "not-after-expiry"))?;
    start_ca(trial)?;
    trial.await_published_after("api", &before)?;
    let other = expect_sound(trial)?;
    expect(key != other, "a fresh key", &other)?;

    // Revoked, it opens nothing any more; and then a provisioner's key does.
    trial.configure(
        "api",
        "names = [\"api.test\", \"127.0.0.1\"]\nlifetime = \"1h\"\n",
    )?;
    configure(
        trial,
        "/srv/step/root.pem",
        "provisioner = \"hosts\"\nprovisioner_key = \"file:/etc/renewd/provisioner\"",
    )?;
    trial.shell("install -m 0640 -g renewd /srv/step/provisioner.key /etc/renewd/provisioner")?;
    trial.reload_renewd()?;
    let long = renewed(trial)?;
    expect_sound(trial)?;
    configure(
        trial,
        "/srv/step/root.pem",
        "token = \"file:/etc/renewd/none\"",
    )?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "revoke", "api", "--reason", "key-compromise"])?;
    let listed = trial
        .shell("curl -sSf http://localhost:9080/1.0/crl | openssl crl -inform DER -noout -text")?;
    let serial = long.to_uppercase();
    expect(listed.contains(&serial), "the serial in the CRL", &listed)?;
    expect_refused(trial, "refused a renewal")?;
    configure(
        trial,
        "/srv/step/root.pem",
        "provisioner = \"hosts\"\nprovisioner_key = \"file:/etc/renewd/provisioner\"\ncrl = [\"issuer\"]",
    )?;
    trial.reload_renewd()?;
    trial.wait_until("the CRL is published", PROOF, || {
        let list = published("api", "crl.pem");
        let listed = trial.shell(&format!("openssl crl -in {list} -noout -text"))?;
        expect(listed.contains(&serial), "the serial in it", &listed)
    })?;
    let last = renewed(trial)?;
    expect(last != long, "a new serial", &last)?;
    expect_sound(trial)?;
    expect_nothing_told(trial, &[TOKEN_SECRET, KEY_SECRET])
}
