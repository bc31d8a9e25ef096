//! dns-01 against the servers of names that docs/issuers/acme.md tells how to set up: what runs here is what stands there.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Failure, Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

use super::acme::{PINNED, account_key, set_up};
use super::plain::{TALKATIVE, expect_untold};

/// All of this file.
pub(super) const ALL: &[Scenario] = &[UPDATED];

const BIND: &str = "named.service";
const KNOT: &str = "knot.service";
const PAGE: &str = include_str!("../../../docs/issuers/acme.md");

const UPDATED: Scenario = Scenario {
    name: "bind_and_knot_take_the_records_of_wildcards_as_documented_and_keep_none",
    disk: Disk::Installed,
    fault: "the key may make the records of another name",
    red: "a certificate of pebble for updated",
    run: updated,
};

/// The documented block that has these words.
fn documented(words: &str) -> Result<String> {
    let mut blocks = PAGE.split("\n```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains(words));
    let text = block.and_then(|block| block.split_once('\n'));
    text.map(|(_language, text)| format!("{text}\n"))
        .ok_or_else(|| Failure::Expectation {
            expected: format!("a block of the page with {words:?}"),
            found: "none".to_owned(),
        })
}

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";

/// The CA asks at its own port.
const OPTIONS: &str = "options {
    directory \"/var/cache/bind\";
    listen-on { 127.0.0.1; };
    listen-on port 8053 { 127.0.0.1; };
    recursion no;
    dnssec-validation no;
};
";

const SERVER: &str = "server:
    rundir: /run/knot
    user: knot:knot
    listen: [ 127.0.0.1@53, 127.0.0.1@8053 ]
log:
  - target: syslog
    any: info
template:
  - id: default
    storage: /var/lib/knot
    file: \"%s.zone\"
";

fn configure_servers(trial: &Trial) -> Result<()> {
    trial.shell("echo 127.0.0.1 ns1.example.org >> /etc/hosts")?;
    trial.shell(&documented("tsig-keygen")?)?;
    let zone = documented("update-policy")?;
    let zone = trial.choose(zone.clone(), zone.replace("name _acme", "name _other"));
    trial.write("/etc/bind/named.conf.options", OPTIONS)?;
    trial.write("/etc/bind/named.conf.local", &zone)?;
    trial.write("/var/lib/bind/example.org.zone", ZONE)?;
    trial.shell("chown -R bind: /var/lib/bind && named-checkconf")?;

    let secret = "sed -n 's/.*secret \"\\(.*\\)\";/\\1/p' /etc/bind/renewd.key > /etc/renewd/tsig";
    trial.shell(secret)?;
    let key = trial.read("/etc/renewd/tsig")?;
    let zone = documented("update-owner")?.replace('…', key.trim());
    trial.write("/etc/knot/knot.conf", &[SERVER, &zone].concat())?;
    trial.write("/var/lib/knot/example.org.zone", ZONE)?;
    trial.shell("chown -R knot: /var/lib/knot && chmod 0600 /etc/renewd/tsig && chown knot: /etc/knot/knot.conf && knotc conf-check")?;
    Ok(())
}

/// One issuer updates the zone, and one has the documented program do it.
fn configure(trial: &Trial) -> Result<()> {
    let at_pebble = |text: &str| {
        text.replace(
            "https://acme-v02.api.letsencrypt.org/directory",
            "https://localhost:14000/dir",
        )
    };
    let updates = at_pebble(&documented("[issuer.wildcards]")?).replace("20s", "0s");
    let program = "[issuer.program]\ntype = \"acme\"\ndirectory = \"https://localhost:14000/dir\"\n\
        terms_of_service = \"agreed\"\nchallenge = \"dns-01\"\ndns_command = [\"/usr/local/libexec/renewd-record\"]\n\
        dns_credentials = [\"dns-key\"]\n";
    let text = [&updates, PINNED, program, PINNED].concat();
    trial.write("/etc/renewd/renewd.toml", &text)?;
    let record = documented("nsupdate -k")?;
    trial.write("/usr/local/libexec/renewd-record", &record)?;
    trial.run(&["chmod", "0755", "/usr/local/libexec/renewd-record"])?;
    trial.run(&["rm", "/etc/renewd/certs.d/api.toml"])?;
    for (certificate, issuer) in [("updated", "wildcards"), ("told", "program")] {
        let text = format!("names = [\"example.org\", \"*.example.org\"]\nissuer = \"{issuer}\"\n");
        trial.configure(certificate, &text)?;
    }
    trial.drop_in(
        RENEWD,
        &format!("{TALKATIVE}LoadCredential=tsig:/etc/renewd/tsig\nLoadCredential=dns-key:/etc/bind/renewd.key\n"),
    )
}

/// A wildcard is certified, and nothing of how it was proven is in the zone.
fn expect_proven(trial: &Trial, certificate: &str) -> Result<()> {
    trial.shell(&format!(
        "openssl verify -purpose sslserver -verify_hostname any.example.org -CAfile /etc/renewd/roots.pem -untrusted {} {}",
        published(certificate, "chain.pem"),
        published(certificate, "cert.pem"),
    ))?;
    let records = trial.run(&[
        "dig",
        "+short",
        "@127.0.0.1",
        "_acme-challenge.example.org",
        "TXT",
    ])?;
    expect_equal("records that stay", &"", &records.trim())
}

/// The key has no other right, and nobody has one without it.
fn expect_no_more_rights(trial: &Trial) -> Result<()> {
    for (key, record) in [
        (
            "-k /etc/bind/renewd.key",
            "_acme-challenge.example.org. 60 CNAME www.example.org.",
        ),
        ("-k /etc/bind/renewd.key", "www.example.org. 60 TXT other"),
        (
            "-k /etc/bind/renewd.key",
            "_acme-challenge.www.example.org. 60 TXT other",
        ),
        ("", "_acme-challenge.example.org. 60 TXT other"),
    ] {
        let update =
            format!("printf 'server 127.0.0.1\\nupdate add {record}\\nsend\\n' | nsupdate {key}");
        let answer = trial.attempt(&["sh", "-c", &update])?;
        expect(
            !answer.succeeded() && answer.output().contains("update failed"),
            format_args!("no right to {record}"),
            answer.output(),
        )?;
    }
    Ok(())
}

fn updated(trial: &mut Trial) -> Result<()> {
    set_up(trial, "PEBBLE_VA_NOSLEEP=1", PINNED)?;
    configure_servers(trial)?;
    configure(trial)?;
    trial.systemctl(&["stop", "names.service"])?;
    trial.systemctl(&["start", BIND])?;
    trial.systemctl(&["restart", RENEWD])?;
    let mut firsts = Vec::new();
    for certificate in ["updated", "told"] {
        let what = format!("a certificate of pebble for {certificate}");
        firsts.push(trial.wait_until(&what, PROOF, || trial.published_serial(certificate))?);
    }
    for certificate in ["updated", "told"] {
        expect_proven(trial, certificate)?;
    }
    let told = trial.shell(&format!("journalctl -o cat -u {BIND}"))?;
    for change in ["adding an RR at", "deleting an RR at"] {
        let changes = told.lines().filter(|line| line.contains(change));
        let count = changes
            .filter(|line| line.contains("_acme-challenge.example.org"))
            .count();
        expect_equal(change, &4, &count)?;
    }

    expect_no_more_rights(trial)?;

    trial.systemctl(&["stop", BIND])?;
    trial.systemctl(&["start", KNOT])?;
    for (certificate, first) in ["updated", "told"].into_iter().zip(firsts) {
        let renewed = trial.renew(&[certificate])?;
        expect(renewed.succeeded(), "a renewal", renewed.output())?;
        trial.await_published_after(certificate, &first)?;
        expect_proven(trial, certificate)?;
    }
    expect_no_more_rights(trial)?;

    // At its most talkative, the daemon tells no key that others trust.
    let tsig = trial.read("/etc/renewd/tsig")?.trim().to_owned();
    let accounts = [
        account_key(trial, "wildcards")?,
        account_key(trial, "program")?,
    ];
    expect_untold(trial, &[&accounts[..], &[tsig]].concat())
}
