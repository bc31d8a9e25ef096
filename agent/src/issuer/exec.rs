//! Any program as a CA: it gets a request on stdin, and answers with a certificate on stdout.
//!
//! Owns the contract ([`contract`]) and the one program that may run at a time: programs keep databases, and few
//! expect to be run twice at once. The program never sees a key, nor the store ([`super::program`]); what it starts
//! ends with it. What it answers is judged by [`renewd_core::accept`] against anchors that the
//! operator wrote down: an answer never makes itself one.

mod check;
mod contract;
mod error;
mod keys;
mod roots;

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use tokio::sync::Mutex;

use super::program::{Program, ProgramError, ProgramSettings, Surroundings, blocking};
use super::{Finding, IssueError, Issuer, Order};
use crate::journal::{self, Event};
pub use error::ExecError;
pub use keys::KIND;

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program.
    pub program: ProgramSettings,
    /// The file with the roots that its certificates chain to.
    pub trust: PathBuf,
}

/// A program that issues.
pub struct ExecIssuer {
    program: Program,
    trust: PathBuf,
    /// Whose the roots may be, besides root's.
    owner: u32,
    turn: Mutex<()>,
}

impl ExecIssuer {
    /// Made without looking at anything: program and files are looked at each time.
    pub fn new(settings: ExecSettings, surroundings: Surroundings) -> Self {
        Self {
            trust: settings.trust,
            owner: surroundings.owner,
            program: Program::new(settings.program, surroundings),
            turn: Mutex::new(()),
        }
    }

    /// The roots in the file that the operator wrote.
    ///
    /// # Errors
    /// When it cannot be read, holds none, or others could change it.
    pub fn roots(path: &Path, owner: u32) -> Result<Vec<CertificateDer<'static>>, ExecError> {
        roots::read(path, owner)
    }

    async fn ask(&self, order: Order<'_>) -> Result<Answer, ExecError> {
        let _turn = self.turn.lock().await;
        let asked = contract::request(&order);
        let output = self.program.run(order.certificate, asked).await?;
        let answered = contract::read(&output)?;
        if !answered.anchors.is_empty() {
            self.warn_of_anchors(order.certificate, &answered.anchors)
                .await?;
        }
        Ok(answered.answer)
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
                    self.trust.display()
                ),
            });
        }
        Ok(())
    }

    async fn held(&self) -> Result<Vec<CertificateDer<'static>>, ExecError> {
        let (path, owner) = (self.trust.clone(), self.owner);
        let read = blocking(move || roots::read(&path, owner)).await;
        read.unwrap_or(Err(ProgramError::Worker.into()))
    }
}

impl Issuer for ExecIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move { Ok(self.ask(order).await?) })
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async move { Ok(self.held().await?) })
    }

    fn check<'a>(&'a self, _requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(check::findings(self))
    }
}

#[cfg(test)]
mod tests;
