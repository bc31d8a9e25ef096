//! Why what is kept of an issuer cannot be used, and what to do.

use std::io;
use std::path::PathBuf;

use super::super::Retry;

/// Why what is kept cannot be used. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file system refused.
    #[error("{action} {} failed", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file or directory of somebody else.
    #[error("{} belongs to user {owner}, expected {expected}", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose.
        owner: u32,
        /// Ours.
        expected: u32,
    },
    /// A file or directory that others could use.
    #[error("{} has mode {mode:04o}, expected nothing for group and others", path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is there cannot be used; nothing is overwritten.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl KeptError {
    /// When to ask again. Space may come back by itself.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Io { .. } => Retry::BackOff,
            Self::Owner { .. } | Self::Mode { .. } | Self::Damaged { .. } => Retry::Operator,
        }
    }

    /// The operator's next step.
    pub fn remedy(&self) -> String {
        match self {
            Self::Io { .. } => "check the disk's space and the directory's permissions".into(),
            Self::Owner { path, expected, .. } => {
                format!("if it is the CA's own: chown {expected} {}", path.display())
            }
            Self::Mode { path, .. } => format!(
                "others may have read the CA's keys; if not: chmod go= {}",
                path.display()
            ),
            Self::Damaged { path, .. } => format!(
                "restore {} from a backup; or move the whole directory away to begin with a new CA, \
                 which every peer must then be told to trust",
                path.display()
            ),
        }
    }
}
