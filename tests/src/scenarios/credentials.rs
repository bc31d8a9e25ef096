//! Keys as systemd credentials: a service without a user, a group or a file of its own.

use super::plain::unit;
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[DYNAMIC, FORGED, REFRESHED, PROVIDED];

const APP: &str = "app.service";
const ADDRESS: &str = "127.0.0.1:8444";
const SOCKET: &str = "renewd-credentials.socket";

/// A TLS server that has its key from systemd alone.
const UNIT: &str = r#"
[Unit]
Wants=renewd-wait@app.service
After=renewd-wait@app.service
[Service]
# Its start has not ended before it has its credential.
Type=exec
DynamicUser=yes
LoadCredential=tls.pem:/run/renewd-credentials.sock
ExecStart=/bin/sh -c 'exec openssl s_server -quiet -accept 127.0.0.1:8444 -cert "$CREDENTIALS_DIRECTORY/tls.pem" -cert_chain "$CREDENTIALS_DIRECTORY/tls.pem" -key "$CREDENTIALS_DIRECTORY/tls.pem"'
[Install]
WantedBy=multi-user.target
"#;

/// `credential` is what the certificate's file calls it.
fn configure(trial: &Trial, credential: &str) -> Result<()> {
    unit(trial, APP, UNIT)?;
    trial.configure(
        "app",
        &format!(
            "names = [\"app.test\"]\n[unit.\"{APP}\"]\ncredential = \"{credential}\"\nprobe = [\"tls://{ADDRESS}\"]\n"
        ),
    )?;
    trial.reload_renewd()
}

/// Asks for app.service's credential as systemd does, as root or another user.
const ASK: &str = r#"
use strict; use Socket;
my ($unit, $credential) = @ARGV;
socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
bind($socket, pack('Sa*', AF_UNIX, sprintf("\0%x/unit/%s/%s", $$, $unit, $credential))) or die "bind: $!";
connect($socket, pack_sockaddr_un('/run/renewd-credentials.sock')) or die "connect: $!";
my $answer = do { local $/; <$socket> } // '';
print(($answer =~ /PRIVATE KEY/ ? 'a key' : 'no key'), ', ', length($answer), " bytes\n");
"#;

const DYNAMIC: Scenario = Scenario {
    name: "a_dynamic_user_serves_a_certificate_that_it_loads_as_a_credential",
    disk: Disk::Installed,
    fault: "the certificate is configured for another credential",
    red: "app.service is active",
    run: dynamic,
};

fn dynamic(trial: &mut Trial) -> Result<()> {
    configure(trial, trial.choose("tls.pem", "other.pem"))?;
    let checked = trial.attempt(&["renewctl", "check"])?;
    // Waits for its first generation by itself.
    trial.attempt(&["systemctl", "start", APP])?;
    trial.expect_unit(APP, "active")?;
    expect(
        checked.succeeded() && !checked.stdout.contains("credential"),
        "nothing to say of the credential",
        checked.output(),
    )?;
    let first = trial.await_proof("app", APP, "served")?.serial;
    trial.expect_in_use("app", ADDRESS, &first.clone().unwrap_or_default())?;

    // A renewal restarts it, with the new one.
    trial.renew(&["app"])?.success()?;
    let second = trial.await_proof("app", APP, "served")?.serial;
    expect(second != first, "a new serial", format_args!("{second:?}"))?;
    trial.expect_in_use("app", ADDRESS, &second.clone().unwrap_or_default())?;

    // It starts while the daemon is stopped, which that starts, and while it restarts, which that waits for.
    trial.systemctl(&["stop", RENEWD])?;
    trial.systemctl(&["restart", APP])?;
    // It answers a moment before it is ready.
    trial.wait_until("the daemon is started", PROOF, || {
        trial.expect_unit(RENEWD, "active")
    })?;
    trial.shell(&format!(
        "systemctl restart {RENEWD} & systemctl restart {APP}; wait"
    ))?;
    trial.systemctl(&["kill", "--signal=KILL", RENEWD])?;
    trial.systemctl(&["restart", APP])?;
    trial.await_proof("app", APP, "served")?;
    trial.expect_in_use("app", ADDRESS, &second.unwrap_or_default())?;

    // And after a boot, without a word of its own about when.
    // The daemon's other socket beside it is told from it by its name.
    trial.systemctl(&["enable", APP, "renewd-http01.socket"])?;
    trial.reboot()?;
    trial.expect_unit(SOCKET, "active")?;
    trial.wait_until("the service runs again", PROOF, || {
        trial.expect_unit(APP, "active")
    })?;
    trial.await_proof("app", APP, "served").map(drop)
}

const FORGED: Scenario = Scenario {
    name: "only_systemd_gets_a_credential_and_a_unit_that_is_refused_does_not_start",
    disk: Disk::Installed,
    fault: "the unit that asks is the one that is configured",
    red: "no key for another unit",
    run: forged,
};

fn forged(trial: &mut Trial) -> Result<()> {
    configure(trial, "tls.pem")?;
    trial.run(&["renewctl", "wait", "app"])?;
    trial.write("/srv/ask.pl", ASK)?;
    let ask = |user: &str, unit: &str, credential: &str| {
        let user = format!("--reuid={user}");
        trial.attempt(&[
            "setpriv",
            &user,
            "--clear-groups",
            "perl",
            "/srv/ask.pl",
            unit,
            credential,
        ])
    };
    // The address of systemd's own: from root, nobody can tell the difference.
    let root = ask("0", APP, "tls.pem")?;
    expect(
        root.stdout.starts_with("a key"),
        "a key for systemd",
        root.output(),
    )?;
    let another = ask("0", trial.choose("other.service", APP), "tls.pem")?;
    expect(
        another.stdout.starts_with("no key"),
        "no key for another unit",
        another.output(),
    )?;

    // Another user does not get through to the socket; nor, when somebody opened it, to a key.
    let stranger = ask("1", APP, "tls.pem")?;
    expect(
        stranger.output().contains("connect: Permission denied"),
        "no way in",
        stranger.output(),
    )?;
    trial.run(&["chmod", "0666", "/run/renewd-credentials.sock"])?;
    let stranger = ask("1", APP, "tls.pem")?;
    expect(
        stranger.stdout.starts_with("no key, 0 bytes"),
        "nothing for a stranger",
        stranger.output(),
    )?;
    let said = trial.journal();
    expect(
        said.contains("a process of user 1 asked"),
        "the stranger in the journal",
        &said,
    )?;

    // Without its credential a unit must not start: an empty one would be none of its business to notice.
    let other = UNIT
        .replace("tls.pem:", "other.pem:")
        .replace("openssl", "sleep 60; openssl");
    unit(trial, "other.service", &other)?;
    trial.attempt(&["systemctl", "start", "other.service"])?;
    let status = trial.unit_property("other.service", "ExecMainStatus")?;
    expect(status == "243", "243, which is CREDENTIALS", &status)?;
    trial.expect_unit("other.service", "failed")
}

const REFRESHED: Scenario = Scenario {
    name: "a_reload_is_accepted_exactly_where_it_brings_the_new_credential",
    disk: Disk::Installed,
    fault: "the unit refreshes nothing, or is restarted where it cannot",
    red: "whether the configuration is right",
    run: refreshed,
};

/// Reads its credential for each connection, and has nothing else to reload.
const REFRESHING: &str = r#"
[Service]
Type=exec
DynamicUser=yes
LoadCredential=tls.pem:/run/renewd-credentials.sock
RefreshOnReload=credentials
ExecReload=/bin/true
ExecStart=/bin/sh -c 'P="$CREDENTIALS_DIRECTORY/tls.pem"; while :; do openssl s_server -quiet -naccept 1 -accept 127.0.0.1:8444 -cert "$P" -cert_chain "$P" -key "$P"; done'
"#;

fn refreshed(trial: &mut Trial) -> Result<()> {
    // Versions that do not know the setting print nothing.
    let known = trial.systemctl(&["show", "--property=RefreshOnReload", "dbus.service"])?;
    let able = !known.trim().is_empty();
    unit(
        trial,
        APP,
        &trial.choose(
            REFRESHING.to_owned(),
            REFRESHING.replace("RefreshOnReload=credentials\n", ""),
        ),
    )?;
    let verb = trial.choose("reload", if able { "reload" } else { "restart" });
    trial.configure("app", &format!(
        "names = [\"app.test\"]\n[unit.\"{APP}\"]\ncredential = \"tls.pem\"\non_change = \"{verb}\"\nprobe = [\"tls://{ADDRESS}\"]\n"
    ))?;
    let checked = trial.attempt(&["renewctl", "check"])?;
    expect_equal(
        "whether the configuration is right",
        &able,
        &checked.succeeded(),
    )?;
    let reloaded = trial.attempt(&["systemctl", "reload", RENEWD])?;
    expect_equal("whether the daemon takes it", &able, &reloaded.succeeded())?;
    if !able {
        return expect(
            checked.output().contains("on_change to \"restart\""),
            "the remedy",
            checked.output(),
        );
    }
    trial.run(&["renewctl", "wait", "app"])?;
    trial.systemctl(&["start", APP])?;
    trial.await_proof("app", APP, "served")?;
    let process = trial.unit_property(APP, "MainPID")?;
    trial.renew(&["app"])?.success()?;
    let serial = trial.await_proof("app", APP, "served")?.serial;
    // Between two connections it does not listen.
    trial.wait_until("the new one is served", PROOF, || {
        trial.expect_in_use("app", ADDRESS, serial.as_deref().unwrap_or_default())
    })?;
    expect_equal(
        "the process",
        &process,
        &trial.unit_property(APP, "MainPID")?,
    )
}

const PROVIDED: Scenario = Scenario {
    name: "an_issuing_ca_that_only_the_hosts_tpm_can_decrypt_issues",
    disk: Disk::Installed,
    fault: "its key is another CA's",
    red: "corp is published",
    run: provided,
};

const TPM: &str = "tpm.service";
const DEVICE: &str = "SYSTEMD_TPM2_DEVICE=swtpm:path=/run/tpm.sock";

const SOFTWARE_TPM: &str = r#"
[Service]
Type=exec
StateDirectory=tpm
ExecStart=swtpm socket --tpm2 --tpmstate dir=/var/lib/tpm --server type=unixio,path=/run/tpm.sock --ctrl type=unixio,path=/run/tpm.sock.ctrl --flags not-need-init,startup-clear
"#;

/// A corporate root, its intermediate as one text, and the key of another.
const CORPORATE: &str = r#"
cd /srv
ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/O=Corp/CN=$1" -keyout "$1.key" -out "$1.pem" "${@:2}"; }
ca root
ca issuing -CA root.pem -CAkey root.key -addext basicConstraints=critical,CA:TRUE,pathlen:0
ca other
cat issuing.key issuing.pem root.pem > sound.pem
cat other.key issuing.pem root.pem > faulty.pem
"#;

fn provided(trial: &mut Trial) -> Result<()> {
    trial.write("/srv/corporate.sh", CORPORATE)?;
    trial.run(&["bash", "-eu", "/srv/corporate.sh"])?;
    let text = trial.choose("/srv/sound.pem", "/srv/faulty.pem");
    trial.write(
        "/etc/renewd/renewd.toml",
        "[issuer.internal]\ntype = \"local\"\nissuing_ca = \"credential:issuing-ca.pem\"\n",
    )?;
    trial.configure("corp", "names = [\"corp.test\"]\n")?;

    // Plain, from a file that the daemon itself could not read.
    trial.run(&["chmod", "0600", text])?;
    trial.drop_in(
        RENEWD,
        &format!("[Service]\nLoadCredential=issuing-ca.pem:{text}\n"),
    )?;
    trial.systemctl(&["restart", RENEWD])?;
    trial.wait_until("corp is published", PROOF, || {
        trial.published_serial("corp")
    })?;
    expect_corporate(trial)?;

    // Encrypted for this host's TPM: nothing of it lies on the disk in the clear, and elsewhere it is worth nothing.
    unit(trial, TPM, SOFTWARE_TPM)?;
    trial.systemctl(&["start", TPM])?;
    trial.write(
        "/etc/systemd/system.conf.d/tpm.conf",
        &format!("[Manager]\nManagerEnvironment={DEVICE}\nDefaultEnvironment={DEVICE}\n"),
    )?;
    // The newest systemd decrypts in a service of its own, older ones themselves.
    trial.systemctl(&["daemon-reexec"])?;
    trial.wait_until("the TPM seals the text", PROOF, || {
        trial.shell(&format!(
            "{DEVICE} systemd-creds encrypt --with-key=host+tpm2 --name=issuing-ca.pem /srv/sound.pem /etc/renewd/issuing-ca.cred"
        ))
    })?;
    trial.shell("rm /srv/*.key /srv/sound.pem /srv/faulty.pem")?;
    let encrypted =
        "[Service]\nLoadCredentialEncrypted=issuing-ca.pem:/etc/renewd/issuing-ca.cred\n";
    trial.drop_in(RENEWD, encrypted)?;
    trial.systemctl(&["restart", RENEWD])?;
    let first = trial.published_serial("corp")?;
    trial.renew(&["corp"])?.success()?;
    let second = trial.published_serial("corp")?;
    expect(second != first, "a new serial", &second)?;
    expect_corporate(trial)?;
    trial.systemctl(&["stop", TPM])?;
    let without = trial.attempt(&["systemctl", "restart", RENEWD])?;
    expect(
        !without.succeeded(),
        "no start without the TPM",
        without.output(),
    )?;

    // Without it, nothing is issued, it is said what to do, and what is published stays.
    trial.drop_in(RENEWD, "")?;
    trial.systemctl(&["restart", RENEWD])?;
    let refused = trial.renew(&["corp"])?;
    expect(
        !refused.succeeded()
            && refused
                .output()
                .contains("LoadCredentialEncrypted=issuing-ca.pem:"),
        "a refusal that names the remedy",
        refused.output(),
    )?;
    expect(
        trial.published_serial("corp")? == second,
        "the same leaf",
        "another",
    )?;
    let root = trial.exists("/var/lib/renewd/store/issuer/internal/root.pem")?;
    expect(!root, "no root made in its place", "one")
}

/// What is published verifies against the corporate root, and so does what `renewctl ca root` gives.
fn expect_corporate(trial: &Trial) -> Result<()> {
    let leaf = published("corp", "fullchain.pem");
    trial.run(&[
        "openssl",
        "verify",
        "-CAfile",
        "/srv/root.pem",
        "-untrusted",
        &leaf,
        &leaf,
    ])?;
    let root = trial.run(&["renewctl", "ca", "root"])?;
    expect(
        root.trim() == trial.read("/srv/root.pem")?.trim(),
        "the corporate root",
        &root,
    )
}
