//! Certificates of a CA that speaks EST (RFC 7030, with the corrections of RFC 8951).
//!
//! ```text
//! DIRECTORY/           0700
//!     anchors.pem      0600  the CA's roots as it told them last, below a line with its address
//! ```
//!
//! Owns the way from an order to a leaf: what the CA wants of requests, a renewal by the certificate that is held, or
//! else an enrolment by what the operator provides. What the CA told of its roots, over a connection that was
//! verified, are the explicit anchors of RFC 7030, section 3.6.1: its certificates are verified against them, and so is
//! its server from then on, beside `ca`. Nothing is bound to the TLS connection (section 3.5 leaves it to the client).

mod attributes;
mod body;
mod certificates;
mod conversation;
mod enrolment;
mod error;
mod keys;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use hyper::header::HeaderMap;
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::pem;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::https::{self, Trust};
use super::kept::{Directory, KeptError, MAX_BYTES};
use super::{Finding, IssueError, Issuer, Order, Question, Retry, Revocation};
use crate::secret::{Secret, Secrets};
use conversation::Conversation;
use error::{EstError, Shown};
pub use keys::KIND;

/// What is kept of the CA.
const ANCHORS: &str = "anchors.pem";

/// How an EST server is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstSettings {
    /// Where its operations are: `https://HOST/.well-known/est`, with the label of one of its CAs where it has several
    /// (RFC 7030, section 3.2.2).
    pub base: String,
    /// What the server is verified against before the CA told its roots: implicit anchors.
    pub ca: Trust,
    /// What its certificates must chain to; without, what the CA tells of itself: explicit anchors.
    pub trust: Option<Trust>,
    /// The way to it, where it is not direct.
    pub proxy: Option<String>,
    /// Who we are by HTTP basic.
    pub login: Option<Login>,
    /// Who we are by a certificate that somebody else made.
    pub bootstrap: Option<Bootstrap>,
}

/// A user of an EST server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Has no colon.
    pub username: String,
    /// Where the password is.
    pub password: Secret,
}

/// A certificate to enrol by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The file, as PEM, with its chain.
    pub certificate: PathBuf,
    /// Where its key is, as PEM.
    pub key: Secret,
}

/// A CA behind an EST server. Made without touching the network.
pub struct EstIssuer {
    directory: PathBuf,
    settings: EstSettings,
    secrets: Secrets,
    /// All that the CA told of itself last.
    known: Mutex<Vec<CertificateDer<'static>>>,
    /// What was said of wishes that are not looked after.
    said: Mutex<Vec<String>>,
    /// What the server did not know us by.
    denied: Mutex<Option<Denied>>,
}

/// A password that was answered by 401. It is not shown again: servers lock out who is wrong too often.
struct Denied {
    /// Of the password, and of the certificate that was shown with it.
    digest: Fingerprint,
    at: String,
    challenge: Option<String>,
}

impl EstIssuer {
    /// A CA of which is kept in `directory`, which this process alone must use, what it told of itself.
    pub fn new(directory: impl Into<PathBuf>, settings: EstSettings, secrets: Secrets) -> Self {
        Self {
            directory: directory.into(),
            settings,
            secrets,
            known: Mutex::default(),
            said: Mutex::default(),
            denied: Mutex::default(),
        }
    }

    /// With nothing shown of ourselves.
    fn unknown(&self) -> Result<Conversation, EstError> {
        let anchors = self.explicit()?;
        Conversation::new(&self.settings, &anchors, None, Shown::Nothing)
    }

    /// Asks the CA for its certificates, and keeps its roots.
    async fn learn(&self) -> Result<HeaderMap, EstError> {
        let conversation = self.unknown()?;
        let (certificates, headers) = conversation.cacerts().await?;
        let roots = certificates::roots(&certificates);
        if self.settings.trust.is_none() {
            let at = conversation.at("cacerts");
            if roots.is_empty() {
                return Err(EstError::NoRoot { at });
            }
            self.keep(&roots, at)?;
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
        Ok(headers)
    }

    fn known(&self) -> Vec<CertificateDer<'static>> {
        let known = self.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn anchors_now(&self) -> Result<Vec<CertificateDer<'static>>, EstError> {
        self.learn().await?;
        match &self.settings.trust {
            Some(trust) => Ok(https::anchors(trust)?),
            None => Ok(certificates::roots(&self.known())),
        }
    }

    fn kept(&self) -> Result<Directory, EstError> {
        let owner = nix::unistd::geteuid().as_raw();
        Directory::open(&self.directory, owner).map_err(EstError::Kept)
    }

    /// The roots that the CA told before, unless another server was asked then or the operator named others.
    fn explicit(&self) -> Result<Vec<CertificateDer<'static>>, EstError> {
        if self.settings.trust.is_some() {
            return Ok(Vec::new());
        }
        let text = read(&self.kept()?)?;
        let text = text.filter(|text| text.starts_with(&self.first_line()));
        let anchors = text.and_then(|text| pem::parse_certificates(&text).ok());
        Ok(anchors.unwrap_or_default())
    }

    fn first_line(&self) -> String {
        format!("# {}\n", self.settings.base)
    }

    fn keep(&self, roots: &[CertificateDer<'static>], at: String) -> Result<(), EstError> {
        let text = self.first_line() + &pem::certificates(roots);
        let bytes = text.len();
        if u64::try_from(bytes).is_ok_and(|bytes| bytes > MAX_BYTES) {
            return Err(EstError::TooManyRoots { at, bytes });
        }
        let kept = self.kept()?;
        let before = read(&kept)?;
        if before.is_some_and(|before| *before == text) {
            return Ok(());
        }
        kept.replace(ANCHORS, &text).map_err(EstError::Kept)
    }

    /// Whether what enrolments need is there, and the CA wants none of what they lack; with what else it wants.
    async fn may_issue(&self, requests: &[Request]) -> Result<Vec<String>, EstError> {
        if let Some(login) = &self.settings.login {
            let password = self.secrets.read(&login.password);
            password.map_err(EstError::Secret)?;
        }
        if let Some(files) = &self.settings.bootstrap {
            self.bootstrap(files)?;
        }
        let mut told = Vec::new();
        for request in requests {
            let wishes = self.wishes(request).await?;
            told.extend(wishes.filter(|wishes| !told.contains(wishes)));
        }
        Ok(told)
    }
}

/// One that is damaged is replaced by what is told next; one that others could have written is not.
fn read(kept: &Directory) -> Result<Option<Zeroizing<String>>, EstError> {
    match kept.read(ANCHORS) {
        Err(KeptError::Damaged { .. }) => Ok(None),
        read => read.map_err(EstError::Kept),
    }
}

impl Issuer for EstIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move { Ok(self.obtain(order).await?) })
    }

    /// Somebody may have to approve (202).
    fn signs_later(&self) -> bool {
        true
    }

    fn shows_identity(&self) -> bool {
        true
    }

    /// RFC 7030, section 4.2.2.
    fn compares_subject(&self) -> bool {
        true
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async { Ok(self.anchors_now().await?) })
    }

    fn revoke<'a>(&'a self, _revocation: Revocation<'a>) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async {
            Err(IssueError::new(
                "no-revocation",
                Retry::Operator,
                "EST has no way to ask for a revocation (RFC 7030)",
                "revoke it at the CA",
            ))
        })
    }

    fn check<'a>(&'a self, requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async {
            let mut findings = Vec::new();
            match self.learn().await {
                Err(error) => {
                    findings.push(Finding::no(Question::Reachable, &error.into()));
                    return findings;
                }
                Ok(headers) => {
                    let text = format!("{} CA certificates", self.known().len());
                    findings.push(Finding::yes(Question::Reachable, text));
                    findings.push(Finding::unknown(
                        Question::Authenticated,
                        "only an enrolment tells whether it knows us",
                    ));
                    findings.push(Finding::clock(https::date(&headers), Timestamp::now()));
                }
            }
            let question = Question::MayIssue;
            findings.push(match self.may_issue(requests).await {
                Err(error) => Finding::no(question, &error.into()),
                Ok(wishes) if wishes.is_empty() => Finding::unknown(
                    question,
                    "it wants nothing that is not asked for; only an enrolment tells the rest",
                ),
                Ok(wishes) => Finding::unknown(question, wishes.join("; ")),
            });
            findings
        })
    }
}
