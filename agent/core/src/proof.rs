//! What is known of a dependent: the words of a proof.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::leaf::{Fingerprint, Serial};
use crate::unit::JobResult;

/// Why a dependent is not proven, in one word that logs, metrics and `status` share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The reload job did not end well.
    Reload(JobResult),
    /// systemd or polkit refused, or could not be reached.
    NotReloadable,
    /// Nobody listens, or the connection was refused.
    Refused,
    /// No answer within the deadline.
    Timeout,
    /// The handshake failed, or the answer was no TLS.
    Handshake,
    /// Another leaf than the published one is served: renewed on disk, stale in memory.
    WrongLeaf,
    /// The published leaf is shown, but its key was not proven.
    WrongKey,
    /// The chain does not verify as sent.
    Chain,
    /// The server refused the configured client certificate.
    ClientRefused,
}

impl Reason {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reload(JobResult::Timeout) => "reload timeout",
            Self::Reload(JobResult::Canceled) => "reload canceled",
            Self::Reload(JobResult::Dependency) => "reload dependency",
            Self::Reload(JobResult::Skipped) => "reload skipped",
            Self::Reload(_) => "reload failed",
            Self::NotReloadable => "reload refused",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Handshake => "handshake",
            Self::WrongLeaf => "wrong leaf",
            Self::WrongKey => "wrong key",
            Self::Chain => "chain",
            Self::ClientRefused => "client refused",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What is known of a dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing yet.
    Pending,
    /// K fresh handshakes on each address showed the published leaf, its key, and a chain that verifies.
    Served,
    /// The job ended well, and nothing can be probed.
    Reloaded,
    /// The unit does not run.
    NotRunning,
    /// Neither a job nor a probe can tell.
    Unobservable,
    /// Not proven.
    Failed(Reason),
}

impl Proof {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Served => "served",
            Self::Reloaded => "reloaded",
            Self::NotRunning => "not running",
            Self::Unobservable => "unobservable",
            Self::Failed(_) => "failed",
        }
    }

    /// The reason, when not proven.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Failed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether this is as good as it can get for the unit.
    pub fn holds(self) -> bool {
        matches!(self, Self::Served | Self::Reloaded | Self::Unobservable)
    }
}

/// What the probe of one dependent found, over all its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// `None` when every address served the expected leaf; otherwise the first reason that is not.
    pub failure: Option<Reason>,
    /// In words: the address and what happened there. Never a secret.
    pub detail: String,
    /// The leaf last seen, if a handshake came that far.
    pub seen: Option<SeenLeaf>,
}

/// A leaf seen in a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLeaf {
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
    /// Its serial number.
    pub serial: Serial,
}

/// A proof with its circumstances, as kept in the record and shown by `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What is known.
    pub proof: Proof,
    /// In words, for `show`; empty when there is nothing to add.
    pub detail: String,
    /// The serial of the leaf last seen.
    pub served_serial: Option<Serial>,
    /// Since when the proof is what it is.
    pub since: Timestamp,
}
