//! What can go wrong with the store; each error says what and where.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{path} is damaged: {why}", path = path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A newer version wrote it.
    #[error("{path} was written by a newer renewd (form {found}, this one knows {known}); install that version again, or restore a backup", path = path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its form.
        found: u32,
        /// The newest form known.
        known: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to user {found}, and renewd runs as user {expected}; {remedy}", path = path.display(), remedy = give_back(path, *expected))]
    ForeignOwner {
        /// Which.
        path: PathBuf,
        /// The owner found.
        found: u32,
        /// The daemon's user.
        expected: u32,
    },
    /// Another daemon holds the lock.
    #[error("another renewd is at work on {path}; stop it first (`systemctl status renewd`)", path = path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
}

/// root needs nothing given back: it was started by hand, and what it made its own would be lost to the service.
fn give_back(path: &Path, expected: u32) -> String {
    if expected == 0 {
        "run it as that user (`systemctl start renewd`)".to_owned()
    } else {
        format!("give it back with `chown -R {expected} {}`", path.display())
    }
}

pub(crate) trait At<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io {
            what,
            path: path.to_owned(),
            source,
        })
    }
}
