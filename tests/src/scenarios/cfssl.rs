//! cfssl's server as the CA, asked by the documented script.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

use super::plain::{TALKATIVE, expect_untold, key_lines, unit};

pub(super) const ALL: &[Scenario] = &[CFSSL];

const SERVER: &str = "cfssl.service";

const CFSSL: Scenario = Scenario {
    name: "cfssl_issues_by_the_documented_script_and_is_waited_for_while_it_is_away",
    disk: Disk::Installed,
    fault: "the profile gives certificates for clients only",
    red: "corp is published",
    run: cfssl,
};

/// As docs/issuers/exec.md says, with a root and an issuing CA made here.
const CA: &str = r#"
mkdir /srv/ca && cd /srv/ca
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$1.key" -out "$1.pem" "${@:2}"; }
make root
make ca -CA root.pem -CAkey root.key -addext basicConstraints=critical,CA:TRUE,pathlen:0
install -D -m 0755 /usr/share/doc/renewd/docs/issuers/exec/cfssl /usr/local/libexec/cfssl
install -m 0644 root.pem /etc/renewd/corporate-root.pem
install -m 0644 ca.pem /etc/renewd/corporate-issuing.pem
"#;

pub(super) const ISSUER: &str = r#"[issuer.corporate]
type = "exec"
command = ["/usr/local/libexec/cfssl", "http://127.0.0.1:8888", "/etc/renewd/corporate-issuing.pem", "short"]
trust = "/etc/renewd/corporate-root.pem"
"#;

/// Starts cfssl with a profile that lasts so long.
pub(super) fn set_up(trial: &Trial, expiry: &str, usages: &str) -> Result<()> {
    trial.write("/srv/ca.sh", CA)?;
    trial.run(&["bash", "-eu", "/srv/ca.sh"])?;
    let profile = format!(
        r#"{{"expiry": "{expiry}", "backdate": "30s", "usages": ["digital signature"{usages}, "client auth"]}}"#
    );
    trial.write(
        "/srv/ca/signing.json",
        &format!(r#"{{"signing": {{"default": {profile}, "profiles": {{"short": {profile}}}}}}}"#),
    )?;
    unit(
        trial,
        SERVER,
        "[Service]\nExecStart=/packages/authorities/cfssl serve -address 127.0.0.1 -port 8888 \
         -ca /srv/ca/ca.pem -ca-key /srv/ca/ca.key -config /srv/ca/signing.json\n",
    )?;
    trial.systemctl(&["start", SERVER])?;
    let asked = "curl -sSf --data '{}' http://127.0.0.1:8888/api/v1/cfssl/info";
    trial
        .wait_until("cfssl is ready", PROOF, || trial.shell(asked))
        .map(drop)
}

fn cfssl(trial: &mut Trial) -> Result<()> {
    let usages = trial.choose(r#", "server auth""#, "");
    set_up(trial, "1h", usages)?;
    trial.write("/etc/renewd/renewd.toml", ISSUER)?;
    trial.configure(
        "corp",
        "names = [\"corp.example.internal\"]\nlifetime = \"1h\"\n",
    )?;
    trial.drop_in(RENEWD, TALKATIVE)?;
    trial.systemctl(&["restart", RENEWD])?;
    let first = trial.wait_until("corp is published", PROOF, || {
        trial.published_serial("corp")
    })?;
    let verify = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        "/srv/ca/root.pem",
        "-untrusted",
        &published("corp", "chain.pem"),
        &published("corp", "cert.pem"),
    ];
    trial.run(&verify)?;

    // Away, it is asked later, and says so; what is published stays.
    trial.systemctl(&["stop", SERVER])?;
    let away = trial.renew(&["corp"])?;
    expect(
        !away.succeeded() && away.output().contains("not now"),
        "a renewal that fails, and says that it is not now",
        away.output(),
    )?;
    expect_equal("the serial", &first, &trial.published_serial("corp")?)?;
    trial.systemctl(&["start", SERVER])?;
    trial.wait_until("cfssl is back", PROOF, || {
        trial.shell("curl -sSf --data '{}' http://127.0.0.1:8888/api/v1/cfssl/info")
    })?;
    trial.renew(&["corp"])?.success()?;
    let second = trial.published_serial("corp")?;
    expect(second != first, "a new serial", &second)?;
    trial.run(&verify)?;
    expect_untold(trial, &key_lines(trial, "corp")?)
}
