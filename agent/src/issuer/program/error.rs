//! Why a program did not do what was asked of it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::super::Retry;
use super::confine::ConfineError;
use crate::secret::SecretError;

/// The last line on the program's stderr, where there was one.
pub(super) type LastSaid = Option<String>;

/// Why a program did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be looked at.
    #[error("the program {} cannot be used", path.display())]
    Program {
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else could change it.
    #[error("{} belongs to user {owner} and has mode {mode:04o}: others may change it", path.display())]
    Open {
        /// The program, a directory above it, or a file that is believed.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A credential that the program is to read is not there.
    #[error("its credential cannot be given")]
    Secret(#[from] SecretError),
    /// It cannot be kept from what is not its business.
    #[error("the program cannot be confined")]
    Confine(#[from] ConfineError),
    /// It cannot be started.
    #[error("{program} cannot be started")]
    Start {
        /// Its path.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The operating system refused something else.
    #[error("the program cannot be watched")]
    System(#[source] io::Error),
    /// It took too long.
    #[error("the program was ended after {}{}", humantime::format_duration(*after), Quoted(said))]
    TimedOut {
        /// How long it may run.
        after: Duration,
        /// What it said last.
        said: LastSaid,
    },
    /// It wrote too much.
    #[error("the program was ended after more than {limit} bytes of output")]
    TooMuch {
        /// How much it may.
        limit: usize,
    },
    /// A signal ended it.
    #[error("the program was ended by signal {signal}{}", Quoted(said))]
    Signalled {
        /// Which.
        signal: i32,
        /// What it said last.
        said: LastSaid,
    },
    /// It asks to be run again.
    #[error("the program says: not now{}", Quoted(said))]
    NotNow {
        /// What it said last.
        said: LastSaid,
    },
    /// It asks to be run again, and not before some time.
    #[error("the program says: not before {} s have passed{}", delay.as_secs(), Quoted(said))]
    After {
        /// How long.
        delay: Duration,
        /// What it said last.
        said: LastSaid,
    },
    /// It says that somebody has to change something.
    #[error(
        "the program says that you have to change something (exit code {code}){}",
        Quoted(said)
    )]
    Operator {
        /// Its exit code.
        code: i32,
        /// What it said last.
        said: LastSaid,
    },
    /// It failed.
    #[error("the program failed with exit code {code}{}", Quoted(said))]
    Failed {
        /// Its exit code.
        code: i32,
        /// What it said last.
        said: LastSaid,
    },
    /// A thread of ours is gone.
    #[error("its work was broken off")]
    Worker,
}

struct Quoted<'a>(&'a LastSaid);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(said) => write!(f, ", having said {said:?}"),
            None => Ok(()),
        }
    }
}

impl ProgramError {
    /// A stable word for logs, metrics and the record.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Program { .. } => "exec-program",
            Self::Open { .. } => "exec-open",
            Self::Secret(_) => "exec-secret",
            Self::Confine(_) => "exec-confine",
            Self::Start { .. } => "exec-start",
            Self::System(_) => "exec-system",
            Self::TimedOut { .. } => "exec-timeout",
            Self::TooMuch { .. } => "exec-output",
            Self::Signalled { .. } => "exec-signal",
            Self::NotNow { .. } => "exec-not-now",
            Self::After { .. } => "exec-after",
            Self::Operator { .. } => "exec-operator",
            Self::Failed { .. } => "exec-failed",
            Self::Worker => "exec-worker",
        }
    }

    /// When to ask again. Only the program itself can say that nothing will help but the operator: files are
    /// put right without a word to the daemon.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Operator { .. } => Retry::Operator,
            Self::After { delay, .. } => Retry::After(*delay),
            _ => Retry::BackOff,
        }
    }

    /// The operator's next step.
    pub fn remedy(&self) -> String {
        match self {
            Self::Program { .. } | Self::Start { .. } => {
                "install it there, executable for everybody; or correct \"command\"".into()
            }
            Self::Open { path, .. } => format!(
                "if it is as it should be: chown root {0} and chmod go-w {0}",
                path.display()
            ),
            Self::Secret(error) => error.remedy(),
            Self::Confine(_) | Self::System(_) | Self::Worker => {
                "it is tried again; if it stays, please report it".into()
            }
            Self::TimedOut { .. } => {
                "see what it waits for, or raise \"timeout\"; journalctl -u renewd has what it said"
                    .into()
            }
            Self::TooMuch { .. } => "have it write less".into(),
            Self::NotNow { .. } | Self::After { .. } => "nothing: it is asked again".into(),
            Self::Operator { .. } => {
                "journalctl -u renewd has what it said; when it is put right, \"renewctl renew\""
                    .into()
            }
            Self::Signalled { .. } | Self::Failed { .. } => {
                "journalctl -u renewd has what it said".into()
            }
        }
    }
}
