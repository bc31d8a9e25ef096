//! From an order to a leaf: by the certificate that is held, or by what the operator provides.

use std::io::Read as _;
use std::path::Path;
use std::sync::PoisonError;

use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::leaf::{Fingerprint, LeafFacts};
use renewd_core::names::CertificateName;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::super::https::ClientIdentity;
use super::super::{HeldIdentity, IssueError, Order};
use super::conversation::Conversation;
use super::error::{EstError, Shown};
use super::{Bootstrap, EstIssuer, attributes, certificates};
use crate::journal::{self, Event};

/// A certificate with its chain has a few thousand.
const MOST_BYTES: u64 = 64 * 1024;

impl EstIssuer {
    pub(super) async fn obtain(&self, order: Order<'_>) -> Result<Answer, EstError> {
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

    pub(super) fn bootstrap(&self, files: &Bootstrap) -> Result<ClientIdentity, EstError> {
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
