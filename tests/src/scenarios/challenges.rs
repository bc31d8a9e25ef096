//! The other ways in which an ACME CA is shown that names are ours, against pebble: a handshake, and records.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

use super::acme::{PINNED, account_key, configure, set_up, start};
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

const SHOWN: Scenario = Scenario {
    name: "an_acme_ca_is_shown_proofs_in_a_handshake_and_wildcards_by_records_that_do_not_stay",
    disk: Disk::Installed,
    fault: "the records are of another name",
    red: "a certificate of pebble for wild",
    run: shown,
};

fn shown(trial: &mut Trial) -> Result<()> {
    let by_records = format!(
        "challenge = \"tls-alpn-01\"\n{PINNED}\n[issuer.records]\ntype = \"acme\"\n\
         directory = \"https://localhost:14000/dir\"\nterms_of_service = \"agreed\"\n\
         dns_command = [\"/usr/local/libexec/record\"]\n{PINNED}"
    );
    set_up(trial, "PEBBLE_VA_NOSLEEP=1", PINNED)?;
    configure(trial, &by_records)?;
    let record = trial.choose(RECORD.to_owned(), RECORD.replace("$name.", "other.$name."));
    trial.write("/usr/local/libexec/record", &record)?;
    trial.run(&["chmod", "0755", "/usr/local/libexec/record"])?;
    trial.configure(
        "api",
        "names = [\"api.test\", \"www.test\"]\nissuer = \"pebble\"\n",
    )?;
    trial.configure(
        "wild",
        "names = [\"wild.test\", \"*.wild.test\"]\nissuer = \"records\"\n",
    )?;
    trial.drop_in(RENEWD, TALKATIVE)?;
    start(trial, &[SOCKET, RENEWD])?;
    for (certificate, name) in [("api", "www.test"), ("wild", "any.wild.test")] {
        let what = format!("a certificate of pebble for {certificate}");
        trial.wait_until(&what, PROOF, || trial.published_serial(certificate))?;
        trial.shell(&format!(
            "openssl verify -purpose sslserver -verify_hostname {name} -CAfile /etc/renewd/roots.pem -untrusted {} {}",
            published(certificate, "chain.pem"),
            published(certificate, "cert.pem"),
        ))?;
    }
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
    trial.run(&["renewctl", "revoke", "api", "--reason", "superseded"])?;
    let accounts = [
        account_key(trial, "pebble")?,
        account_key(trial, "records")?,
    ];
    expect_untold(trial, &[&accounts[..], &key_lines(trial, "api")?].concat())
}
