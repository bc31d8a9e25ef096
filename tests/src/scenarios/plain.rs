//! What the scenarios of bad input and of manners have in common: plain units, and what the daemon says.

use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Failure, Result, expect};
use crate::machine::Machine;
use crate::scenario::Trial;
use crate::wait::wait_until;

/// Where the units of a scenario are; `systemctl mask` needs /etc for itself.
const UNITS: &str = "/usr/local/lib/systemd/system";
/// While this exists, the units of [`service`] do not come to the end of their reload.
pub(super) const HOLD: &str = "/run/hold";
/// A line for each reload that a unit of [`service`] began.
pub(super) const RELOADS: &str = "/run/plain.reloads";
/// A command that reloads, and waits at [`HOLD`].
pub(super) const HELD_RELOAD: &str =
    "/bin/sh -c 'echo reload >> /run/plain.reloads; while [ -e /run/hold ]; do sleep 0.05; done'";

/// Writes a unit, and has systemd load it.
pub(super) fn unit(machine: &Machine, name: &str, text: &str) -> Result<()> {
    machine.write(&format!("{UNITS}/{name}"), text)?;
    machine.systemctl(&["daemon-reload"]).map(drop)
}

/// Starts a service that can be reloaded; `more` are further lines of its `[Unit]` section.
pub(super) fn service(machine: &Machine, name: &str, more: &str) -> Result<()> {
    let text = format!(
        "[Unit]\n{more}\n[Service]\nExecStart=/bin/sleep infinity\nExecReload={HELD_RELOAD}\n"
    );
    unit(machine, name, &text)?;
    machine.systemctl(&["start", name]).map(drop)
}

/// Where [`door_service`] listens.
pub(super) const DOOR: &str = "127.0.0.1:5555";
/// While this exists, whoever comes to the door is let in and not answered.
pub(super) const MUTE: &str = "/run/mute";
/// Leads to nginx, or nowhere.
const DOORMAN: &str = r#"use IO::Socket::INET;
use IO::Select;
$SIG{CHLD} = "IGNORE";
my $door = IO::Socket::INET->new(Listen => 50, LocalAddr => "127.0.0.1:5555", ReuseAddr => 1) or die;
my @kept;
while (1) {
    my $guest = $door->accept or next;
    if (-e "/run/mute") { push @kept, $guest; next; }
    next if fork;
    my $host = IO::Socket::INET->new("127.0.0.1:443") or exit;
    my $both = IO::Select->new($guest, $host);
    while (my @ready = $both->can_read) {
        for my $from (@ready) {
            sysread($from, my $bytes, 65536) or exit;
            syswrite($from == $guest ? $host : $guest, $bytes);
        }
    }
}
"#;

/// Starts `door.service`, which can be reloaded and leads to nginx.
pub(super) fn door_service(machine: &Machine) -> Result<()> {
    machine.write("/srv/doorman.pl", DOORMAN)?;
    let text = "[Service]\nExecStart=/usr/bin/perl /srv/doorman.pl\nExecReload=/bin/true\n";
    unit(machine, "door.service", text)?;
    machine.systemctl(&["start", "door.service"])?;
    let knock = format!("IO::Socket::INET->new('{DOOR}') or die");
    wait_until("somebody listens at the door", PROOF, || {
        let knocked = machine.run(&["perl", "-MIO::Socket::INET", "-e", &knock]);
        knocked.map(drop)
    })
}

/// Configures certificates with a name and nothing else, and waits for their first generations.
pub(super) fn bare_certificates(machine: &Machine, names: &[&str]) -> Result<()> {
    for name in names {
        machine.configure(name, &format!("names = [\"{name}.test\"]\n"))?;
    }
    machine.reload_renewd()?;
    for name in names {
        machine.run(&["renewctl", "wait", name])?;
    }
    Ok(())
}

/// What the daemon and its helpers wrote into the journal since the boot.
pub(super) fn said(machine: &Machine) -> Result<String> {
    machine.run(&["journalctl", "--boot", "--output=cat", "--unit", RENEWD])
}

/// A drop-in by which the daemon tells all that it can.
pub(super) const TALKATIVE: &str = "[Service]\nEnvironment=RENEWD_LOG=trace\n";

/// That the daemon and its helpers told none of these, with [`TALKATIVE`].
pub(super) fn expect_untold(machine: &Machine, secrets: &[String]) -> Result<()> {
    let told = machine.run(&["journalctl", "--boot", "--output=export", "--unit", RENEWD])?;
    // The journal has no priority below that of debugging; what is told there by others than us, is.
    expect(
        told.contains("\nPRIORITY=7\n"),
        "a journal at trace level",
        "less",
    )?;
    let long = secrets.iter().all(|secret| secret.len() > 20);
    expect(long && !secrets.is_empty(), "secrets", secrets.len())?;
    let told = secrets.iter().any(|secret| told.contains(secret.as_str()));
    expect(!told, "no secret in the journal", "one")
}

/// The lines that are secret in the keys of a certificate, of each generation that is published.
pub(super) fn key_lines(machine: &Machine, certificate: &str) -> Result<Vec<String>> {
    let keys = machine.shell(&format!(
        "cat {}",
        published(certificate, ".[0-9]*/key.pem")
    ))?;
    let lines: Vec<String> = keys
        .lines()
        .filter(|line| line.len() > 20 && !line.starts_with('-'))
        .map(str::to_owned)
        .collect();
    expect(lines.len() >= 2, "the lines of some keys", &keys)?;
    Ok(lines)
}

/// Waits until the daemon has said something.
pub(super) fn await_said(trial: &Trial, what: &str) -> Result<()> {
    trial.wait_until(&format!("the daemon has said `{what}`"), PROOF, || {
        let said = said(trial)?;
        expect(said.contains(what), format_args!("`{what}`"), said)
    })
}

/// Waits until the daemon's main process is another one, and runs; returns it.
pub(super) fn await_another_process(trial: &Trial, before: &str) -> Result<String> {
    trial.wait_until("a new process of the daemon", PROOF, || {
        let process = trial.unit_property(RENEWD, "MainPID")?;
        trial.expect_unit(RENEWD, "active")?;
        expect(
            process != before && process != "0",
            "a new process of the daemon",
            &process,
        )?;
        Ok(process)
    })
}

/// The version of the machine's systemd.
pub(super) fn systemd_version(machine: &Machine) -> Result<u32> {
    let told = machine.run(&["systemctl", "--version"])?;
    let number = told
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok());
    number.ok_or_else(|| Failure::Expectation {
        expected: "systemd's version".to_owned(),
        found: told.clone(),
    })
}

/// That systemd has nothing to complain of.
pub(super) fn expect_no_failed_unit(machine: &Machine) -> Result<()> {
    let failed = machine.systemctl(&["list-units", "--failed", "--plain", "--no-legend"])?;
    expect(failed.is_empty(), "no failed unit", failed)
}
