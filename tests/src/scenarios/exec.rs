//! A program as the issuer: OpenSSL's own CA by the documented script, in the unit's sandbox.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[OPENSSL];

const OPENSSL: Scenario = Scenario {
    name: "openssl_ca_issues_by_a_program_that_never_sees_the_store",
    disk: Disk::Installed,
    fault: "the kernel refuses Landlock",
    red: "the store hidden from the program",
    run: openssl,
};

/// As docs/issuers/exec.md says, with a root and an issuing CA made here.
const CA: &str = r#"
mkdir /srv/ca && cd /srv/ca
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$1.key" -out "$1.pem" "${@:2}"; }
make root
make ca -CA root.pem -CAkey root.key -addext basicConstraints=critical,CA:TRUE,pathlen:0
cd /usr/share/doc/renewd/docs/issuers/exec
install -D -m 0755 openssl-ca /usr/local/libexec/openssl-ca
install -d -o renewd -g renewd -m 0700 /var/lib/corporate-ca /var/lib/corporate-ca/issued
install -o renewd -g renewd -m 0600 ca.cnf /srv/ca/ca.pem /srv/ca/ca.key /var/lib/corporate-ca/
install -o renewd -g renewd -m 0600 /dev/null /var/lib/corporate-ca/index.txt
install -m 0644 /srv/ca/root.pem /etc/renewd/corporate-root.pem
"#;

/// Looks around before it issues, and tells on stderr that it did.
const PROGRAM: &str = r#"#!/bin/sh
{
    ls /var/lib/renewd/store /run/renewd 2>&1
    env
    ls -l /proc/self/fd
    grep CapEff /proc/self/status
} >/var/lib/corporate-ca/seen
echo 'about to sign' >&2
exec /usr/local/libexec/openssl-ca /var/lib/corporate-ca
"#;

const ISSUER: &str = r#"[issuer.corporate]
type = "exec"
command = ["/usr/local/libexec/issue"]
trust = "/etc/renewd/corporate-root.pem"
"#;

fn openssl(trial: &mut Trial) -> Result<()> {
    trial.write("/srv/ca.sh", CA)?;
    trial.run(&["bash", "-eu", "/srv/ca.sh"])?;
    trial.write("/usr/local/libexec/issue", PROGRAM)?;
    trial.run(&["chmod", "0755", "/usr/local/libexec/issue"])?;
    trial.write("/etc/renewd/renewd.toml", ISSUER)?;
    trial.configure("corp", "names = [\"corp.example.internal\"]\n")?;
    let refused = trial.choose("", "SystemCallFilter=~landlock_create_ruleset\n");
    trial.drop_in(
        RENEWD,
        &format!("[Service]\nReadWritePaths=/var/lib/corporate-ca\n{refused}"),
    )?;
    trial.systemctl(&["restart", RENEWD])?;
    let first = trial.wait_until("corp is published", PROOF, || {
        trial.published_serial("corp")
    })?;
    trial.renew(&["corp"])?.success()?;
    let second = trial.published_serial("corp")?;
    expect(second != first, "a new serial", &second)?;
    trial.run(&[
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        "/srv/ca/root.pem",
        "-untrusted",
        &published("corp", "chain.pem"),
        &published("corp", "cert.pem"),
    ])?;

    let seen = trial.read("/var/lib/corporate-ca/seen")?;
    let denied = seen.matches("Permission denied").count();
    expect(denied == 2, "the store hidden from the program", &seen)?;
    // Three that are its own, and the directory that `ls` reads.
    let open = seen.lines().filter(|line| line.contains(" -> ")).count();
    expect_equal("open descriptors", &4, &open)?;
    expect(
        seen.contains("CapEff:\t0000000000000000"),
        "no capabilities",
        &seen,
    )?;
    for name in [
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "WATCHDOG_USEC",
        "CREDENTIALS",
    ] {
        expect(!seen.contains(name), format_args!("no {name}"), &seen)?;
    }
    let said = trial.run(&["journalctl", "--boot", "--output=cat", "RENEWD_CERT=corp"])?;
    expect(
        said.contains("the issuer's program says: about to sign") && !said.contains("PRIVATE"),
        "what the program said",
        &said,
    )?;

    // What it may not certify is the operator's: the certificate stays, and nothing is asked again by itself.
    trial.configure("corp", "names = [\"corp.example.org\"]\n")?;
    trial.reload_renewd()?;
    let refused = trial.renew(&["corp"])?;
    expect(
        refused.output().contains("is not below example.internal"),
        "the reason of the refusal",
        refused.output(),
    )?;
    expect_equal("the serial", &second, &trial.published_serial("corp")?)
}
