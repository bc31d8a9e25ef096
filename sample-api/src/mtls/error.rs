//! Why it does not start, and why a reload was refused.

use std::io;
use std::path::PathBuf;

use crate::explain;
use crate::file::FileError;
use crate::keys::LoadError;

/// Why it cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The certificate's directory, or that of another file, cannot be watched.
    #[error("cannot watch the certificate's directory {} or that of another file in use", path.display())]
    Watch {
        /// The certificate's.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate that can be served.
    #[error("no usable certificate")]
    Certificate(#[source] LoadError),
    /// The policy was refused.
    #[error("no usable policy")]
    Policy(#[source] FileError),
}

/// Why a reload was refused; what was in use still is.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The certificate, its trust or the revocation lists.
    #[error("certificate refused: {}", explain(.0))]
    Certificate(LoadError),
    /// The policy.
    #[error("policy refused: {}", explain(.0))]
    Policy(FileError),
}
