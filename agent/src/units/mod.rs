//! Dependents, as the driver reaches them: ask what a unit is, tell it to act, hear when it starts.
//!
//! Owns the trait over the service manager and the reasons why it could not be used; [`systemd`] is
//! the one real implementation. It never decides: what an outcome means is the core's
//! (`renewd_core::activation`), and it never starts a service that does not run.

mod bus;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod link;
mod request;
pub mod systemd;
mod watch;

use std::time::Duration;

use futures_util::future::BoxFuture;
use renewd_core::names::UnitName;
use renewd_core::unit::{ActOutcome, Activity, OnChange};
use tokio::sync::mpsc;

pub use error::UnitsError;
pub use systemd::Systemd;

/// The service manager, as the driver uses it.
pub trait Units: Send + Sync {
    /// What the unit is now. A unit that does not exist has facts, too: its activity is
    /// [`Activity::Missing`].
    ///
    /// # Errors
    /// When systemd cannot be asked; the driver takes that as [`Activity::Unknown`].
    fn facts<'a>(&'a self, unit: &'a UnitName) -> BoxFuture<'a, Result<UnitFacts, UnitsError>>;

    /// Tells the unit to act, and waits for the result of that very job, at most `deadline` long.
    /// A job that is still under way then goes on; the outcome is [`JobResult::Timeout`].
    ///
    /// A unit that does not run is left alone, except by [`OnChange::Start`], which only starts
    /// units of `Type=oneshot`. [`OnChange::SignalHup`] has no job: a signal that was sent counts as
    /// done. [`OnChange::None`] asks nothing but whether the unit runs.
    ///
    /// [`JobResult::Timeout`]: renewd_core::unit::JobResult::Timeout
    fn act<'a>(
        &'a self,
        unit: &'a UnitName,
        verb: OnChange,
        deadline: Duration,
    ) -> BoxFuture<'a, ActOutcome>;

    /// As [`Units::act`] with [`OnChange::Restart`], for a unit that an earlier restart of ours may have
    /// felled: found *failed* it is brought up. One that a person stopped is *inactive*, and is left
    /// alone.
    fn revive<'a>(&'a self, unit: &'a UnitName, deadline: Duration) -> BoxFuture<'a, ActOutcome>;

    /// These units as they become active, for as long as the receiver lives. A unit that is active
    /// already is named at once, and again whenever the bus had been away: whoever listens looks for
    /// himself, and nothing is missed in between.
    fn activations(&self, units: &[UnitName]) -> mpsc::Receiver<Activation>;

    /// Whether the whole system is shutting down; then every job is somebody else's, and debt waits.
    /// `false` when systemd cannot be asked.
    fn system_is_stopping(&self) -> BoxFuture<'_, bool>;
}

/// A unit is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activation {
    /// It was active when we looked first: just started, or all along.
    Found(UnitName),
    /// It became active while we watched.
    Began(UnitName),
}

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFacts {
    /// Whether it runs, in the core's words.
    pub activity: Activity,
    /// `LoadState`: loaded, not-found, bad-setting, masked, …
    pub load_state: String,
    /// `ActiveState`: active, reloading, inactive, failed, activating, deactivating, …
    pub active_state: String,
    /// `SubState`: running, exited, auto-restart, …
    pub sub_state: String,
    /// Whether `ReloadUnit` can do anything.
    pub can_reload: bool,
    /// `Id`: the name that aliases lead to, and the only one that polkit is told.
    pub canonical: String,
    /// `UnitFileState`: enabled, disabled, static, masked, …; empty without a unit file.
    pub unit_file_state: String,
    /// `Type` of a service; empty for other units.
    pub service_type: String,
    /// A service that only stands for others (Debian's `postgresql.service`): its jobs end "done"
    /// whatever those others did.
    pub is_umbrella: bool,
    /// The unit file changed on disk and systemd has not read it again.
    pub needs_daemon_reload: bool,
    /// How many starts systemd allows, `None` when it does not count them.
    pub start_limit: Option<StartLimit>,
    /// Units that it is ordered after. A unit ordered after us has its jobs wait for ours.
    pub after: Vec<String>,
    /// `LoadCredential=` of a service: each credential's name, and where it is read from.
    pub credentials: Vec<(String, String)>,
    /// A reload gives the service its credentials anew (`RefreshOnReload=credentials`); older versions of
    /// systemd never do.
    pub refreshes_credentials: bool,
}

/// A unit's start limit: restarts must be spaced below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartLimit {
    /// `StartLimitIntervalSec=`.
    pub interval: Duration,
    /// `StartLimitBurst=`.
    pub burst: u32,
}

/// What decisions need of `LoadState` and `ActiveState` (org.freedesktop.systemd1(5)).
fn activity(load_state: &str, active_state: &str) -> Activity {
    match (load_state, active_state) {
        ("not-found" | "masked", _) => Activity::Missing,
        (_, "active" | "reloading" | "activating" | "refreshing") => Activity::Running,
        (_, "inactive" | "failed" | "deactivating" | "maintenance") => Activity::NotRunning,
        _ => Activity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_starts_or_reloads_counts_as_running_and_one_that_stops_does_not() {
        for state in ["active", "reloading", "activating"] {
            assert_eq!(activity("loaded", state), Activity::Running, "{state}");
        }
        for state in ["inactive", "failed", "deactivating"] {
            assert_eq!(activity("loaded", state), Activity::NotRunning, "{state}");
        }
    }

    #[test]
    fn a_masked_or_unknown_unit_is_missing_even_while_its_last_process_runs() {
        assert_eq!(activity("masked", "active"), Activity::Missing);
        assert_eq!(activity("not-found", "inactive"), Activity::Missing);
    }
}
