//! Any program as a CA: it gets a request on stdin, and answers with a certificate on stdout.
//!
//! Owns the contract ([`contract`]) and the one program that may run at a time: programs keep databases, and few
//! expect to be run twice at once. The program never sees a key, nor the store ([`confine`]); all that it starts
//! ends with it ([`run`]). What it answers is judged by [`renewd_core::accept`] against anchors that the
//! operator wrote down: an answer never makes itself one.

mod confine;
mod contract;
mod error;
mod family;
mod program;
mod run;
mod said;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::{CertificateName, CredentialName};
use rustls_pki_types::CertificateDer;
use tokio::sync::Mutex;

use super::{IssueError, Issuer, Order};
use crate::journal::{self, Event};
use crate::secret::SecretError;
use confine::Confinement;
pub use error::ExecError;
use run::{Environment, Job, Told};

/// What the program finds in its environment, but for its credentials.
const ENVIRONMENT: [(&str, &str); 2] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("LANG", "C.UTF-8"),
];
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program by its absolute path, and its arguments.
    pub command: Vec<String>,
    /// The file with the roots that its certificates chain to.
    pub trust: PathBuf,
    /// The credentials of this service that the program may read.
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
    /// Whose the program and the roots may be, besides root's.
    pub owner: u32,
}

/// A program that issues.
pub struct ExecIssuer {
    settings: ExecSettings,
    surroundings: Surroundings,
    turn: Mutex<()>,
    warned: AtomicBool,
}

impl ExecIssuer {
    /// Made without looking at anything: program and files are looked at each time.
    pub fn new(settings: ExecSettings, surroundings: Surroundings) -> Self {
        Self {
            settings,
            surroundings,
            turn: Mutex::new(()),
            warned: AtomicBool::new(false),
        }
    }

    /// The roots in the file that the operator wrote.
    ///
    /// # Errors
    /// When it cannot be read, holds none, or others could change it.
    pub fn roots(path: &Path, owner: u32) -> Result<Vec<CertificateDer<'static>>, ExecError> {
        program::roots(path, owner)
    }

    /// Checks, on a blocking thread, what the program needs; returns its environment and what it may do.
    fn prepare(
        settings: &ExecSettings,
        surroundings: &Surroundings,
    ) -> Result<(Environment, Confinement), ExecError> {
        program::check(Path::new(&settings.command[0]), surroundings.owner)?;
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

    async fn ask(&self, order: Order<'_>) -> Result<Answer, ExecError> {
        let _turn = self.turn.lock().await;
        let (settings, surroundings) = (self.settings.clone(), self.surroundings.clone());
        let (environment, confinement) =
            blocking(move || Self::prepare(&settings, &surroundings)).await?;
        let job = Job {
            command: self.settings.command.clone(),
            environment,
            input: contract::request(&order),
            timeout: self.settings.timeout,
            output_limit: self.settings.output_limit,
            confinement,
        };
        let mut running = run::start(job)?;
        let ended = loop {
            match running.told().await {
                Told::Unconfined => self.warn_unconfined(order.certificate),
                Told::Line(line) => journal::emit(&Event::IssuerSaid {
                    certificate: order.certificate.clone(),
                    line,
                }),
                Told::Ended(ended) => break ended?,
            }
        };
        let answered = contract::judge(ended, &self.settings)?;
        if !answered.anchors.is_empty() {
            self.warn_of_anchors(order.certificate, &answered.anchors)
                .await?;
        }
        Ok(answered.answer)
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

    /// What the program says of its anchors is no trust, and a reason to tell somebody in time.
    async fn warn_of_anchors(
        &self,
        certificate: &CertificateName,
        named: &[CertificateDer<'static>],
    ) -> Result<(), ExecError> {
        let held = self.held().await?;
        for anchor in named.iter().filter(|anchor| !held.contains(anchor)) {
            journal::emit(&Event::IssuerWarning {
                certificate: certificate.clone(),
                warning: format!(
                    "the program names an anchor (SHA-256 {}) that {} does not hold; if it is the CA's, add it \
                     there before the CA signs with it",
                    Fingerprint::of(anchor),
                    self.settings.trust.display()
                ),
            });
        }
        Ok(())
    }

    async fn held(&self) -> Result<Vec<CertificateDer<'static>>, ExecError> {
        let (path, owner) = (self.settings.trust.clone(), self.surroundings.owner);
        blocking(move || program::roots(&path, owner)).await
    }
}

/// Looks at files on a thread that may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExecError> + Send + 'static,
) -> Result<T, ExecError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(ExecError::Worker))
}

impl Issuer for ExecIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move { Ok(self.ask(order).await?) })
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async move { Ok(self.held().await?) })
    }
}

#[cfg(test)]
mod tests;
