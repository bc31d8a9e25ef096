//! A program as the issuer: OpenSSL's own CA by the documented script, in the unit's sandbox.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

use super::plain::{TALKATIVE, expect_untold, key_lines};

pub(super) const ALL: &[Scenario] = &[OPENSSL];

const OPENSSL: Scenario = Scenario {
    name: "openssl_ca_issues_by_a_program_that_never_sees_the_store",
    disk: Disk::Installed,
    fault: "the kernel refuses Landlock",
    red: "the store, and what others are told in secret, hidden from the program",
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
    cat "$CREDENTIALS_DIRECTORY/other" 2>&1
    sha256sum < "$CREDENTIALS_DIRECTORY/ca-token"
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
credentials = ["ca-token"]
"#;

/// What the program is told in secret, and what is none of its business.
const TOKEN: &str = "planted-token-of-the-program-7d1f4c";
const OTHER: &str = "planted-token-of-somebody-else-b03e92";
const CREDENTIALS: &str =
    "LoadCredential=ca-token:/etc/renewd/ca-token\nLoadCredential=other:/etc/renewd/other-token\n";

fn openssl(trial: &mut Trial) -> Result<()> {
    trial.write("/srv/ca.sh", CA)?;
    trial.run(&["bash", "-eu", "/srv/ca.sh"])?;
    trial.write("/usr/local/libexec/issue", PROGRAM)?;
    trial.run(&["chmod", "0755", "/usr/local/libexec/issue"])?;
    trial.write("/etc/renewd/renewd.toml", ISSUER)?;
    trial.write("/etc/renewd/ca-token", TOKEN)?;
    trial.write("/etc/renewd/other-token", OTHER)?;
    trial.configure("corp", "names = [\"corp.example.internal\"]\n")?;
    let refused = trial.choose("", "SystemCallFilter=~landlock_create_ruleset\n");
    trial.drop_in(
        RENEWD,
        &format!("{TALKATIVE}{CREDENTIALS}ReadWritePaths=/var/lib/corporate-ca\n{refused}"),
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
    expect(denied == 3, OPENSSL.red, &seen)?;
    let token = trial.shell("sha256sum < /etc/renewd/ca-token")?;
    expect(seen.contains(token.trim()), "its own credential", &seen)?;
    // Three that are its own, and the directory that `ls` reads.
    let open = seen.lines().filter(|line| line.contains(" -> ")).count();
    expect_equal("open descriptors", &4, &open)?;
    expect(
        seen.contains("CapEff:\t0000000000000000"),
        "no capabilities",
        &seen,
    )?;
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "WATCHDOG_USEC"] {
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
    expect_equal("the serial", &second, &trial.published_serial("corp")?)?;
    let ca = trial.read("/srv/ca/ca.key")?;
    let ca = ca.lines().filter(|line| !line.starts_with('-'));
    let mut secrets = vec![TOKEN.to_owned(), OTHER.to_owned()];
    secrets.extend(ca.map(str::to_owned));
    secrets.extend(key_lines(trial, "corp")?);
    expect_untold(trial, &secrets)
}
