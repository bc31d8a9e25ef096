//! The embedded CA: a root and an issuing intermediate that the daemon keeps in one directory.
//!
//! ```text
//! DIRECTORY/        0700
//!     root.pem      0600  key and certificate of the root (20 years), which signs only the next
//!     issuing.pem   0600  key and certificate of the issuing intermediate (1 year), renewed in time
//!     issued.log    0600  one line per certificate: when, serial, end, names
//! ```
//!
//! Where the operator provides the issuing CA (`issuing_ca = …`), only the log is kept here.
//!
//! Owns these files. It signs only what the order names, for a key whose owner signed the request, and it
//! must never make a new root where there was one: a damaged or foreign file is an error, and stays as it
//! is. What it answers is judged by [`renewd_core::accept`] like any other CA's answer.

mod authority;
mod ca;
mod constraints;
mod csr;
mod error;
mod keys;
mod provided;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use renewd_core::accept::Answer;
use renewd_core::pem;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;

use super::kept;
use super::kind::Clock;
use super::{Finding, IssueError, Issuer, Order, Question};
use crate::secret::{Secret, Secrets};
use ca::Ca;
pub use constraints::Constraints;
pub use error::LocalError;
pub use keys::KIND;
use provided::Provided;

/// The shortest life that can be asked for.
pub const MIN_LIFE: Duration = Duration::from_secs(30);
/// How far before its issuance a leaf's validity begins, for peers whose clocks are behind.
pub const BACKDATE: SignedDuration = SignedDuration::from_secs(30);

const ROOT: &str = "root.pem";
const ISSUING: &str = "issuing.pem";
const LOG: &str = "issued.log";

/// How the embedded CA behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSettings {
    /// Begins the common names of root and intermediate; at most 40 characters.
    pub common_name: String,
    /// The root's life, when it is made.
    pub root_life: Duration,
    /// The issuing intermediate's life; longer if a certificate asks for more than half of it.
    pub issuing_life: Duration,
    /// Which names may be issued. A change makes a new intermediate at the next issuance.
    pub constraints: Constraints,
    /// The issuing CA that the operator provides; without, one is made and kept here.
    pub issuing_ca: Option<Secret>,
    /// Where it is read from.
    pub secrets: Secrets,
}

impl Default for LocalSettings {
    fn default() -> Self {
        const YEAR: u64 = 365 * 86_400;
        Self {
            common_name: "renewd local".into(),
            root_life: Duration::from_secs(20 * YEAR),
            issuing_life: Duration::from_secs(YEAR),
            constraints: Constraints::default(),
            issuing_ca: None,
            secrets: Secrets::default(),
        }
    }
}

/// The embedded CA. Made without touching the disk; its files are read, or made, when first needed.
pub struct LocalIssuer {
    ca: Arc<Ca>,
}

impl LocalIssuer {
    /// A CA in `directory` (`STATE/store/issuer/NAME`), which this process alone must use.
    pub fn new(directory: impl Into<PathBuf>, settings: LocalSettings, clock: Clock) -> Self {
        Self {
            ca: Arc::new(Ca {
                path: directory.into(),
                settings,
                clock,
                owner: nix::unistd::geteuid().as_raw(),
                state: Mutex::new(None),
            }),
        }
    }

    /// The root's certificate as PEM, for `renewctl ca root`: changes nothing, and gives away no key.
    ///
    /// # Errors
    /// When there is no root yet, or its file cannot be read.
    pub fn root_pem(directory: &Path, settings: &LocalSettings) -> Result<String, LocalError> {
        if let Some(place) = &settings.issuing_ca {
            let provided = Provided::read(settings, place)?;
            return Ok(pem::certificate(&provided.root));
        }
        let path = directory.join(ROOT);
        let text =
            kept::read(&path, None)?.ok_or_else(|| LocalError::NoRoot { path: path.clone() })?;
        Ok(pem::certificate(&authority::only_certificate(
            &path, &text,
        )?))
    }

    /// Runs on a blocking thread, for it syncs files.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ca) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, IssueError> {
        let ca = Arc::clone(&self.ca);
        tokio::task::spawn_blocking(move || work(&ca))
            .await
            .unwrap_or(Err(LocalError::Worker))
            .map_err(IssueError::from)
    }
}

impl Issuer for LocalIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        let certificate = order.certificate.clone();
        let (request, csr) = (order.request.clone(), order.csr.to_vec());
        Box::pin(self.run(move |ca| {
            ca.issue(&Order {
                certificate: &certificate,
                request: &request,
                csr: &csr,
                replaces: None,
                identity: None,
            })
        }))
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(self.run(|ca| Ok(vec![ca.root()?])))
    }

    fn check<'a>(&'a self, requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            if let Err(error) = self.anchors().await {
                return vec![Finding::no(Question::Reachable, &error)];
            }
            let here = "it is a part of this daemon";
            let refused = requests
                .iter()
                .find_map(|request| self.ca.permits(request).err());
            let may_issue = match refused {
                Some(error) => Finding::no(Question::MayIssue, &error.into()),
                None => Finding::yes(
                    Question::MayIssue,
                    "names and lives that are configured are within what it may issue",
                ),
            };
            vec![
                Finding::yes(Question::Reachable, format!("{here}, and has its root")),
                Finding::yes(Question::Authenticated, here),
                Finding::yes(Question::Clock, here),
                may_issue,
            ]
        })
    }
}

#[cfg(test)]
mod tests;
