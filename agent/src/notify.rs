//! What systemd is told of the daemon itself (sd_notify(3)): ready, status, stopping, watchdog.
//!
//! Outside systemd every call does nothing. Never decides when to feed the watchdog: the driver
//! does, by its progress.

use std::time::Duration;

use sd_notify::NotifyState;

/// How long systemd is to wait from each word that the start goes on.
const PATIENCE: Duration = Duration::from_secs(60);

/// The record agrees with what is published, and the sockets are open.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// A line that a person wants to read in `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// The start goes on, and takes longer than was expected: systemd is to wait for as long again.
pub fn still_starting() {
    let patience = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(patience)]);
}

/// SIGTERM was heard.
pub fn stopping() {
    send(&[
        NotifyState::Stopping,
        NotifyState::Status("Stopping; published files stay as they are."),
    ]);
}

/// The driver made progress.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] must be called: half of `WatchdogSec=`, or `None` when systemd does not
/// watch this process.
pub fn watchdog_interval() -> Option<Duration> {
    interval(sd_notify::watchdog_enabled()?)
}

fn interval(limit: Duration) -> Option<Duration> {
    (!limit.is_zero()).then(|| limit / 2)
}

/// A line break would end the assignment and begin another.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn send(states: &[NotifyState<'_>]) {
    // A notification that cannot be sent changes nothing here, and systemd notices by itself.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_smuggle_in_another_assignment() {
        assert_eq!(one_line("a\nREADY=1\r"), "a READY=1 ");
    }

    #[test]
    fn the_watchdog_is_fed_twice_within_its_limit() {
        assert_eq!(
            interval(Duration::from_secs(30)),
            Some(Duration::from_secs(15))
        );
        assert_eq!(interval(Duration::ZERO), None);
    }
}
