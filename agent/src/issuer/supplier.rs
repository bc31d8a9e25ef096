//! Issuers that make the keys themselves: what comes of them is a certificate with its key.
//!
//! Everywhere else the key is made here, and only a request for it goes out. Where the protocol knows no request (the
//! SPIFFE Workload API), an issuer is a [`Supplier`], too, and the lane takes from it what there is.

use futures_util::future::BoxFuture;
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::IssueError;
use crate::keys::PrivateKey;

/// What is wanted of a supplier.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Which managed certificate it is for.
    pub certificate: &'a CertificateName,
    /// What is asked for.
    pub request: &'a Request,
    /// The leaves that were had for this request already: none of them is wanted again.
    pub known: &'a [Fingerprint],
}

/// An identity that came with its key. Nothing in it is believed yet.
#[derive(Debug)]
pub struct Supplied {
    /// The key that the leaf is said to be for.
    pub key: PrivateKey,
    /// Leaf and chain.
    pub answer: Answer,
    /// What the leaf must chain to.
    pub anchors: Vec<CertificateDer<'static>>,
    /// What peers should trust: those anchors, and whatever else the operator wants of the issuer.
    pub bundle: Vec<CertificateDer<'static>>,
}

/// An issuer that makes the keys.
pub trait Supplier: Send + Sync {
    /// Gives what it has that is not known yet.
    fn supply<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Supplied, IssueError>>;

    /// Whether it has something that is not known yet. Asks nobody.
    fn has_another(&self, wanted: Wanted<'_>) -> bool;

    /// Changes whenever something else has come: an identity, or anchors.
    fn news(&self) -> watch::Receiver<u64>;
}
