//! Why the demo could not come to a verdict.
//!
//! It owns the sentences; what went red is no error but a [`super::Verdict`]. Its neighbour is
//! `bin/demo.rs`, which prints them.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::load::LoadError;

/// What ended the demo before its verdict.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A program has not been built.
    #[error("{} is missing: run `make demo`, or `cargo build` with the same profile", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// The step.
        what: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A deadline passed.
    #[error("waited {after:?} in vain for: {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// A program ended that should have gone on.
    #[error("{name} ended ({status})")]
    Ended {
        /// The program.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// `renewctl` answered with something that is not what its manual says.
    #[error("`renewctl status --json` {why}")]
    Status {
        /// What is wrong with it.
        why: String,
    },
    /// The load did not start.
    #[error("the load client did not get going")]
    Load(#[from] LoadError),
    /// A signal came.
    #[error("ended by {0}")]
    Interrupted(&'static str),
}

/// What the demo is doing, for the moment in which its overall deadline passes.
#[derive(Clone, Debug)]
pub(super) struct Step(Arc<Mutex<&'static str>>);

impl Step {
    pub(super) fn new(first: &'static str) -> Self {
        Self(Arc::new(Mutex::new(first)))
    }

    pub(super) fn set(&self, step: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    pub(super) fn now(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
