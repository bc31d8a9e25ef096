//! A CA that gets a new root while it is in use: trust comes before identity, on this host and on the others.

use super::callers::{self, Callers, expect_unharmed};
use super::sample_api::{ADDRESS, serve};
use super::vault;
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::load::{Files, Plan};
use crate::scenario::{Disk, Scenario, Trial};
use crate::wait::wait_until;

/// With the embedded CA.
pub(super) const ALL: &[Scenario] = &[NEW_ROOT];
/// With OpenBao.
pub(super) const OF_AN_ENGINE: &[Scenario] = &[OF_THE_MOUNT];

const NEW_ROOT: Scenario = Scenario {
    name: "a_new_root_is_known_before_it_is_used_and_no_client_fails",
    disk: Disk::Installed,
    fault: "a new root is used as soon as this host knows it",
    red: "the client of another host: no failed request and no dropped connection",
    run: new_root,
};

/// Requests of the other host, at a hundred in a second, until it hears of the new root.
const HEARS_LATE: u64 = 500;

fn plan(files: Files) -> Plan {
    Plan {
        connections: 8,
        rate: 100,
        ..callers::plan(files)
    }
}

fn anchors(trial: &Trial, certificate: &str) -> Result<usize> {
    let bundle = trial.read(&published(certificate, "ca.pem"))?;
    Ok(bundle.matches("BEGIN CERTIFICATE").count())
}

/// A client of this host and one of another, under way; and the server's leaf when they came.
struct Clients {
    own: Callers,
    other: Callers,
    first: String,
}

fn new_root(trial: &mut Trial) -> Result<()> {
    let settle = trial.choose("15s", "0s");
    trial.shell(&format!(
        "printf '[trust]\\nsettle = \"{settle}\"\\n' >>/etc/renewd/renewd.toml"
    ))?;
    serve(trial)?;
    trial.shell("renewctl ca root >/srv/old.pem")?;
    let clients = come(trial)?;

    // The CA's root is replaced by hand.
    trial.systemctl(&["stop", RENEWD])?;
    trial.run(&["mv", "/var/lib/renewd/store/issuer/internal", "/srv/"])?;
    trial.systemctl(&["start", RENEWD])?;
    follow(trial, clients)?;
    trial.shell("renewctl ca root >/srv/new.pem")?;
    expect_under_the_new(trial)
}

const OF_THE_MOUNT: Scenario = Scenario {
    name: "a_mount_that_signs_under_another_root_from_now_on_harms_no_client_of_the_old_or_the_new_one",
    disk: Disk::Installed,
    fault: "a new root is used as soon as this host knows it",
    red: "the client of another host: no failed request and no dropped connection",
    run: of_the_mount,
};

/// A second root, and in the mount that signs a second CA below it, which signs from now on.
const SECOND: &str = r#"
cd /srv/bao
bao secrets enable -path=pki_next pki
bao write -field=certificate pki_next/root/generate/internal common_name=next key_type=ec ttl=720h > /srv/new.pem
bao write -field=csr pki_int/intermediate/generate/internal common_name=issuing-next key_type=ec > next.csr
bao write -field=certificate pki_next/root/sign-intermediate csr=@next.csr format=pem_bundle ttl=700h > next.pem
bao write -format=json pki_int/intermediate/set-signed certificate=@next.pem > next.json
bao write pki_int/config/issuers default="$(python3 -c 'import json; \
    print(*(issuer for issuer, key in json.load(open("next.json"))["data"]["mapping"].items() if key))')"
"#;

fn of_the_mount(trial: &mut Trial) -> Result<()> {
    vault::set_up(trial)?;
    trial.shell("bao patch pki_int/roles/host allowed_domains=example.internal,test")?;
    // So short that the mount is asked every five seconds what its roots are.
    let settle = trial.choose("15s", "0s");
    trial.write(
        "/etc/renewd/renewd.toml",
        &format!(
            "[defaults]\nlifetime = \"200s\"\n[trust]\nsettle = \"{settle}\"\n{}",
            vault::issuer("host", &vault::app_role(trial)?)
        ),
    )?;
    serve(trial)?;
    trial.run(&["cp", "/srv/bao/root.pem", "/srv/old.pem"])?;
    let clients = come(trial)?;
    trial.write("/srv/second.sh", SECOND)?;
    trial.run(&["bash", "-eu", "/srv/second.sh"])?;
    follow(trial, clients)?;
    expect_under_the_new(trial)
}

fn come(trial: &Trial) -> Result<Clients> {
    // Another host has a certificate of its own, and asks for the CA's roots in its own time.
    let copied = ["combined.pem", "ca.pem"].map(|file| published("client", file));
    trial.shell(&format!(
        "mkdir /srv/other; cp {} /srv/other",
        copied.join(" ")
    ))?;
    let at = |file: &str| trial.on_disk(&format!("/srv/other/{file}"));
    let other = Files {
        ca: at("ca.pem"),
        certificate: at("combined.pem"),
        key: at("combined.pem"),
    };
    Ok(Clients {
        own: Callers::start(trial, plan(callers::files_of(trial, "client")))?,
        other: Callers::start(trial, plan(other))?,
        first: trial.published_serial("api")?,
    })
}

/// The CA has another root by now: this host hears of it by itself, the other one later, and nobody fails.
fn follow(trial: &Trial, clients: Clients) -> Result<()> {
    let Clients { own, other, first } = clients;
    for certificate in ["api", "client"] {
        wait_until("both roots are trusted", PROOF, || {
            expect_equal("roots in the bundle", &2, &anchors(trial, certificate)?)
        })?;
    }
    trial.run(&["renewctl", "renew", "api", "client"])?;
    let heard = other.so_far().requests + HEARS_LATE;
    trial.wait_until("the other host hears of it", PROOF, || {
        let requests = other.so_far().requests;
        expect(requests >= heard, "requests of the other host", requests)
    })?;
    trial.shell(&format!(
        "cp {} /srv/other/next; mv /srv/other/next /srv/other/ca.pem",
        published("api", "ca.pem")
    ))?;

    let second = trial.await_published_after("api", &first)?;
    trial.await_published_after("client", &first)?;
    trial.expect_in_use("api", ADDRESS, &second)?;
    trial.wait_until("the new leaf is seen", PROOF, || {
        let leaves = own.so_far().distinct_leaves_seen;
        expect_equal("leaves that the own client has seen", &2, &leaves)
    })?;
    expect_unharmed("the client of another host", &other.stop()?)?;
    expect_unharmed("the client of this host", &own.stop()?)
}

/// What goes on is of the new root alone, and the old one is kept.
fn expect_under_the_new(trial: &Trial) -> Result<()> {
    for certificate in ["api", "client"] {
        let chain = published(certificate, "chain.pem");
        let leaf = published(certificate, "cert.pem");
        let verify = ["openssl", "verify", "-untrusted", &chain, "-CAfile"];
        trial.run(&[&verify[..], &["/srv/new.pem", &leaf]].concat())?;
        let by_old = trial.attempt(&[&verify[..], &["/srv/old.pem", &leaf]].concat())?;
        expect(!by_old.succeeded(), "a leaf of the new root", "the old one")?;
        expect_equal("roots in the bundle", &2, &anchors(trial, certificate)?)?;
    }
    Ok(())
}
