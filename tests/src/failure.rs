//! Why a scenario, or the harness below it, failed.
//!
//! Owns the one error type of this crate and the two ways to state an expectation. It never decides whether a failure
//! is wanted (a sabotage twin wants one): that is the runner's, in [`crate::scenario`].

use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// What the operations of this crate return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failed expectation, or an operation of the harness that could not be done.
#[derive(Debug, Error)]
pub enum Failure {
    /// What was found is not what the scenario promises.
    #[error("expected {expected}; found {found}")]
    Expectation {
        /// The promise, as a noun phrase.
        expected: String,
        /// What was found in its place.
        found: String,
    },

    /// A condition did not come true in time.
    #[error("not within {within:?}: {what}; at last: {last}")]
    Deadline {
        /// The condition.
        what: String,
        /// How long was waited.
        within: Duration,
        /// The last reason why it was not yet true.
        last: Box<Failure>,
    },

    /// A program ended badly that had to end well.
    #[error("`{command}` ended with {status}\n{output}")]
    Program {
        /// The command as one would type it.
        command: String,
        /// Exit code or signal.
        status: String,
        /// What it wrote, standard error last.
        output: String,
    },

    /// A file, mount or process could not be handled.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },

    /// This host lacks something; a missing runtime is a failure and never a skip.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// The thing that is missing.
        what: String,
        /// What to do about it.
        remedy: String,
    },

    /// A scenario panicked.
    #[error("panicked: {0}")]
    Panic(String),
}

impl Failure {
    /// For `map_err` on a file operation.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Fails with `expected` and `found` unless the condition holds.
///
/// # Errors
/// [`Failure::Expectation`] when it does not hold.
pub fn expect(holds: bool, expected: impl Display, found: impl Display) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Failure::Expectation {
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// Fails unless the two are equal; `what` names the thing that was looked at.
///
/// # Errors
/// [`Failure::Expectation`] when they differ.
pub fn expect_equal<T: PartialEq + Debug>(what: &str, expected: &T, found: &T) -> Result<()> {
    expect(
        expected == found,
        format_args!("{what}: {expected:?}"),
        format_args!("{found:?}"),
    )
}
