//! Issuers: who is asked for certificates.
//!
//! Owns the one trait that every kind of CA is behind, and the words in which it fails. An issuer gets
//! a certificate request, never a key, and is never believed: whatever it answers goes through
//! [`renewd_core::accept`]. One that makes the keys itself is a [`Supplier`], too.
//!
//! To add one: a module here, which has all of it ([`kind::Kind`]: its keys, its settings, its protocol), and its line in
//! [`crate::kinds`]. Kinds know the modules beside them ([`https`], [`program`], …), and never each other.

mod challenges;
mod crls;
#[cfg(test)]
pub(crate) mod fake;
mod found;
#[cfg(test)]
pub(crate) mod gate;
pub mod https;
mod kept;
pub mod kind;
mod places;
pub mod program;
mod supplier;

// The kinds: each has its line in `crate::kinds`, but for the one that the documentation shows.
pub mod acme;
pub mod est;
#[cfg(test)]
pub mod example;
pub mod exec;
pub mod local;
pub mod spiffe;
pub mod step;
pub mod vault;

pub use challenges::Challenges;
pub use crls::{CrlSources, Crls};
pub use found::{Finding, Is, Question};
pub use supplier::{Supplied, Supplier, Wanted};

use std::error::Error;
use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::names::CertificateName;
use renewd_core::request::Request;
use renewd_core::revocation::Reason;
use renewd_core::supply::Advice;
use rustls_pki_types::CertificateDer;

use crate::keys::PrivateKey;

/// One certificate, asked for.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Which managed certificate it is for.
    pub certificate: &'a CertificateName,
    /// What is asked for.
    pub request: &'a Request,
    /// The certificate request in DER, signed by the key that the certificate is for.
    pub csr: &'a [u8],
    /// The newest leaf that was issued for it, which the one asked for is to take the place of. It may be another
    /// CA's, from before the configuration named this one.
    pub replaces: Option<&'a CertificateDer<'static>>,
    /// What is held of this CA's, with its chain and key, for an issuer that [shows](Issuer::shows_identity) it: that leaf,
    /// or an older one where that one was taken back.
    pub identity: Option<&'a HeldIdentity>,
}

/// What a certificate's holder can show of itself to a CA that renews over mutual TLS.
#[derive(Debug)]
pub struct HeldIdentity {
    /// The leaf. It may be expired, and another CA's.
    pub leaf: CertificateDer<'static>,
    /// What stands between it and its anchor.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key. It never leaves the TLS connection that it proves the possession of.
    pub key: PrivateKey,
    /// When the leaf ends.
    pub not_after: Timestamp,
}

/// A certification authority.
pub trait Issuer: Send + Sync {
    /// Asks for a certificate.
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>>;

    /// Where it makes the keys itself: then it is asked by this, and never to sign a request.
    fn supplier(&self) -> Option<&dyn Supplier> {
        None
    }

    /// Whether it renews over mutual TLS: then an order brings the [identity](Order::identity) that is held.
    fn shows_identity(&self) -> bool {
        false
    }

    /// Whether it may sign what it was asked for while we are away: then key and request are on disk before it is asked,
    /// until what it answered is there, too. Brought the same request again it gives the same answer, if it can.
    fn signs_later(&self) -> bool {
        false
    }

    /// Whether it compares the subject of a renewal's request with that of the certificate that is renewed.
    fn compares_subject(&self) -> bool {
        false
    }

    /// The CA certificates that the issuer stands for now: what peers should trust. Asked for before
    /// [`Issuer::issue`], since an answer is verified against what was held before it came.
    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>>;

    /// The revocation lists that belong beside those: `None` where it is to bring none. They are judged by their
    /// signatures, wherever they come from.
    fn crls<'a>(&'a self) -> BoxFuture<'a, Option<Crls>> {
        Box::pin(async { None })
    }

    /// Revokes a leaf of its; one that is revoked already is revoked.
    fn revoke<'a>(&'a self, _revocation: Revocation<'a>) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async {
            Err(IssueError::new(
                "no-revocation",
                Retry::Operator,
                "this kind of issuer has no way to ask for a revocation",
                "revoke it at the CA",
            ))
        })
    }

    /// Gives the account at the CA another key; the one before is of no use from then on.
    fn rollover<'a>(&'a self) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async {
            Err(IssueError::new(
                "no-rollover",
                Retry::Operator,
                "this kind of issuer has no account whose key could be changed",
                "change its credentials where they are kept",
            ))
        })
    }

    /// What can be found of the CA without asking it for a certificate; `requests` are those of the certificates
    /// that name it. Changes nothing at the CA but what a login leaves behind. A question that it has no answer to may be
    /// [left out](Finding::of_every_question).
    fn check<'a>(&'a self, _requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async {
            let reachable = match self.anchors().await {
                Ok(anchors) => Finding::yes(
                    Question::Reachable,
                    format!("{} CA certificates", anchors.len()),
                ),
                Err(error) => Finding::no(Question::Reachable, &error),
            };
            vec![reachable]
        })
    }

    /// Whether it may say when a leaf should be renewed: then it is asked for its [`Issuer::advice`].
    fn advises(&self) -> bool {
        false
    }

    /// When it wants a leaf of its to be renewed; `None` when it has nothing to say, and needs not be asked again.
    fn advice<'a>(
        &'a self,
        _leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<Advice>, IssueError>> {
        Box::pin(async { Ok(None) })
    }
}

/// A leaf that is to be revoked.
#[derive(Debug, Clone, Copy)]
pub struct Revocation<'a> {
    /// The leaf.
    pub leaf: &'a CertificateDer<'static>,
    /// Why.
    pub reason: Reason,
    /// The leaf with its key, for an issuer that [shows](Issuer::shows_identity) it; absent where the key is no longer kept.
    pub identity: Option<&'a HeldIdentity>,
}

/// When to ask again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// At once: the failure has been dealt with.
    Now,
    /// With the schedule's back-off.
    BackOff,
    /// Not before this time has passed; the CA asked for it.
    After(Duration),
    /// Not until the operator has changed something.
    Operator,
}

/// What has become of the certificate request of an order that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sent {
    /// It was not signed, as far as can be known.
    #[default]
    Refused,
    /// The CA may still sign it: the next order for the same must bring this very request. For issuers that
    /// [sign later](Issuer::signs_later).
    Open,
    /// It was signed, and nothing came of it: it counts as an issuance.
    Spent,
}

/// Why no certificate was issued, in words for the operator.
#[derive(Debug)]
pub struct IssueError {
    label: &'static str,
    retry: Retry,
    sent: Sent,
    what: String,
    remedy: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl IssueError {
    /// `what` went wrong, where; `remedy` is the operator's next step; `label` is stable.
    pub fn new(
        label: &'static str,
        retry: Retry,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            label,
            retry,
            sent: Sent::default(),
            what: what.into(),
            remedy: remedy.into(),
            source: None,
        }
    }

    /// With what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With what has become of the certificate request.
    #[must_use]
    pub fn with_the_request(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    /// What has become of the certificate request.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// A stable word for logs, metrics and the record.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// When to ask again.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The operator's next step.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// One line for the operator: what went wrong, its causes, and the next step.
    pub fn operator_text(&self) -> String {
        let mut text = self.what.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        format!("{text}; {}", self.remedy)
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_reads_what_why_and_what_to_do_in_one_line() {
        let error = IssueError::new(
            "read",
            Retry::BackOff,
            "reading /x failed",
            "free some space",
        )
        .caused_by(std::io::Error::other("disk full"));
        assert_eq!(error.to_string(), "reading /x failed");
        assert_eq!(
            error.operator_text(),
            "reading /x failed: disk full; free some space"
        );
    }
}
