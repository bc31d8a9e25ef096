//! The other ways in which an ACME CA is shown that names are ours, against pebble: a handshake, records, and a file
//! below a web server.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Failure, Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

use super::acme::{PINNED, account_key, configure, set_up, start};
use super::nginx::{NGINX, SITE};
use super::plain::{TALKATIVE, expect_untold, key_lines};

/// All of this file.
pub(super) const ALL: &[Scenario] = &[SHOWN];

const SOCKET: &str = "renewd-tls-alpn01.socket";

/// Has pebble's server of names tell what the CA asks for; it says what it does.
const RECORD: &str = r#"#!/bin/sh
set -eu
read -r asked
field() { printf '%s' "$asked" | sed 's/.*"'"$1"'":"\([^"]*\)".*/\1/'; }
name=$(field name)
echo "$(field action) $name" >&2
case $(field action) in
present) curl -sSf --data "{\"host\": \"$name.\", \"value\": \"$(field value)\"}" http://127.0.0.1:8055/set-txt ;;
cleanup) curl -sSf --data "{\"host\": \"$name.\"}" http://127.0.0.1:8055/clear-txt ;;
esac
"#;

/// Any web server at port 80, and what docs/issuers/acme.md says that is to be done for it.
const WEB_SITE: &str = "server {\n  listen 80;\n  root /var/www/html;\n}\n";
const WEB_ROOT: &str = "install -d -o renewd -g renewd -m 0755 /var/www/html/.well-known";
const WEB_WRITABLE: &str = "ReadWritePaths=/var/www/html/.well-known\n";
const PROOFS: &str = "/var/www/html/.well-known/acme-challenge";

const SHOWN: Scenario = Scenario {
    name: "an_acme_ca_is_shown_proofs_in_a_handshake_below_a_web_server_and_wildcards_by_records_that_do_not_stay",
    disk: Disk::Installed,
    fault: "the records are of another name",
    red: "a certificate of pebble for wild",
    run: shown,
};

fn shown(trial: &mut Trial) -> Result<()> {
    let ways = format!(
        "challenge = \"tls-alpn-01\"\n{PINNED}\n[issuer.records]\ntype = \"acme\"\n\
         directory = \"https://localhost:14000/dir\"\nterms_of_service = \"agreed\"\n\
         dns_command = [\"/usr/local/libexec/record\"]\n{PINNED}\n[issuer.web]\ntype = \"acme\"\n\
         directory = \"https://localhost:14000/dir\"\nterms_of_service = \"agreed\"\n\
         webroot = \"/var/www/html\"\n{PINNED}"
    );
    set_up(trial, "PEBBLE_VA_NOSLEEP=1", PINNED)?;
    configure(trial, &ways)?;
    trial.write(SITE, WEB_SITE)?;
    trial.shell(WEB_ROOT)?;
    trial.systemctl(&["start", NGINX])?;
    let record = trial.choose(RECORD.to_owned(), RECORD.replace("$name.", "other.$name."));
    trial.write("/usr/local/libexec/record", &record)?;
    trial.run(&["chmod", "0755", "/usr/local/libexec/record"])?;
    trial.configure(
        "api",
        "names = [\"api.test\", \"www.test\", \"127.0.0.1\"]\nissuer = \"pebble\"\n",
    )?;
    trial.configure(
        "web",
        "names = [\"web.test\", \"127.0.0.1\"]\nissuer = \"web\"\n",
    )?;
    trial.configure(
        "wild",
        "names = [\"wild.test\", \"*.wild.test\"]\nissuer = \"records\"\n",
    )?;
    trial.drop_in(RENEWD, &format!("{TALKATIVE}{WEB_WRITABLE}"))?;
    start(trial, &[SOCKET, RENEWD])?;
    for (certificate, names) in [
        (
            "api",
            &["-verify_hostname www.test", "-verify_ip 127.0.0.1"][..],
        ),
        (
            "web",
            &["-verify_hostname web.test", "-verify_ip 127.0.0.1"],
        ),
        ("wild", &["-verify_hostname any.wild.test"]),
    ] {
        let what = format!("a certificate of pebble for {certificate}");
        trial.wait_until(&what, PROOF, || trial.published_serial(certificate))?;
        for name in names {
            trial.shell(&format!(
                "openssl verify -purpose sslserver {name} -CAfile /etc/renewd/roots.pem -untrusted {} {}",
                published(certificate, "chain.pem"),
                published(certificate, "cert.pem"),
            ))?;
        }
    }
    expect_seen_below_the_web_server(trial)?;
    // Who is no CA gets no certificate that stands for a name and is none.
    let seen = trial.attempt(&[
        "openssl",
        "s_client",
        "-connect",
        "127.0.0.1:443",
        "-servername",
        "api.test",
    ])?;
    expect(
        !seen.output().contains("BEGIN CERTIFICATE"),
        "no certificate",
        seen.output(),
    )?;
    let journal = trial.shell(&format!("journalctl -o cat -u {RENEWD}"))?;
    for action in ["present", "cleanup"] {
        let line = format!("{action} _acme-challenge.wild.test");
        let count = journal.lines().filter(|said| said.contains(&line)).count();
        expect_equal(action, &2, &count)?;
    }
    // By the account that had it issued.
    let serials = [
        trial.published_serial("api")?,
        trial.published_serial("web")?,
    ];
    trial.run(&["renewctl", "revoke", "api", "--reason", "superseded"])?;
    for (serial, status, reason) in [
        (&serials[0], "Revoked", Some(4)),
        (&serials[1], "Valid", None),
    ] {
        let known = status_at_the_ca(trial, serial)?;
        expect_equal(
            "the status at the CA",
            &status,
            &known["Status"].as_str().unwrap_or(""),
        )?;
        expect_equal("the reason", &reason, &known["Reason"].as_u64())?;
    }
    let accounts = [
        account_key(trial, "pebble")?,
        account_key(trial, "records")?,
    ];
    expect_untold(trial, &[&accounts[..], &key_lines(trial, "api")?].concat())
}

/// The CA looked for a proof of each name where the web server has it, and nothing stays there.
fn expect_seen_below_the_web_server(trial: &Trial) -> Result<()> {
    let told = trial.read("/var/log/nginx/access.log")?;
    let found =
        |line: &&str| line.contains("GET /.well-known/acme-challenge/") && line.contains("\" 200 ");
    let found = told.lines().filter(found).count();
    expect(found >= 2, "proofs that the web server had", &told)?;
    expect_equal(
        "what stays",
        &"",
        &trial.shell(&format!("ls {PROOFS}"))?.trim(),
    )
}

/// What pebble knows of a certificate that it issued.
fn status_at_the_ca(machine: &Machine, serial: &str) -> Result<serde_json::Value> {
    let told = machine.shell(&format!(
        "curl -sSf --cacert /srv/pebble/ca.pem https://127.0.0.1:15000/cert-status-by-serial/{serial}"
    ))?;
    let known = serde_json::from_str(&told);
    known.map_err(|_| Failure::Expectation {
        expected: "what pebble knows of a certificate".to_owned(),
        found: told,
    })
}
