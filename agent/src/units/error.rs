//! Why systemd could not be asked, or did not do as asked, for a reason that is never the
//! certificate's. The text names the cause and the remedy; the driver keeps the debt.

use std::time::Duration;

use renewd_core::unit::ActOutcome;

/// Why a unit could not be asked or told. Each of these leaves debt, and no verdict.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// No connection to the bus.
    #[error("the system bus cannot be reached")]
    NoBus(#[source] zbus::Error),
    /// The bus took the connection and never greeted.
    #[error("the system bus did not answer within {0:?}")]
    BusSilent(Duration),
    /// The bus is there, systemd is not on it (early in the boot, or right after the bus restarted).
    #[error("systemd is not on the system bus")]
    NoSystemd(#[source] zbus::Error),
    /// The connection ended before the job's result came.
    #[error("the connection to the bus was lost while {unit} was at work; its result is unknown")]
    ResultLost {
        /// The unit.
        unit: String,
    },
    /// systemd took the request and never answered it.
    #[error(
        "systemd did not answer the request for {unit} within {deadline:?}; it waits for polkit when \
         that does not start"
    )]
    NoAnswer {
        /// The unit.
        unit: String,
        /// How long was waited.
        deadline: Duration,
        /// Whether it was the job that was asked for, and not yet only the unit's state.
        asked: bool,
    },
    /// polkit (or the bus policy) does not allow it.
    #[error("refused by polkit: run `renewctl apply` as root, which allows {verb} of {unit}")]
    Refused {
        /// The unit.
        unit: String,
        /// What was asked for, in polkit's word.
        verb: &'static str,
    },
    /// polkit is not there to allow anything.
    #[error("polkit does not work, so only root may ask: {0}")]
    NoPolkit(String),
    /// No such unit.
    #[error("{0} does not exist; correct the name in the configuration or install the unit")]
    NoSuchUnit(String),
    /// The unit is masked.
    #[error("{0} is masked; `systemctl unmask {0}` or take it out of the configuration")]
    Masked(String),
    /// The unit file cannot be used.
    #[error("systemd cannot load {unit}: {detail}; see `systemctl status {unit}`")]
    NotLoaded {
        /// The unit.
        unit: String,
        /// systemd's words.
        detail: String,
    },
    /// The unit has no such verb.
    #[error("{0} cannot reload: it has no ExecReload=; set on_change to \"restart\" or \"none\"")]
    CannotReload(String),
    /// `start` on a unit whose start would not end.
    #[error("{0} is no Type=oneshot service: on_change = \"start\" never starts a lasting service")]
    NotOneshot(String),
    /// `start` on a unit that stays active after it ran: nothing would happen.
    #[error("{0} is still active from its last run (RemainAfterExit=): a start would do nothing")]
    StillActive(String),
    /// Nothing to signal.
    #[error("{0} has no main process that could be signalled")]
    NoProcess(String),
    /// SIGHUP ends a process that has not installed its handler yet.
    #[error("{0} is still starting: a signal now could end it")]
    StillStarting(String),
    /// The unit may only be started by its dependencies.
    #[error("{0} refuses manual starts (RefuseManualStart=)")]
    OnlyByDependency(String),
    /// Another job is in the way.
    #[error(
        "another job stands against it: {unit} is being stopped, or something else is ({detail})"
    )]
    Conflict {
        /// The unit.
        unit: String,
        /// systemd's words.
        detail: String,
    },
    /// The system shuts down.
    #[error("the system is shutting down")]
    Stopping,
    /// Too many starts in too short a time.
    #[error("{0} is at its start limit; `systemctl reset-failed {0}` lifts it")]
    StartLimit(String),
    /// Something else that systemd or the bus said.
    #[error("systemd did not grant the request for {unit}")]
    Other {
        /// The unit.
        unit: String,
        /// systemd's words.
        #[source]
        source: zbus::Error,
    },
}

impl UnitsError {
    /// The stable label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoBus(_) | Self::BusSilent(_) | Self::NoSystemd(_) => "no bus",
            Self::ResultLost { .. } => "result lost",
            Self::NoAnswer { .. } => "no answer",
            Self::Refused { .. } | Self::NoPolkit(_) => "polkit",
            Self::NoSuchUnit(_) => "no such unit",
            Self::Masked(_) => "masked",
            Self::NotLoaded { .. } => "not loaded",
            Self::CannotReload(_)
            | Self::NotOneshot(_)
            | Self::StillActive(_)
            | Self::OnlyByDependency(_) => "not applicable",
            Self::NoProcess(_) => "no process",
            Self::StillStarting(_) => "still starting",
            Self::Conflict { .. } => "conflict",
            Self::Stopping => "shutting down",
            Self::StartLimit(_) => "start limit",
            Self::Other { .. } => "other",
        }
    }

    /// Whether only the operator can help: trying again by itself changes nothing.
    pub fn needs_operator(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::NoPolkit(_)
                | Self::NoSuchUnit(_)
                | Self::Masked(_)
                | Self::NotLoaded { .. }
                | Self::CannotReload(_)
                | Self::NotOneshot(_)
                | Self::StillActive(_)
                | Self::OnlyByDependency(_)
                | Self::StartLimit(_)
        )
    }
}

impl From<UnitsError> for ActOutcome {
    fn from(error: UnitsError) -> Self {
        let mut words = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            let text = cause.to_string();
            // zbus repeats its own sources in its text.
            if !words.contains(&text) {
                words.push_str(": ");
                words.push_str(&text);
            }
            source = cause.source();
        }
        match error {
            UnitsError::StartLimit(_)
            | UnitsError::ResultLost { .. }
            | UnitsError::NoAnswer { asked: true, .. } => Self::LeftOpen(words),
            _ => Self::NotNow(words),
        }
    }
}
