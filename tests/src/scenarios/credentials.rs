//! Keys as systemd credentials: a service without a user, a group or a file of its own.

use super::plain::unit;
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[DYNAMIC, FORGED];

const APP: &str = "app.service";
const ADDRESS: &str = "127.0.0.1:8444";
const SOCKET: &str = "renewd-credentials.socket";

/// A TLS server that has its key from systemd alone.
const UNIT: &str = r#"
[Unit]
Wants=renewd-wait@app.service
After=renewd-wait@app.service
[Service]
DynamicUser=yes
LoadCredential=tls.pem:/run/renewd-credentials.sock
ExecStart=/bin/sh -c 'exec openssl s_server -quiet -accept 127.0.0.1:8444 -cert "$CREDENTIALS_DIRECTORY/tls.pem" -cert_chain "$CREDENTIALS_DIRECTORY/tls.pem" -key "$CREDENTIALS_DIRECTORY/tls.pem"'
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
    red: "app.service active",
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
    trial.expect_unit(RENEWD, "active")?;
    trial.shell(&format!(
        "systemctl restart {RENEWD} & systemctl restart {APP}; wait"
    ))?;
    trial.systemctl(&["kill", "--signal=KILL", RENEWD])?;
    trial.systemctl(&["restart", APP])?;
    trial.await_proof("app", APP, "served")?;
    trial.expect_in_use("app", ADDRESS, &second.unwrap_or_default())?;

    // And after a boot, without a word of its own about when.
    trial.systemctl(&["enable", APP])?;
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
