//! Going back, with its evidence: the verdict on each generation, the bundle that stays published, the journal, and a
//! service that really refuses the new certificate.

use super::evidence::{expect_bundle, expect_verdict, verdict};
use super::nginx::{self, ADDRESS, NAME, NGINX};
use super::sample_api::{self, SAMPLE_API};
use crate::agent::{PROOF, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[REFUSED_KEY, BROKEN, REFUSED_BY_API];

/// Fails unless this was told of `api`, by the `MESSAGE_ID`s of docs/journal.md.
fn expect_told(trial: &Trial, events: &[(&str, &str)]) -> Result<()> {
    for (id, text) in events {
        let id = format!("MESSAGE_ID={id}");
        trial.wait_until("the verdict is in the journal", PROOF, || {
            let told = trial.run(&["journalctl", "--output=cat", "RENEWD_CERT=api", &id])?;
            expect(told.contains(text), format_args!("{text} told"), told)
        })?;
    }
    Ok(())
}

const REVERTED: &str = "9a540654b1b74207ac5f780f93b231f6";
const BLAMED: &str = "ec5fe790fe454b96967a922a14a5a89c";
const NOT_THE_CERTIFICATE: &str = "91c0d095a4a74effbdaf9476d2032f42";

const REFUSED_KEY: Scenario = Scenario {
    name: "a_certificate_that_nginx_refuses_is_blamed_and_the_old_one_serves_with_todays_bundle",
    disk: Disk::Installed,
    fault: "nginx accepts the new key",
    red: "a failed renewal",
    run: refused_key,
};

fn refused_key(trial: &mut Trial) -> Result<()> {
    // At this level of security OpenSSL takes the elliptic curve of the first key, and no RSA key of 2048 bits.
    let level = trial.choose(3, 2);
    trial.write(
        "/etc/nginx/openssl.cnf",
        &format!(
            "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nCipherString = DEFAULT@SECLEVEL={level}\n"
        ),
    )?;
    trial.drop_in(
        NGINX,
        "[Service]\nEnvironment=OPENSSL_CONF=/etc/nginx/openssl.cnf\n",
    )?;
    let first = nginx::serve(trial, "24h")?;
    let rsa = format!("key_type = \"rsa-2048\"\n{}", nginx::configuration("24h"));
    trial.configure("api", &rsa)?;
    trial.reload_renewd()?;
    let renewal = trial.renew(&["api"])?;
    expect(!renewal.succeeded(), "a failed renewal", renewal.output())?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &first)?;
    expect_bundle(trial)?;
    for (generation, wanted) in [(2, "blamed"), (3, "settled")] {
        expect_verdict(trial, generation, wanted)?;
    }
    let (_, cause) = verdict(trial, 2)?;
    expect(
        cause.contains("nginx.service: reload failed"),
        "the cause of the blame",
        cause,
    )?;
    let status = trial.status("api")?;
    expect_equal("the published generation", &Some(3), &status.generation)?;
    expect_told(
        trial,
        &[
            (REVERTED, "generation 3"),
            (BLAMED, "nginx.service: reload failed"),
        ],
    )?;
    trial.expect_issuances(NAME, 2)
}

const BROKEN: Scenario = Scenario {
    name: "a_broken_service_acquits_the_certificate_which_stays_published_with_its_bundle",
    disk: Disk::Installed,
    fault: "the service is mended in between",
    red: "not the certificate",
    run: broken,
};

fn broken(trial: &mut Trial) -> Result<()> {
    let first = nginx::serve(trial, "24h")?;
    // Fails for as long as this is there; in the twin only once.
    let once = trial.choose("", "rm /run/broken; ");
    nginx::observe_reloads(
        trial,
        &format!("ExecReload=/bin/sh -c 'test ! -e /run/broken || {{ {once}exit 1; }}'"),
    )?;
    trial.run(&["touch", "/run/broken"])?;
    trial.run(&["renewctl", "renew", "api"])?;
    trial.wait_until("the verdict on generation 2", PROOF, || {
        let (found, cause) = verdict(trial, 2)?;
        expect(
            found == "not the certificate" && cause.contains("nginx.service: reload failed"),
            "not the certificate",
            format_args!("{found}: {cause}"),
        )
    })?;
    let second = trial.await_published_after("api", &first)?;
    expect_bundle(trial)?;
    expect_told(
        trial,
        &[
            (REVERTED, "generation 3"),
            (NOT_THE_CERTIFICATE, "nginx.service: reload failed"),
        ],
    )?;
    trial.run(&["rm", "/run/broken"])?;
    trial.await_proof("api", NGINX, "served")?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    let number = trial.status("api")?.generation.unwrap_or_default();
    expect_verdict(trial, number, "settled")?;
    trial.expect_issuances(NAME, 2)
}

const REFUSED_BY_API: Scenario = Scenario {
    name: "a_certificate_that_the_sample_api_refuses_is_blamed_and_its_callers_notice_nothing",
    disk: Disk::Installed,
    fault: "it refuses the old one as well",
    red: "generation 2 as `blamed`",
    run: refused_by_api,
};

fn refused_by_api(trial: &mut Trial) -> Result<()> {
    sample_api::serve(trial)?;
    let first = trial.published_serial("api")?;
    let leaf = published("api", "cert.pem");
    // Takes the certificates listed and no other; the server's own command follows.
    trial.drop_in(
        SAMPLE_API,
        &format!(
            "[Service]\nExecReload=\nExecReload=/bin/sh -c 'openssl x509 -noout -serial -in {leaf} | grep -qxFf /run/accepted'\n\
             ExecReload=/usr/bin/renewd-sample-api reload --config /etc/renewd-sample-api/config.toml\n"
        ),
    )?;
    let accept = format!("openssl x509 -noout -serial -in {leaf} > /run/accepted");
    trial.shell(trial.choose(&accept, "echo none > /run/accepted"))?;
    let renewal = trial.renew(&["api"])?;
    expect(!renewal.succeeded(), "a failed renewal", renewal.output())?;
    trial.wait_until("the verdict on generation 2", PROOF, || {
        expect_verdict(trial, 2, "blamed")
    })?;
    trial.await_proof("api", SAMPLE_API, "served")?;
    trial.expect_in_use("api", sample_api::ADDRESS, &first)?;
    expect_bundle(trial)?;
    expect_verdict(trial, 3, "settled")?;
    trial.expect_issuances(sample_api::NAME, 2)?;
    let caller = trial.run(&[
        "curl",
        "--silent",
        "--fail",
        "--cacert",
        &published("api", "ca.pem"),
        "--cert",
        &published("client", "combined.pem"),
        "https://127.0.0.1:8443/whoami",
    ])?;
    expect(
        caller.contains("spiffe://example.internal/client"),
        "the caller's identity",
        caller,
    )
}
