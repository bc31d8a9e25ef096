//! The issuer `est` against estserver, the server of Cisco's libest, which issues by `openssl ca`.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};
use crate::wait::wait_until;

use super::plain::unit;

/// All of this file.
pub(super) const ALL: &[Scenario] = &[ENROLLED, PENDING];

const SERVER: &str = "est.service";
/// The server's own.
const PASSWORD: &str = "estpwd";
/// With its user, as HTTP basic has it.
const BASIC: &str = "ZXN0dXNlcjplc3Rwd2Q=";

/// A CA for names and for the server: two roots, so that one is implicit and the other explicit. And two makers of hosts,
/// of whom the server knows one.
const CA: &str = r#"
mkdir -p /srv/est && cd /srv/est
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" -days 30 -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign; }
make ca
make servers
make maker
make stranger
cat ca.pem maker.pem > trusted.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n' > extensions
openssl x509 -req -in server.csr -CA servers.pem -CAkey servers.key -CAcreateserial -out server.pem -days 30 -extfile extensions
touch index.txt && echo 1000 > serial
cat > ca.cnf <<'END'
[ca]
default_ca = main
[main]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 1
copy_extensions = copy
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = optional
END
install -m 0644 servers.pem /etc/renewd/servers.pem
printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n' > extensions
umask 027
for maker in maker stranger; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /etc/renewd/$maker.key -out made.csr -subj /CN=host-17
    openssl x509 -req -in made.csr -CA $maker.pem -CAkey $maker.key -CAcreateserial -out /etc/renewd/$maker.pem -days 30 -extfile extensions
    chgrp renewd /etc/renewd/$maker.*
    chmod 0640 /etc/renewd/$maker.*
done
echo estpwd > /etc/renewd/est-password
chgrp renewd /etc/renewd/est-password
"#;

pub(super) const ISSUER: &str = r#"[issuer.est]
type = "est"
server = "https://localhost:8085"
ca = "/etc/renewd/servers.pem"
username = "estuser"
password = "file:/etc/renewd/est-password"
"#;

/// Starts the server (not with `-v`, for it would end when it is to tell of a certificate without a subject) with
/// further options.
pub(super) fn start(trial: &Trial, options: &str) -> Result<()> {
    trial.write("/srv/est.sh", CA)?;
    trial.run(&["bash", "-eu", "/srv/est.sh"])?;
    let server = format!(
        "[Service]\nWorkingDirectory=/srv/est\n\
         Environment=EST_TRUSTED_CERTS=trusted.pem EST_CACERTS_RESP=ca.pem EST_OPENSSL_CACONFIG=ca.cnf\n\
         ExecStart=/packages/authorities/estserver -c server.pem -k server.key -p 8085 -r estrealm {options}\n"
    );
    unit(trial, SERVER, &server)?;
    serve(trial)
}

/// Starts the server and the daemon; nothing is issued before that.
fn set_up(trial: &Trial, options: &str) -> Result<()> {
    start(trial, options)?;
    trial.write("/etc/renewd/renewd.toml", ISSUER)?;
    trial.configure("api", "names = [\"api.test\"]\n")?;
    trial.drop_in(RENEWD, "[Service]\nEnvironment=RENEWD_LOG=trace\n")?;
    trial.systemctl(&["restart", RENEWD]).map(drop)
}

/// Has the server issue for a minute: it knows days, or an instant, and reads which at each enrolment.
pub(super) fn shorten(trial: &Trial) -> Result<()> {
    let shorten = "[Service]\nWorkingDirectory=/srv/est\nExecStart=/bin/sh -c 'while sleep 1; do \
        sed \"s/^default_days.*/default_enddate = $$(date -u -d \"60 seconds\" +%%Y%%m%%d%%H%%M%%SZ)/\" days.cnf > new.cnf && \
        mv new.cnf ca.cnf; done'\n";
    trial.run(&["cp", "/srv/est/ca.cnf", "/srv/est/days.cnf"])?;
    unit(trial, "minutes.service", shorten)?;
    trial.systemctl(&["start", "minutes.service"])?;
    trial
        .wait_until("estserver issues for a minute", PROOF, || {
            trial.run(&["grep", "default_enddate", "/srv/est/ca.cnf"])
        })
        .map(drop)
}

fn serve(machine: &Machine) -> Result<()> {
    machine.systemctl(&["restart", SERVER])?;
    let ask =
        "curl -sSf --cacert /srv/est/servers.pem https://localhost:8085/.well-known/est/cacerts";
    wait_until("estserver is ready", PROOF, || machine.shell(ask)).map(drop)
}

/// OpenSSL finds what is published right, below the root that the CA told of itself.
fn expect_sound(machine: &Machine) -> Result<()> {
    expect_sound_for(machine, "api")
}

fn expect_sound_for(machine: &Machine, certificate: &str) -> Result<()> {
    let file = |file| published(certificate, file);
    let (root, leaf) = (file("ca.pem"), file("cert.pem"));
    let name = format!("{certificate}.test");
    machine.run(&["cmp", &root, "/srv/est/ca.pem"])?;
    let argv = [
        "openssl",
        "verify",
        "-purpose",
        "sslserver",
        "-verify_hostname",
    ];
    let files = [&name, "-CAfile", &root, &leaf];
    machine.run(&[&argv[..], &files].concat()).map(drop)
}

/// Renews, and expects another sound leaf.
fn expect_renewed(trial: &Trial, before: &str) -> Result<String> {
    let renewed = trial.renew(&["api"])?;
    expect(renewed.succeeded(), "a renewal", renewed.output())?;
    let after = trial.await_published_after("api", before)?;
    expect_sound(trial)?;
    Ok(after)
}

fn expect_failure(trial: &Trial, why: &str) -> Result<()> {
    expect_failure_of(trial, "api", why)
}

fn expect_failure_of(trial: &Trial, certificate: &str, why: &str) -> Result<()> {
    let failed = trial.renew(&[certificate])?;
    let told = !failed.succeeded() && failed.output().contains(why);
    expect(told, format!("no renewal, and {why:?}"), failed.output())
}

/// At its most talkative, the daemon tells no password.
fn expect_no_secret(machine: &Machine) -> Result<()> {
    let journal = machine.shell(&format!("journalctl -u {RENEWD}"))?;
    let traced = journal.contains("checkout waiting");
    expect(traced, "a journal at trace level", "less")?;
    let told = [PASSWORD, BASIC]
        .iter()
        .any(|secret| journal.contains(secret));
    expect(!told, "no password in the journal", "one")
}

const ENROLLED: Scenario = Scenario {
    name: "an_est_server_enrols_by_a_password_and_renews_by_the_certificate_alone",
    disk: Disk::Installed,
    fault: "the server wants the password with a certificate, too",
    red: "a renewal",
    run: enrolled,
};

fn enrolled(trial: &mut Trial) -> Result<()> {
    set_up(trial, trial.choose("-o", ""))?;
    let first = trial.wait_until("a certificate of estserver for api", PROOF, || {
        trial.published_serial("api")
    })?;
    expect_sound(trial)?;
    trial.run(&["mv", "/etc/renewd/est-password", "/etc/renewd/taken"])?;
    let second = expect_renewed(trial, &first)?;
    serve(trial)?;
    let third = expect_renewed(trial, &second)?;
    trial.systemctl(&["stop", SERVER])?;
    expect_failure(trial, "localhost:8085 cannot be reached")?;
    expect_sound(trial)?;
    serve(trial)?;
    let fourth = expect_renewed(trial, &third)?;
    // Other names are for an enrolment.
    let more = "names = [\"api.test\", \"www.api.test\"]\n";
    trial.configure("api", more)?;
    trial.reload_renewd()?;
    expect_failure(trial, "est-password is not there")?;
    trial.run(&["mv", "/etc/renewd/taken", "/etc/renewd/est-password"])?;
    expect_renewed(trial, &fourth)?;
    let looked = trial.run(&["renewctl", "issuer", "check", "est"])?;
    let known = looked.contains("1 CA certificates");
    expect(known, "what issuer check finds", &looked)?;
    by_what_its_maker_gave_it(trial)?;
    expect_no_secret(trial)
}

/// Enrols another certificate with no password: a server that knows the maker, and no other, takes its word.
fn by_what_its_maker_gave_it(trial: &Trial) -> Result<()> {
    let by = |maker: &str| {
        let server = ISSUER.split_once("username").map(|(server, _)| server);
        let text = format!(
            "{}bootstrap_certificate = \"/etc/renewd/{maker}.pem\"\nbootstrap_key = \"file:/etc/renewd/{maker}.key\"\n",
            server.unwrap_or_default()
        );
        trial.write("/etc/renewd/renewd.toml", &text)?;
        trial.reload_renewd()
    };
    trial.configure("made", "names = [\"made.test\"]\n")?;
    by("stranger")?;
    expect_failure_of(trial, "made", "ended the TLS handshake")?;
    by("maker")?;
    trial.renew(&["made"])?.success()?;
    expect_sound_for(trial, "made")?;
    // From now on by what it has.
    trial.shell("rm /etc/renewd/maker.*")?;
    trial.renew(&["made"])?.success()?;
    expect_sound_for(trial, "made")
}

const PENDING: Scenario = Scenario {
    name: "an_est_server_that_has_to_decide_first_is_brought_the_same_request_again",
    disk: Disk::Installed,
    fault: "the key is lost while the daemon is away",
    red: "the request that was approved",
    run: pending,
};

fn pending(trial: &mut Trial) -> Result<()> {
    // It says 202 to a key that it sees for the first time, and approves when it sees it again.
    set_up(trial, "-o -m 60")?;
    trial.wait_until("the server has the request", PROOF, || {
        let journal = trial.shell(&format!("journalctl -u {RENEWD}"))?;
        let told = journal.contains("has taken the request, and has not decided on it yet");
        expect(told, "a request that is not decided on", &journal)
    })?;
    trial.systemctl(&["stop", RENEWD])?;
    let key = "/var/lib/renewd/store/identities/api/asked-est";
    trial.sabotage(|machine| machine.run(&["rm", key]).map(drop))?;
    trial.systemctl(&["start", RENEWD])?;
    let brought = trial.renew(&["api"])?;
    expect(
        brought.succeeded(),
        "the request that was approved",
        brought.output(),
    )?;
    trial.wait_until("a certificate of estserver for api", PROOF, || {
        trial.published_serial("api")
    })?;
    expect_sound(trial)?;
    expect_no_secret(trial)
}
