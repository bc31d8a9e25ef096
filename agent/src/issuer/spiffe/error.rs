//! Why the Workload API gave nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::message::Malformed;
use crate::issuer::{IssueError, Retry};

/// Why the Workload API gave nothing. Kept while it lasts, and told to each certificate that asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// The socket does not open.
    #[error("the Workload API at {} cannot be reached: {why}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the kernel says.
        kind: io::ErrorKind,
        /// In words.
        why: String,
    },
    /// Nothing came in time.
    #[error("the Workload API at {} did not answer within {} s", socket.display(), waited.as_secs_f32())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The connection broke, or what is there does not speak the protocol.
    #[error("the Workload API at {} broke off: {why}", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// How.
        why: String,
    },
    /// It says so itself (a status of gRPC).
    #[error("the Workload API at {} refused ({code}): {text:?}", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// gRPC's number.
        code: u32,
        /// Its words.
        text: String,
    },
    /// No identity is registered for us (`PERMISSION_DENIED`).
    #[error("the Workload API at {} issues no identity to renewd: {text:?}", socket.display())]
    NoIdentity {
        /// The socket.
        socket: PathBuf,
        /// Its words.
        text: String,
    },
    /// A message is too long.
    #[error("the Workload API at {} sent a message of {bytes} bytes, and {most} are the most that is read", socket.display())]
    TooLong {
        /// The socket.
        socket: PathBuf,
        /// How long it says that it is.
        bytes: usize,
        /// Our limit.
        most: usize,
    },
    /// A message or what is in it cannot be read.
    #[error("{what} from the Workload API at {} cannot be read: {why}", socket.display())]
    Malformed {
        /// The socket.
        socket: PathBuf,
        /// What.
        what: String,
        /// Why not; no word of what it holds.
        why: String,
    },
    /// There are identities, and not the one that is configured.
    #[error("the Workload API at {} has no SVID for {id}; it has {}", socket.display(), others(has))]
    OtherIdentity {
        /// The socket.
        socket: PathBuf,
        /// The one that is configured.
        id: String,
        /// Those that it has.
        has: Vec<String>,
    },
    /// It has nothing but what is held.
    #[error("the Workload API at {} has no newer SVID for {id} than the one that is held", socket.display())]
    NothingNewer {
        /// The socket.
        socket: PathBuf,
        /// Of which identity.
        id: String,
    },
}

/// For people, however many there are.
fn others(has: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = has.iter().take(SHOWN).map(|id| format!("{id:?}")).collect();
    match (shown.is_empty(), has.len().saturating_sub(SHOWN)) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

impl SpiffeError {
    pub(super) fn malformed(socket: &Path, what: impl Into<String>, why: &Malformed) -> Self {
        Self::Malformed {
            socket: socket.to_owned(),
            what: what.into(),
            why: why.to_string(),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Silent { .. } => "time-out",
            Self::Broken { .. } => "connection",
            Self::Refused { .. } => "refused",
            Self::NoIdentity { .. } => "no-identity",
            Self::TooLong { .. } => "too-long",
            Self::Malformed { .. } => "malformed",
            Self::OtherIdentity { .. } => "other-identity",
            Self::NothingNewer { .. } => "nothing-newer",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreachable { socket, kind, .. } => match kind {
                io::ErrorKind::PermissionDenied => format!(
                    "let the user renewd reach it: {} and each directory above it",
                    socket.display()
                ),
                io::ErrorKind::NotFound if socket.starts_with("/tmp") || socket.starts_with("/var/tmp") => {
                    "the service has a /tmp of its own: let the agent listen elsewhere, below /run for example".to_owned()
                }
                _ => "start the SPIFFE agent, or correct `socket`; it is tried again".to_owned(),
            },
            Self::Silent { .. } | Self::Broken { .. } => "look at the SPIFFE agent's log; it is tried again".to_owned(),
            Self::Refused { .. } => {
                "look at the SPIFFE agent's log, and whether something stands between it and renewd; it is tried again".to_owned()
            }
            Self::NoIdentity { .. } => "no registration entry fits: make one for the user renewd or for renewd.service; it is \
                 asked again, and an entry is taken up by itself"
                .to_owned(),
            Self::TooLong { .. } => "let fewer trust domains be federated with this workload".to_owned(),
            Self::Malformed { .. } => "look at the SPIFFE agent and its version; it is asked again".to_owned(),
            Self::OtherIdentity { .. } => {
                "correct `names`, or make a registration entry for it; it is taken up by itself".to_owned()
            }
            Self::NothingNewer { .. } => {
                "the SPIFFE agent decides when it renews: look at its log if the SVID is close to its end".to_owned()
            }
        }
    }
}

impl From<SpiffeError> for IssueError {
    /// Whatever it is, the agent or its server can mend it without us, and what is mended comes by the stream.
    fn from(error: SpiffeError) -> Self {
        Self::new(
            error.label(),
            Retry::BackOff,
            error.to_string(),
            error.remedy(),
        )
    }
}
