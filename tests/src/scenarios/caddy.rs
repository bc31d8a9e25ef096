//! The issuer `acme` against Caddy's ACME server, an implementation that pebble has nothing in common with.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

use super::acme::account_key;
use super::plain::{TALKATIVE, expect_untold, key_lines, unit};

/// All of this file.
pub(super) const ALL: &[Scenario] = &[SECOND];

const CADDY: &str = "caddy.service";

/// It asks the host for names, and real ports for proofs. Its shortest life is five minutes.
const CADDYFILE: &str = r#"{
    skip_install_trust
    auto_https disable_redirects
    http_port 9081
    https_port 9444
    storage file_system /srv/caddy/storage
    pki {
        ca agent {
            name Agent
        }
    }
}
https://localhost:9444 {
    tls {
        issuer internal {
            ca agent
        }
    }
    acme_server {
        ca agent
        lifetime 5m
    }
}
"#;

pub(super) const ISSUER: &str = r#"[issuer.caddy]
type = "acme"
directory = "https://localhost:9444/acme/agent/directory"
ca = "/etc/renewd/root.pem"
trust = "/etc/renewd/root.pem"
"#;

const SECOND: Scenario = Scenario {
    name: "caddy_as_the_acme_ca_issues_again_after_it_was_away_and_revokes",
    disk: Disk::Installed,
    fault: "its name for the host leads elsewhere",
    red: "a certificate of Caddy for api",
    run: second,
};

/// Starts the server; it finds this name at this address.
pub(super) fn start(trial: &Trial, name: &str, address: &str) -> Result<()> {
    trial.shell(&format!(
        "mkdir -p /srv/caddy && echo '{address} {name}' >> /etc/hosts"
    ))?;
    trial.write("/srv/caddy/Caddyfile", CADDYFILE)?;
    let caddy = "[Service]\nEnvironment=HOME=/srv/caddy\n\
        ExecStart=/packages/authorities/caddy run --config /srv/caddy/Caddyfile --adapter caddyfile\n";
    unit(trial, CADDY, caddy)?;
    serve(trial)
}

fn serve(trial: &Trial) -> Result<()> {
    trial.systemctl(&["start", CADDY])?;
    let root = "/srv/caddy/storage/pki/authorities/agent/root.crt";
    let ready = format!(
        "install -m 0644 {root} /etc/renewd/root.pem && curl -sSf --cacert {root} https://localhost:9444/acme/agent/directory"
    );
    trial
        .wait_until("Caddy is ready", PROOF, || trial.shell(&ready))
        .map(drop)
}

fn second(trial: &mut Trial) -> Result<()> {
    start(trial, "api.test", trial.choose("127.0.0.1", "192.0.2.1"))?;
    trial.write("/etc/renewd/renewd.toml", ISSUER)?;
    trial.configure("api", "names = [\"api.test\"]\nlifetime = \"5m\"\n")?;
    trial.drop_in(RENEWD, TALKATIVE)?;
    trial.systemctl(&["stop", RENEWD])?;
    trial.systemctl(&["start", "renewd-http01.socket", RENEWD])?;
    let first = trial.wait_until("a certificate of Caddy for api", PROOF, || {
        trial.published_serial("api")
    })?;
    expect_sound(trial)?;

    trial.systemctl(&["stop", CADDY])?;
    let away = trial.renew(&["api"])?;
    expect(
        !away.succeeded() && away.output().contains("localhost:9444 cannot be reached"),
        "a renewal that fails, and says why",
        away.output(),
    )?;
    expect_equal("the serial", &first, &trial.published_serial("api")?)?;
    serve(trial)?;
    let back = trial.renew(&["api"])?;
    expect(back.succeeded(), "a renewal", back.output())?;
    trial.await_published_after("api", &first)?;
    expect_sound(trial)?;
    let serial = trial.published_serial("api")?;
    expect_equal("revocations", &0, &revocations(trial, &serial)?)?;
    trial.run(&["renewctl", "revoke", "api"])?;
    expect_equal("revocations", &1, &revocations(trial, &serial)?)?;
    let account = account_key(trial, "caddy")?;
    let keys = [key_lines(trial, "api")?, vec![account]].concat();
    expect_untold(trial, &keys)
}

/// How many of a serial there are in Caddy's database, which writes of each certificate that was revoked one such line.
fn revocations(trial: &Trial, serial: &str) -> Result<usize> {
    let serial = u128::from_str_radix(serial, 16).unwrap_or_default();
    let database = "/srv/caddy/.local/share/caddy/acme_server/agent/db";
    let found = trial.shell(&format!(
        r#"grep -a -o '{{"Serial":"{serial}",[^{{}}]*"RevokedAt":[^{{}}]*}}' {database} | sort -u"#
    ))?;
    Ok(found.lines().count())
}

fn expect_sound(trial: &Trial) -> Result<()> {
    let verify = format!(
        "openssl verify -purpose sslserver -verify_hostname api.test -CAfile /etc/renewd/root.pem -untrusted {} {}",
        published("api", "chain.pem"),
        published("api", "cert.pem"),
    );
    trial.shell(&verify).map(drop)
}
