//! Why the embedded CA does not issue: each says what and where, whether to ask again, and what to do.

use std::path::PathBuf;

use jiff::Timestamp;

use super::super::kept::KeptError;
use super::super::{IssueError, Retry};
use super::MIN_LIFE;
use crate::keys::KeyError;
use crate::secret::SecretError;

/// What went wrong in the embedded CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// What is kept of it cannot be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The root is gone and what it signed is there: a new root would silently replace it.
    #[error("{} is missing, but {} shows that there was one", path.display(), evidence.display())]
    RootMissing {
        /// Where the root should be.
        path: PathBuf,
        /// What shows that it was there.
        evidence: PathBuf,
    },
    /// What the operator provides as the CA cannot be read.
    #[error("issuing_ca cannot be read")]
    Secret(#[from] SecretError),
    /// What the operator provides is no CA that could issue.
    #[error("issuing_ca = \"{place}\" cannot be used: {why}")]
    Provided {
        /// Where it is, as in the setting.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The provided CA's own time is over, or has not begun.
    #[error("issuing_ca = \"{place}\" is valid from {from} to {until}, and it is {now}")]
    ProvidedEnds {
        /// Where it is, as in the setting.
        place: String,
        /// Since when its whole chain is valid.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
    /// No root was made yet.
    #[error("there is no root yet at {}", path.display())]
    NoRoot {
        /// Where it will be.
        path: PathBuf,
    },
    /// The clock cannot be right.
    #[error("the clock says {now}, but it must be {earliest} or later")]
    Clock {
        /// What it says.
        now: Timestamp,
        /// What is certainly past.
        earliest: Timestamp,
    },
    /// The root's own time is over, or the clock is far ahead.
    #[error("the root ends at {not_after}, and it is {now}: too late to issue anything")]
    RootEnds {
        /// What the clock says.
        now: Timestamp,
        /// The root's last instant.
        not_after: Timestamp,
    },
    /// The certificate request is not what was asked for.
    #[error("the certificate request was refused: {why}")]
    Csr {
        /// What is wrong with it.
        why: String,
    },
    /// A name outside what this CA may issue.
    #[error(
        "{name} lies outside the name constraints of this issuer, expected a name within {permitted}"
    )]
    Constrained {
        /// The name.
        name: String,
        /// What is permitted of its kind.
        permitted: String,
    },
    /// A life that makes no sense.
    #[error("a life of {asked} s was asked for, expected at least {} s", MIN_LIFE.as_secs())]
    Life {
        /// What was asked for.
        asked: u64,
    },
    /// A key could not be made or read.
    #[error("a key of the CA failed")]
    Key(#[from] KeyError),
    /// The cryptographic library failed.
    #[error("a certificate could not be signed")]
    Sign(#[source] rcgen::Error),
    /// The worker died.
    #[error("the issuer's worker ended without an answer")]
    Worker,
}

impl LocalError {
    /// A stable word for logs, metrics and the record.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Kept(KeptError::Io { .. }) => "ca-io",
            Self::Kept(KeptError::Owner { .. }) => "ca-owner",
            Self::Kept(KeptError::Mode { .. }) => "ca-mode",
            Self::Kept(KeptError::Damaged { .. }) => "ca-damaged",
            Self::RootMissing { .. } => "ca-root-missing",
            Self::Secret(_) => "ca-secret",
            Self::Provided { .. } => "ca-provided",
            Self::ProvidedEnds { .. } => "ca-provided-ends",
            Self::NoRoot { .. } => "ca-no-root",
            Self::Clock { .. } => "clock",
            Self::RootEnds { .. } => "ca-root-ends",
            Self::Csr { .. } => "csr",
            Self::Constrained { .. } => "name-constraints",
            Self::Life { .. } => "life",
            Self::Key(_) => "ca-key",
            Self::Sign(_) => "ca-sign",
            Self::Worker => "ca-worker",
        }
    }

    /// When to ask again. What heals by itself (space, clocks) is tried again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Kept(error) => error.retry(),
            Self::Secret(SecretError::Io { .. })
            | Self::ProvidedEnds { .. }
            | Self::NoRoot { .. }
            | Self::Clock { .. }
            | Self::RootEnds { .. }
            | Self::Key(_)
            | Self::Sign(_)
            | Self::Worker => Retry::BackOff,
            Self::RootMissing { .. }
            | Self::Secret(_)
            | Self::Provided { .. }
            | Self::Csr { .. }
            | Self::Constrained { .. }
            | Self::Life { .. } => Retry::Operator,
        }
    }

    /// The operator's next step.
    pub fn remedy(&self) -> String {
        match self {
            Self::Kept(KeptError::Damaged { path, .. }) if path.ends_with(super::ISSUING) => format!(
                "restore {0} from a backup, or move it away: a new one is made under the same root",
                path.display()
            ),
            Self::Kept(error) => error.remedy(),
            Self::RootMissing { path, .. } => format!(
                "restore {} from a backup; or move the whole directory away to begin with a new CA, \
                 which every peer must then be told to trust",
                path.display()
            ),
            Self::Secret(error) => error.remedy(),
            Self::Provided { .. } => {
                "put a matching key and its CA certificates there; then \"systemctl restart renewd\" \
                 where it is a credential, else \"systemctl reload renewd\""
                    .into()
            }
            Self::ProvidedEnds { .. } => "have the CA above renew it, and put the new one there; or set \
                 the clock"
                .into(),
            Self::NoRoot { .. } => "it is made when the first certificate is issued".into(),
            Self::Clock { .. } => "set the clock (is a time service running?); if the clock was \
                 wrong when the CA was made, move its directory away to begin anew"
                .into(),
            Self::RootEnds { .. } => {
                "if the clock is right, move the CA's directory away to begin \
                 with a new CA, which every peer must then be told to trust; else set the clock"
                    .into()
            }
            Self::Csr { .. } => "this is a fault in renewd: please report it".into(),
            Self::Constrained { .. } => {
                "remove the name from the certificate, or permit it in the \
                 issuer's settings"
                    .into()
            }
            Self::Life { .. } => "raise the certificate's lifetime".into(),
            Self::Key(_) | Self::Sign(_) | Self::Worker => {
                "it is tried again; if it stays, please report it".into()
            }
        }
    }
}

impl From<LocalError> for IssueError {
    fn from(error: LocalError) -> Self {
        let (label, retry, remedy) = (error.label(), error.retry(), error.remedy());
        let what = format!("local issuer: {error}");
        let new = Self::new(label, retry, what, remedy);
        match error {
            LocalError::Kept(KeptError::Io { source, .. }) => new.caused_by(source),
            LocalError::Key(source) => new.caused_by(source),
            LocalError::Secret(source) => new.caused_by(source),
            LocalError::Sign(source) => new.caused_by(source),
            _ => new,
        }
    }
}
