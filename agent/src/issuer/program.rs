//! Programs that issuers run: confined, bounded, and gone with what they started ([`strays`] says what that reaches).
//!
//! Owns what is the same for each: whose it may be ([`owner`]), what it finds and may not see ([`confine`]), how it is
//! watched ([`run`]) and what its exit code means. What it reads and answers is its user's contract.

mod confine;
mod error;
mod family;
pub(super) mod keys;
mod owner;
mod run;
mod said;
mod strays;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use renewd_core::names::{CertificateName, CredentialName};

use crate::journal::{self, Event};
use crate::secret::SecretError;
use confine::Confinement;
pub use error::ProgramError;
pub(super) use owner::closed;
use run::{Ended, Environment, How, Job, Told};

/// What a program finds in its environment, but for its credentials.
const ENVIRONMENT: [(&str, &str); 2] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("LANG", "C.UTF-8"),
];
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// `EX_TEMPFAIL` (sysexits.h): not now.
const NOT_NOW: i32 = 75;
/// `EX_NOPERM` and `EX_CONFIG`: not before somebody has changed something.
const OPERATOR: [i32; 2] = [77, 78];

/// What is run, and how much it may use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramSettings {
    /// The program by its absolute path, and its arguments.
    pub command: Vec<String>,
    /// The credentials of this service that it may read.
    pub credentials: Vec<CredentialName>,
    /// How long it may run.
    pub timeout: Duration,
    /// How many bytes it may answer.
    pub output_limit: usize,
}

/// Where it runs.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Directories of this service that no program may see.
    pub hidden: Vec<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`, where systemd gave this service any.
    pub credentials: Option<PathBuf>,
    /// Whose programs and what they are believed by may be, besides root's.
    pub owner: u32,
}

/// A program. It is looked at each time.
pub(super) struct Program {
    settings: ProgramSettings,
    surroundings: Surroundings,
    warned: AtomicBool,
}

impl Program {
    pub(super) fn new(settings: ProgramSettings, surroundings: Surroundings) -> Self {
        Self {
            settings,
            surroundings,
            warned: AtomicBool::new(false),
        }
    }

    /// Runs it with this on stdin, and waits for its end; returns what it wrote to stdout. What it says on stderr is
    /// told as this certificate's. Dropped, the program ends.
    pub(super) async fn run(
        &self,
        certificate: &CertificateName,
        input: Vec<u8>,
    ) -> Result<Vec<u8>, ProgramError> {
        let (settings, surroundings) = (self.settings.clone(), self.surroundings.clone());
        let prepared = blocking(move || prepare(&settings, &surroundings));
        let (environment, confinement) = prepared.await.unwrap_or(Err(ProgramError::Worker))?;
        let mut running = run::start(Job {
            command: self.settings.command.clone(),
            environment,
            input,
            timeout: self.settings.timeout,
            output_limit: self.settings.output_limit,
            confinement,
        })?;
        loop {
            match running.told().await {
                Told::Unconfined => self.warn_unconfined(certificate),
                Told::Line(line) => journal::emit(&Event::IssuerSaid {
                    certificate: certificate.clone(),
                    line,
                }),
                Told::Ended(ended) => return self.judge(ended?),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &str {
        &self.settings.command[0]
    }

    /// Whether it could be run now: the program, whose it is, and its credentials are looked at as before a run.
    pub(super) async fn look(&self) -> Result<(), ProgramError> {
        let (settings, surroundings) = (self.settings.clone(), self.surroundings.clone());
        let prepared = blocking(move || prepare(&settings, &surroundings).map(drop));
        prepared.await.unwrap_or(Err(ProgramError::Worker))
    }

    fn warn_unconfined(&self, certificate: &CertificateName) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            journal::emit(&Event::IssuerWarning {
                certificate: certificate.clone(),
                warning: format!(
                    "this kernel has no Landlock, so {} could read what renewd keeps; use a kernel that has it",
                    self.settings.command[0]
                ),
            });
        }
    }

    /// What its end means.
    fn judge(&self, ended: Ended) -> Result<Vec<u8>, ProgramError> {
        let (output, said) = (ended.output, ended.last_said);
        Err(match ended.how {
            How::Exited(0) => return Ok(output),
            How::Exited(NOT_NOW) => match seconds(&output) {
                Some(delay) => ProgramError::After { delay, said },
                None => ProgramError::NotNow { said },
            },
            How::Exited(code) if OPERATOR.contains(&code) => ProgramError::Operator { code, said },
            How::Exited(code) => ProgramError::Failed { code, said },
            How::Signalled(signal) => ProgramError::Signalled { signal, said },
            How::TimedOut => ProgramError::TimedOut {
                after: self.settings.timeout,
                said,
            },
            How::TooMuch => ProgramError::TooMuch {
                limit: self.settings.output_limit,
            },
            How::Cancelled => ProgramError::Worker,
        })
    }
}

fn seconds(output: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(output).ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Looks at what the program needs; returns its environment and what it may do.
fn prepare(
    settings: &ProgramSettings,
    surroundings: &Surroundings,
) -> Result<(Environment, Confinement), ProgramError> {
    let program = Path::new(&settings.command[0]);
    owner::check(program, surroundings.owner)?;
    access(program, AccessFlags::X_OK).map_err(|error| ProgramError::Start {
        program: settings.command[0].clone(),
        source: error.into(),
    })?;
    let mut environment: Environment = ENVIRONMENT
        .iter()
        .map(|(name, value)| (*name, value.into()))
        .collect();
    let mut shown = Vec::new();
    for name in &settings.credentials {
        let directory = surroundings.credentials.as_deref();
        let file = directory.map(|directory| directory.join(name.as_str()));
        match file.filter(|file| file.exists()) {
            Some(file) => shown.push(file),
            None => return Err(SecretError::NotGiven(name.clone()).into()),
        }
    }
    if !shown.is_empty()
        && let Some(directory) = &surroundings.credentials
    {
        environment.push((CREDENTIALS_DIRECTORY, directory.into()));
    }
    let hidden = surroundings.hidden.iter().chain(&surroundings.credentials);
    let confinement = Confinement {
        hidden: hidden.cloned().collect(),
        shown,
    };
    Ok((environment, confinement))
}

/// Looks at files on a thread that may wait for a disk; `None` where it was broken off.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
