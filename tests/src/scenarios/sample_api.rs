//! The sample API as its package installs it: mutual TLS with certificates of renewd, the refusal of a bad pair, restarts,
//! and the end of a revoked client.

use std::time::Duration;

use crate::agent::published;
use crate::failure::{Result, expect, expect_equal};
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[MUTUAL, REFUSES, RESTARTS, REVOKED];

/// The unit.
pub(super) const SAMPLE_API: &str = "renewd-sample-api.service";
/// Where it listens.
pub(super) const ADDRESS: &str = "127.0.0.1:8443";
/// The name on its certificate.
pub(super) const NAME: &str = "api.test";

/// Configures the server's certificate and a client's, and waits until the server is proven.
pub(super) fn serve(trial: &Trial) -> Result<()> {
    let server = format!(
        "names = [\"{NAME}\", \"127.0.0.1\"]\ngroup = \"renewd-sample-api\"\n[unit.\"{SAMPLE_API}\"]\nprobe = [\"tls://{ADDRESS}\"]\n"
    );
    trial.configure("api", &server)?;
    trial.configure("client", "names = [\"spiffe://example.internal/client\"]\n")?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "client"])?;
    // Its unit waits for its certificate by itself.
    trial.systemctl(&["start", SAMPLE_API])?;
    trial.expect_unit(SAMPLE_API, "active")?;
    trial.await_proof("api", SAMPLE_API, "served").map(drop)
}

const MUTUAL: Scenario = Scenario {
    name: "the_sample_api_knows_its_callers_by_certificates_of_renewd",
    disk: Disk::Installed,
    fault: "the client presents nothing",
    red: "the caller's identity",
    run: mutual,
};

fn mutual(trial: &mut Trial) -> Result<()> {
    serve(trial)?;
    let (trust, identity) = (
        published("client", "ca.pem"),
        published("client", "combined.pem"),
    );
    let curl = [
        "curl",
        "--silent",
        "--show-error",
        "--cacert",
        &trust,
        "https://127.0.0.1:8443/whoami",
    ];
    let presented = ["--cert", &identity];
    let known = trial.attempt(&[&curl[..], trial.choose(&presented, &[])].concat())?;
    expect(
        known.stdout.contains("spiffe://example.internal/client"),
        "the caller's identity",
        known.output(),
    )?;
    let anonymous = trial.attempt(&curl)?;
    expect(
        !anonymous.succeeded(),
        "a caller without a certificate refused",
        anonymous.output(),
    )?;
    let health = trial.run(&[
        "curl",
        "--silent",
        "--fail",
        "http://127.0.0.1:8081/healthz",
    ])?;
    expect(
        !health.is_empty(),
        "an answer of the health listener",
        "nothing",
    )
}

const REFUSES: Scenario = Scenario {
    name: "the_sample_api_refuses_a_pair_that_does_not_match_and_serves_on",
    disk: Disk::Installed,
    fault: "the pair matches",
    red: "a refused reload",
    run: refuses,
};

/// An authority, and generations below it, as renewd would publish them. Arguments: the generation, and the one whose
/// key is put into it.
const PAIRS: &str = r#"
cd /srv
pair() {
    openssl req -x509 -CA ca.pem -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=api.test -addext subjectAltName=DNS:api.test -addext basicConstraints=CA:FALSE -keyout "$1.key" -out "$1.pem"
}
publish() {
    mkdir -p "pair/.$1"
    cp "$1.pem" "pair/.$1/fullchain.pem"; cp "$2.key" "pair/.$1/key.pem"; cp ca.pem "pair/.$1/ca.pem"
    chown -R :renewd-sample-api pair; chmod -R u=rwX,g=rX,o= pair
    ln -s ".$1" pair/next; mv -T pair/next pair/current
}
"#;

fn refuses(trial: &mut Trial) -> Result<()> {
    trial.write("/srv/pairs.sh", PAIRS)?;
    trial.shell(
        "cd /srv; . ./pairs.sh; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
         -keyout ca.key -out ca.pem; pair 1; pair 2; pair 3; publish 1 1",
    )?;
    trial.shell("sed -i 's|^certificate = .*|certificate = \"/srv/pair\"|' /etc/renewd-sample-api/config.toml")?;
    trial.drop_in(SAMPLE_API, "[Unit]\nConditionPathExists=\n")?;
    trial.systemctl(&["start", SAMPLE_API])?;
    let first = trial.served_serial(ADDRESS)?;

    trial.shell(trial.choose(
        ". /srv/pairs.sh; publish 2 1",
        ". /srv/pairs.sh; publish 2 2",
    ))?;
    let reload = trial.attempt(&["systemctl", "reload", SAMPLE_API])?;
    expect(!reload.succeeded(), "a refused reload", "an accepted one")?;
    trial.expect_unit(SAMPLE_API, "active")?;
    expect_equal(
        "the serial served after the refusal",
        &first,
        &trial.served_serial(ADDRESS)?,
    )?;

    trial.shell(". /srv/pairs.sh; publish 3 3")?;
    trial.systemctl(&["reload", SAMPLE_API])?;
    expect(
        trial.served_serial(ADDRESS)? != first,
        "a sound pair taken up",
        &first,
    )
}

const RESTARTS: Scenario = Scenario {
    name: "restarts_and_an_upgrade_of_the_sample_api_refuse_no_connection",
    disk: Disk::Installed,
    fault: "systemd keeps no sockets",
    red: "no refused connection",
    run: restarts,
};

/// Four callers, each with a new connection for each request, until told to stop. What fails is written down.
const CALLERS: &str = r#"
for caller in 1 2 3 4; do
    while [ ! -e /run/callers.stop ]; do
        if curl --silent --show-error --fail --max-time 30 --cacert "$1" --cert "$2" https://127.0.0.1:8443/ 2>>/run/callers.failed
        then echo; fi
    done >>/run/callers.served &
done
wait
"#;

fn restarts(trial: &mut Trial) -> Result<()> {
    trial.drop_in(
        SAMPLE_API,
        trial.choose(
            "[Unit]\nStartLimitIntervalSec=0\n",
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nFileDescriptorStoreMax=0\n",
        ),
    )?;
    serve(trial)?;
    trial.write("/srv/callers.sh", CALLERS)?;
    let (trust, identity) = (
        published("client", "ca.pem"),
        published("client", "combined.pem"),
    );
    trial.shell(&format!(
        "systemd-run --quiet --unit=callers sh /srv/callers.sh {trust} {identity}"
    ))?;
    let served = || trial.count_lines("/run/callers.served");
    let more = |than: usize| {
        trial.wait_until("the callers are served", Duration::from_secs(60), || {
            let now = served()?;
            expect(
                now > than + 20,
                format_args!("more than {than} and 20"),
                now,
            )
        })
    };
    more(0)?;
    for _ in 0..5 {
        trial.systemctl(&["restart", SAMPLE_API])?;
        more(served()?)?;
    }
    trial.shell(&format!(
        "dpkg --install {IN_MACHINE}/renewd-sample-api_*.deb"
    ))?;
    more(served()?)?;
    trial.shell("touch /run/callers.stop")?;
    trial.wait_until("the callers end", Duration::from_secs(60), || {
        let active = trial.attempt(&["systemctl", "is-active", "callers.service"])?;
        expect(!active.succeeded(), "no caller", active.output())
    })?;
    let failed = trial.shell("cat /run/callers.failed")?;
    expect(failed.is_empty(), "no refused connection", failed)
}

const REVOKED: Scenario = Scenario {
    name: "a_revoked_client_loses_its_stream_and_a_bystander_does_not",
    disk: Disk::Installed,
    fault: "the list names nobody",
    red: "the revoked client's stream cut",
    run: revoked,
};

/// Streams of both clients; how each one's curl ended stands in a file.
const STREAMS: &str = r#"
cd /srv
for client in victim bystander; do
    ( curl --silent --no-buffer --cacert ca.pem --cert $client.pem --key $client.key --resolve api.test:8443:127.0.0.1 \
          "https://api.test:8443/stream?seconds=8" >$client.out; echo $? >$client.status ) &
done
wait
"#;

fn revoked(trial: &mut Trial) -> Result<()> {
    trial.write("/srv/pairs.sh", PAIRS)?;
    trial.write("/srv/streams.sh", STREAMS)?;
    trial.shell(
        "cd /srv; . ./pairs.sh; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
         -keyout ca.key -out ca.pem; pair 1; pair 2; pair victim; pair bystander; publish 1 1
         printf '[ca]\ndefault_ca=d\n[d]\ndatabase=/srv/db\ndefault_md=sha256\ncrlnumber=/srv/number\n' >ca.cnf; : >db; echo 01 >number",
    )?;
    trial.shell(
        "sed -i 's|^certificate = .*|certificate = \"/srv/pair\"|' /etc/renewd-sample-api/config.toml
         echo 'drain = \"2s\"' >>/etc/renewd-sample-api/config.toml",
    )?;
    trial.drop_in(SAMPLE_API, "[Unit]\nConditionPathExists=\n")?;
    trial.systemctl(&["start", SAMPLE_API])?;
    trial.shell("systemd-run --quiet --unit=streams sh /srv/streams.sh")?;
    trial.wait_until("both streams flow", Duration::from_secs(20), || {
        let flowing = trial.attempt(&[
            "sh",
            "-c",
            "test -s /srv/victim.out -a -s /srv/bystander.out",
        ])?;
        expect(flowing.succeeded(), "two streams", "fewer")
    })?;
    let ca = "cd /srv; openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key";
    let revoke = format!("{ca} -revoke victim.pem");
    trial.shell(trial.choose(revoke.as_str(), "true"))?;
    // In the generation before `current` shows it, as whoever publishes must.
    trial.shell(&format!(
        "{ca} -gencrl -crldays 1 -out crl.pem; mkdir -p pair/.2; cp crl.pem pair/.2/; . ./pairs.sh; publish 2 2"
    ))?;
    trial.systemctl(&["reload", SAMPLE_API])?;
    trial.wait_until("both streams end", Duration::from_secs(30), || {
        let ended = trial.attempt(&[
            "sh",
            "-c",
            "test -s /srv/victim.status -a -s /srv/bystander.status",
        ])?;
        expect(ended.succeeded(), "two ends", "fewer")
    })?;
    let whole = |client: &str| {
        trial.shell(&format!(
            "tail -n 1 /srv/{client}.out; cat /srv/{client}.status"
        ))
    };
    expect_equal(
        "the bystander's stream",
        &"end\n0\n".to_owned(),
        &whole("bystander")?,
    )?;
    let victim = whole("victim")?;
    expect(
        victim != "end\n0\n",
        "the revoked client's stream cut",
        victim,
    )?;
    let metrics = trial.run(&["curl", "--silent", "http://127.0.0.1:8081/metrics"])?;
    expect(
        metrics.contains("sample_api_forced_total{reason=\"revoked\"} 1\n"),
        "one connection counted as revoked",
        metrics,
    )
}
