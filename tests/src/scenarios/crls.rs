//! Revocation lists of OpenBao, published beside the roots: nginx refuses who is on them.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

use super::nginx::{ADDRESS, NGINX, SITE};
use super::vault;

pub(super) const ALL: &[Scenario] = &[REVOKED];

const REVOKED: Scenario = Scenario {
    name: "a_client_that_its_ca_revoked_is_refused_by_nginx_once_the_newer_list_is_published_and_no_other_is",
    disk: Disk::Installed,
    fault: "the list comes from a file that nobody replaces",
    red: "the revoked client is refused",
    run: revoked,
};

/// Two clients of the mount, and copies of the lists as they are now.
const CLIENTS: &str = r#"
cd /srv/bao
for client in one two; do
    bao write -format=json pki_int/issue/host common_name=$client.example.internal key_type=ec ttl=1h > $client.json
    python3 -c 'import json,sys; d = json.load(sys.stdin)["data"]; print(d["certificate"], d["issuing_ca"], d["private_key"], sep="\n")' \
        < $client.json > $client.pem
done
for mount in pki pki_int; do
    curl -sSf --cacert ca.pem https://localhost:8200/v1/$mount/issuer/default/crl/pem
done > /etc/renewd/lists.pem
"#;

/// A site that knows its clients.
fn site() -> String {
    let path = |file| published("api", file);
    format!(
        "server {{\n  listen {ADDRESS} ssl;\n  server_name api.example.internal;\n  ssl_certificate {};\n  \
         ssl_certificate_key {};\n  ssl_client_certificate {};\n  ssl_crl {};\n  ssl_verify_client on;\n  \
         ssl_verify_depth 2;\n  location / {{ return 200 \"ok\\n\"; }}\n}}\n",
        path("fullchain.pem"),
        path("key.pem"),
        path("ca.pem"),
        path("crl.pem"),
    )
}

/// What nginx answers to a client.
fn asked(trial: &Trial, client: &str) -> Result<String> {
    let (address, roots) = (ADDRESS, published("api", "ca.pem"));
    trial.shell(&format!(
        "curl -sS --resolve api.example.internal:443:{} --cacert {roots} --cert /srv/bao/{client}.pem \
         https://api.example.internal/",
        address.trim_end_matches(":443")
    ))
}

fn expect_welcome(trial: &Trial, client: &str) -> Result<()> {
    expect_equal("nginx's answer", &"ok", &asked(trial, client)?.trim())
}

fn revoked(trial: &mut Trial) -> Result<()> {
    vault::set_up(trial)?;
    trial.write("/srv/clients.sh", CLIENTS)?;
    trial.run(&["bash", "-eu", "/srv/clients.sh"])?;
    let places = trial.choose(
        r#"["issuer", "pki/issuer/default"]"#,
        r#"["/etc/renewd/lists.pem"]"#,
    );
    let auth = format!("{}\ncrl = {places}", vault::app_role(trial)?);
    trial.write("/etc/renewd/renewd.toml", &vault::issuer("host", &auth))?;
    // A fortieth of it is the pause between two looks.
    trial.configure(
        "api",
        &format!(
            "names = [\"api.example.internal\"]\nlifetime = \"4m\"\ngroup = \"www-data\"\n\n\
             [unit.\"{NGINX}\"]\nprobe = [\"tls://{ADDRESS}\"]\n"
        ),
    )?;
    trial.systemctl(&["restart", RENEWD])?;
    trial.run(&["renewctl", "wait", "api"])?;
    // The first generation has the lists of both CAs: without the file nginx would not start.
    let lists = trial.read(&published("api", "crl.pem"))?;
    expect_equal("lists", &2, &lists.matches("BEGIN X509 CRL").count())?;
    trial.write(SITE, &site())?;
    trial.systemctl(&["start", NGINX])?;
    trial.await_proof("api", NGINX, "served")?;
    expect_welcome(trial, "one")?;
    expect_welcome(trial, "two")?;

    let serial = trial.shell("openssl x509 -noout -serial -in /srv/bao/one.pem")?;
    let serial = serial.trim().trim_start_matches("serial=").to_owned();
    trial.shell(&format!(
        "bao write pki_int/revoke serial_number=$(echo {serial} | sed 's/../&:/g; s/:$//')"
    ))?;
    trial.wait_until("the revoked client is refused", PROOF, || {
        let answer = asked(trial, "one")?;
        expect(
            answer.contains("The SSL certificate error"),
            "a refusal",
            &answer,
        )
    })?;
    expect_welcome(trial, "two")?;
    let told = trial.shell(&format!("journalctl -u {RENEWD}"))?;
    let news = "its revocation lists have changed: CN=issuing; CN=root";
    expect(
        told.contains(news) || told.contains("CN=root; CN=issuing"),
        news,
        "nothing",
    )?;

    // Somebody whose list is lost is locked in, and told about.
    trial.shell("bao write pki/config/crl disable=true && bao secrets disable pki")?;
    trial.wait_until("the journal names the list", PROOF, || {
        let told = trial.shell(&format!("journalctl -u {RENEWD} -p warning"))?;
        expect(
            told.contains("its revocation lists may not be the newest"),
            "a warning",
            &told,
        )
    })?;
    trial.renew(&["api"])?.success()?;
    let lists = trial.read(&published("api", "crl.pem"))?;
    expect_equal("lists", &2, &lists.matches("BEGIN X509 CRL").count())?;
    expect_welcome(trial, "two")?;
    let answer = asked(trial, "one")?;
    expect(
        answer.contains("The SSL certificate error"),
        "a refusal",
        &answer,
    )
}
