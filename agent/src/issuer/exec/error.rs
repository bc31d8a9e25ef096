//! Why a program issued nothing.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::super::program::ProgramError;
use super::super::{IssueError, Retry, Sent};

/// Why a program issued nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It did not end as it should have.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The roots cannot be read.
    #[error("the roots cannot be read from {}", path.display())]
    TrustIo {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There are none.
    #[error("{} holds no certificates in PEM", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
    },
    /// Its answer cannot be read.
    #[error("the program's answer cannot be read: {why}")]
    Answer {
        /// What is wrong with it; nothing of what it says.
        why: String,
    },
}

impl ExecError {
    /// A stable word for logs, metrics and the record.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Program(error) => error.label(),
            Self::TrustIo { .. } | Self::Trust { .. } => "exec-trust",
            Self::Answer { .. } => "exec-answer",
        }
    }

    /// When to ask again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Program(error) => error.retry(),
            _ => Retry::BackOff,
        }
    }

    /// The operator's next step.
    pub fn remedy(&self) -> String {
        match self {
            Self::Program(ProgramError::TooMuch { .. }) => {
                "have it write the chain and nothing else".into()
            }
            Self::Program(error) => error.remedy(),
            Self::TrustIo { path, .. } | Self::Trust { path } => format!(
                "write the CA's roots to {}, readable for everybody",
                path.display()
            ),
            Self::Answer { .. } => {
                "have it write the chain in PEM and nothing else to stdout, the leaf first".into()
            }
        }
    }
}

impl From<ExecError> for IssueError {
    fn from(error: ExecError) -> Self {
        // It said yes, or was about to: the CA behind it may have signed.
        let sent = match error {
            ExecError::Answer { .. } | ExecError::Program(ProgramError::TooMuch { .. }) => {
                Sent::Spent
            }
            _ => Sent::Refused,
        };
        let (label, retry, remedy) = (error.label(), error.retry(), error.remedy());
        let mut what = format!("exec issuer: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            what.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::new(label, retry, what, remedy).with_the_request(sent)
    }
}
