//! The words for systemd units that depend on a certificate. How they are reached is the daemon's
//! business; here is only what can be asked and what can come back.

use serde::{Deserialize, Serialize};

use crate::names::UnitName;

/// What a unit must be told when a new generation was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// `ReloadUnit`: the default.
    Reload,
    /// `TryRestartUnit`: restarts only what runs.
    Restart,
    /// `StartUnit`, for a oneshot unit that does whatever must be done.
    Start,
    /// SIGHUP to the main process; polkit cannot limit which signal, so it is off unless asked for.
    SignalHup,
    /// Nothing: the service watches the directory itself.
    None,
}

impl OnChange {
    /// The word of the configuration.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::SignalHup => "signal:HUP",
            Self::None => "none",
        }
    }
}

/// The result of a systemd job (`JobRemoved`, org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobResult {
    /// Ended well. No proof: the probe is.
    Done,
    /// The reload or start command failed.
    Failed,
    /// The job ran into its time limit.
    Timeout,
    /// Another request cancelled the job.
    Canceled,
    /// A job that this one depends on failed.
    Dependency,
    /// There was nothing to do in the unit's state.
    Skipped,
    /// A word of systemd that this version does not know.
    Unknown,
}

/// What became of asking systemd to act on a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActOutcome {
    /// The job ran to an end.
    Job(JobResult),
    /// The unit does not run; it was left alone.
    NotRunning,
    /// The request could not be made or was refused for a reason that is not the certificate's: no
    /// bus, polkit, shutting down, unknown or masked unit. Debt; no verdict. The text names the cause.
    NotNow(String),
    /// systemd was asked while the unit ran, and its answer is no word on the certificate: the unit is
    /// at its start limit, or the result was lost. A restart may have stopped it. Debt; no verdict.
    LeftOpen(String),
}

/// Whether a unit runs, reduced to what decisions need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// `active`, `reloading` or `activating`: it may be asked to act.
    Running,
    /// `inactive`, `deactivating` or `failed`: it is left alone.
    NotRunning,
    /// The unit does not exist or is masked.
    Missing,
    /// systemd could not be asked.
    Unknown,
}

/// A configured dependent, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The unit.
    pub unit: UnitName,
    /// What it is told.
    pub on_change: OnChange,
    /// Whether anything can be probed.
    pub probed: bool,
    /// Units of a lower wave are proven before units of a higher one are told.
    pub wave: u32,
}
