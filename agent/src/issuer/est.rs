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
mod error;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use hyper::header::HeaderMap;
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::leaf::{Fingerprint, LeafFacts};
use renewd_core::names::CertificateName;
use renewd_core::pem;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::https::{self, ClientIdentity, Trust};
use super::local::files::Directory;
use super::{Finding, HeldIdentity, IssueError, Issuer, Order, Question, Retry, Revocation};
use crate::journal::{self, Event};
use crate::secret::{Secret, Secrets};
use conversation::Conversation;
use error::{EstError, Shown};

/// What is kept of the CA.
const ANCHORS: &str = "anchors.pem";
/// A certificate with its chain has a few thousand.
const MOST_BYTES: u64 = 64 * 1024;

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
    /// What was said last of wishes that are not looked after.
    said: Mutex<Vec<String>>,
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
            if roots.is_empty() {
                let at = conversation.at("cacerts");
                return Err(EstError::NoRoot { at });
            }
            self.keep(&roots)?;
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
        let text = self.kept()?.read(ANCHORS).map_err(EstError::Kept)?;
        let text = text.filter(|text| text.starts_with(&self.first_line()));
        // One that is damaged is replaced by what is told next.
        let anchors = text.and_then(|text| pem::parse_certificates(&text).ok());
        Ok(anchors.unwrap_or_default())
    }

    fn first_line(&self) -> String {
        format!("# {}\n", self.settings.base)
    }

    fn keep(&self, roots: &[CertificateDer<'static>]) -> Result<(), EstError> {
        let text = self.first_line() + &pem::certificates(roots);
        let kept = self.kept()?;
        let before = kept.read(ANCHORS).map_err(EstError::Kept)?;
        if before.is_some_and(|before| *before == text) {
            return Ok(());
        }
        kept.replace(ANCHORS, &text).map_err(EstError::Kept)
    }

    async fn obtain(&self, order: Order<'_>) -> Result<Answer, EstError> {
        if self.known().is_empty() {
            self.learn().await?;
        }
        let conversation = self.unknown()?;
        let wanted = conversation.csrattrs().await?;
        let judged = attributes::judge(&wanted, order.request);
        let ignored = judged.map_err(|unwanted| EstError::Attributes {
            at: conversation.at("csrattrs"),
            unwanted,
        })?;
        self.note(order.certificate, ignored);
        if let Some(held) = order.identity.filter(|held| renews(held, order.request)) {
            match self.renew(order, held).await {
                Err(error) if error.is_refusal() => journal::emit(&Event::IssuerWarning {
                    certificate: order.certificate.clone(),
                    warning: format!(
                        "{}; it is enrolled anew",
                        IssueError::from(error).operator_text()
                    ),
                }),
                outcome => return outcome,
            }
        }
        self.enroll(order).await
    }

    /// By the certificate that is held (section 4.2.2).
    async fn renew(&self, order: Order<'_>, held: &HeldIdentity) -> Result<Answer, EstError> {
        const OPERATION: &str = "simplereenroll";
        let identity = ClientIdentity::held(held)?;
        let anchors = self.explicit()?;
        let conversation =
            Conversation::new(&self.settings, &anchors, Some(&identity), Shown::Current)?;
        let answered = conversation.enroll(OPERATION, order.csr).await?;
        self.answer(&conversation.at(OPERATION), order, answered)
    }

    /// By what the operator provides (section 4.2.1).
    async fn enroll(&self, order: Order<'_>) -> Result<Answer, EstError> {
        const OPERATION: &str = "simpleenroll";
        let (login, bootstrap) = (&self.settings.login, &self.settings.bootstrap);
        let shown = match (bootstrap, login) {
            (None, None) => Shown::Nothing,
            (None, Some(_)) => Shown::Password,
            (Some(_), None) => Shown::Bootstrap,
            (Some(_), Some(_)) => Shown::BootstrapAndPassword,
        };
        let identity = bootstrap.as_ref().map(|files| self.bootstrap(files));
        let identity = identity.transpose()?;
        let anchors = self.explicit()?;
        let mut conversation =
            Conversation::new(&self.settings, &anchors, identity.as_ref(), shown)?;
        if let Some(login) = login {
            let password = self.secrets.read(&login.password);
            let password = password.map_err(EstError::Secret)?;
            conversation.log_in(&login.username, password.trim_end_matches(['\r', '\n']));
        }
        let answered = conversation.enroll(OPERATION, order.csr).await?;
        self.answer(&conversation.at(OPERATION), order, answered)
    }

    fn bootstrap(&self, files: &Bootstrap) -> Result<ClientIdentity, EstError> {
        let unusable = |why: String| EstError::Bootstrap {
            path: files.certificate.clone(),
            why,
        };
        let certificate = read(&files.certificate).map_err(|error| unusable(error.to_string()))?;
        let key = self.secrets.read(&files.key).map_err(EstError::Secret)?;
        ClientIdentity::from_pem(&certificate, &key).map_err(|error| unusable(error.to_string()))
    }

    /// The leaf among what was answered, and what may stand above it.
    fn answer(
        &self,
        at: &str,
        order: Order<'_>,
        mut answered: Vec<CertificateDer<'static>>,
    ) -> Result<Answer, EstError> {
        let leaf = key_of(order.csr).and_then(|key| certificates::leaf(&answered, &key));
        let leaf = leaf.cloned().ok_or_else(|| EstError::Spent {
            at: at.to_owned(),
            why: "no certificate in it is for the key that was asked for".into(),
        })?;
        answered.extend(self.known());
        let chain = certificates::chain(&leaf, &answered);
        Ok(Answer { leaf, chain })
    }

    /// Says once what of the CA's wishes is let be.
    fn note(&self, certificate: &CertificateName, ignored: Vec<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == ignored {
            return;
        }
        if !ignored.is_empty() {
            journal::emit(&Event::IssuerWarning {
                certificate: certificate.clone(),
                warning: format!(
                    "the CA wants in certificate requests what renewd does not put there: {}; if it refuses them, this is why",
                    ignored.join(", ")
                ),
            });
        }
        *said = ignored;
    }

    /// Whether what enrolments need is there, and the CA wants none of what they lack.
    async fn may_issue(&self, requests: &[Request]) -> Result<(), EstError> {
        if let Some(login) = &self.settings.login {
            let password = self.secrets.read(&login.password);
            password.map_err(EstError::Secret)?;
        }
        if let Some(files) = &self.settings.bootstrap {
            self.bootstrap(files)?;
        }
        let conversation = self.unknown()?;
        let wanted = conversation.csrattrs().await?;
        for request in requests {
            let judged = attributes::judge(&wanted, request);
            judged.map_err(|unwanted| EstError::Attributes {
                at: conversation.at("csrattrs"),
                unwanted,
            })?;
        }
        Ok(())
    }
}

/// Whether a certificate can ask for its own successor: it is valid, may be shown by a client, and has the names that are
/// asked for, since others are for a new enrolment (section 4.2.2).
fn renews(held: &HeldIdentity, request: &Request) -> bool {
    let Ok(facts) = LeafFacts::from_der(&held.leaf) else {
        return false;
    };
    let names = request.names.iter();
    let mut names: Vec<String> = names
        .map(|name| name.to_string().to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    let mut held_names: Vec<String> = facts
        .names
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    held_names.sort();
    Timestamp::now() < held.not_after && facts.usages.client && held_names == names
}

fn key_of(csr: &[u8]) -> Option<Fingerprint> {
    let (_, csr) = X509CertificationRequest::from_der(csr).ok()?;
    Some(Fingerprint::of(
        csr.certification_request_info.subject_pki.raw,
    ))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

impl Issuer for EstIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move { Ok(self.obtain(order).await?) })
    }

    fn shows_identity(&self) -> bool {
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
                    findings.push(Finding::clock(https::date(&headers), Timestamp::now()));
                }
            }
            let question = Question::MayIssue;
            findings.push(match self.may_issue(requests).await {
                Err(error) => Finding::no(question, &error.into()),
                Ok(()) => Finding::unknown(
                    question,
                    "it wants nothing that is not asked for; only an enrolment tells whether it knows us",
                ),
            });
            findings
        })
    }
}
