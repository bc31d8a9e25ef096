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
use zeroize::Zeroizing;

use super::super::https::ClientIdentity;
use super::super::{HeldIdentity, Order};
use super::attributes::Wanted;
use super::conversation::Conversation;
use super::error::{EstError, Shown};
use super::{Bootstrap, Denied, EstIssuer, certificates};
use crate::journal::{self, Event};

/// A certificate with its chain has a few thousand.
const MOST_BYTES: u64 = 64 * 1024;

/// By what the operator provides (RFC 7030, section 4.2.1).
pub(super) const ENROLL: &str = "simpleenroll";
/// By the certificate that is held (section 4.2.2).
pub(super) const REENROLL: &str = "simplereenroll";
/// In the last one of as many parts of a leaf's life, a renewal that is not refused is not waited for.
const PARTS: i32 = 6;
/// Sentences that are remembered to have been said.
const MOST_SAID: usize = 32;

impl EstIssuer {
    pub(super) async fn obtain(&self, order: Order<'_>) -> Result<Answer, EstError> {
        if self.known().is_empty() {
            self.learn().await?;
        }
        if let Some(wishes) = self.wishes(order.request).await? {
            self.note(order.certificate, wishes);
        }
        let held = order.identity.filter(|held| renews(held, order.request));
        let Some(held) = held else {
            return self.enroll(order).await;
        };
        let renewal = match self.renew(order, held).await {
            Err(error) if error.is_refusal() => error,
            // There may be no time left to wait until it is well: what else there is, is tried.
            Err(error) if (error.is_trouble() || error.is_unreachable()) && ends_soon(held) => {
                error
            }
            outcome => return outcome,
        };
        journal::emit(&Event::IssuerWarning {
            certificate: order.certificate.clone(),
            warning: format!("{renewal}; {}; it is enrolled anew", renewal.remedy()),
        });
        let enrolled = self.enroll(order).await;
        enrolled.map_err(|enrolment| EstError::Unrenewed {
            renewal: Box::new(renewal),
            enrolment: Box::new(enrolment),
        })
    }

    /// What the CA wants of requests and does not get, in a sentence. That is advice (section 4.5): a CA that cannot give it may
    /// sign all the same.
    pub(super) async fn wishes(&self, request: &Request) -> Result<Option<String>, EstError> {
        let conversation = self.unknown()?;
        let unknown = |error: EstError| {
            format!("what the CA wants in certificate requests is not known: {error}")
        };
        let wanted = match conversation.csrattrs().await {
            Err(error) if error.is_trouble() => return Ok(Some(unknown(error))),
            wanted => wanted?,
        };
        let at = conversation.at("csrattrs");
        let wanted = match Wanted::of(&wanted) {
            Err(why) => return Ok(Some(unknown(EstError::Answer { at, why }))),
            Ok(wanted) => wanted,
        };
        let ignored = wanted.judge(request);
        let ignored = ignored.map_err(|unwanted| EstError::Attributes { at, unwanted })?;
        Ok((!ignored.is_empty()).then(|| {
            format!(
                "the CA wants in certificate requests what renewd does not put there: {}; if it refuses them, this is why",
                ignored.join(", ")
            )
        }))
    }

    async fn renew(&self, order: Order<'_>, held: &HeldIdentity) -> Result<Answer, EstError> {
        let identity = ClientIdentity::held(held)?;
        let anchors = self.explicit()?;
        let conversation =
            Conversation::new(&self.settings, &anchors, Some(&identity), Shown::Current)?;
        let answered = conversation.enroll(REENROLL, order.csr).await?;
        self.answer(&conversation.at(REENROLL), order, answered)
    }

    async fn enroll(&self, order: Order<'_>) -> Result<Answer, EstError> {
        let (login, bootstrap) = (&self.settings.login, &self.settings.bootstrap);
        let shown = match (bootstrap, login) {
            (None, None) => Shown::Nothing,
            (None, Some(_)) => Shown::Password,
            (Some(_), None) => Shown::Bootstrap,
            (Some(_), Some(_)) => Shown::BootstrapAndPassword,
        };
        let identity = bootstrap.as_ref().map(|files| self.bootstrap(files));
        let (identity, certificate) = identity.transpose()?.unzip();
        let anchors = self.explicit()?;
        let mut conversation =
            Conversation::new(&self.settings, &anchors, identity.as_ref(), shown)?;
        let mut digest = None;
        if let Some(login) = login {
            let password = self.secrets.read(&login.password);
            let password = password.map_err(EstError::Secret)?;
            let password = password.trim_end_matches(['\r', '\n']);
            let digest = digest.insert(digest_of(password, certificate.as_ref()));
            self.may_show(digest, shown)?;
            conversation.log_in(&login.username, password);
        }
        let answered = conversation.enroll(ENROLL, order.csr).await;
        if let (Err(EstError::Unauthorized { at, challenge, .. }), Some(digest)) =
            (&answered, digest)
        {
            let (at, challenge) = (at.clone(), challenge.clone());
            let denied = Denied {
                digest,
                at,
                challenge,
            };
            *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(denied);
        }
        self.answer(&conversation.at(ENROLL), order, answered?)
    }

    /// Fails as the server did where it did not take the same before.
    fn may_show(&self, digest: &Fingerprint, shown: Shown) -> Result<(), EstError> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        match denied.as_ref().filter(|denied| denied.digest == *digest) {
            None => Ok(()),
            Some(denied) => Err(EstError::Unauthorized {
                at: denied.at.clone(),
                shown,
                challenge: denied.challenge.clone(),
            }),
        }
    }

    /// The identity, and the digest of its certificate.
    pub(super) fn bootstrap(
        &self,
        files: &Bootstrap,
    ) -> Result<(ClientIdentity, Fingerprint), EstError> {
        let unusable = |why: String| EstError::Bootstrap {
            path: files.certificate.clone(),
            why,
        };
        let certificate = read(&files.certificate).map_err(|error| unusable(error.to_string()))?;
        let key = self.secrets.read(&files.key).map_err(EstError::Secret)?;
        let identity = ClientIdentity::from_pem(&certificate, &key);
        let identity = identity.map_err(|error| unusable(error.to_string()))?;
        Ok((identity, Fingerprint::of(certificate.as_bytes())))
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

    /// Says a sentence once.
    fn note(&self, certificate: &CertificateName, sentence: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.contains(&sentence) {
            return;
        }
        if said.len() >= MOST_SAID {
            said.clear();
        }
        journal::emit(&Event::IssuerWarning {
            certificate: certificate.clone(),
            warning: sentence.clone(),
        });
        said.push(sentence);
    }
}

fn digest_of(password: &str, certificate: Option<&Fingerprint>) -> Fingerprint {
    let certificate = certificate.map_or(&[][..], |digest| digest.as_bytes());
    let mut all = Zeroizing::new(Vec::with_capacity(certificate.len() + password.len()));
    all.extend_from_slice(certificate);
    all.extend_from_slice(password.as_bytes());
    Fingerprint::of(&all)
}

/// Whether it is in the last part of its life.
fn ends_soon(held: &HeldIdentity) -> bool {
    LeafFacts::from_der(&held.leaf).is_ok_and(|facts| {
        let life = held.not_after.duration_since(facts.not_before);
        held.not_after.duration_since(Timestamp::now()) <= life / PARTS
    })
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
