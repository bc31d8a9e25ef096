//! Certificates of step-ca, by its own protocol.
//!
//! ```text
//! DIRECTORY/        0700
//!     root.pem      0600  the root that the pinned fingerprint is of, once it was fetched
//! ```
//!
//! Owns the ways to a certificate. The first one comes by a one-time token, which the operator provides or which is
//! signed here by a provisioner's key; each further one by the certificate in use, over mutual TLS and for a fresh key
//! (`/rekey`); after it has ended, by a token that its key signs, where the CA allows that. Where the CA will have none of
//! it, a new token begins anew. It must never talk to a server that the pinned root does not stand for, but to ask
//! for that root, and never show a token or a key.

mod api;
mod check;
mod error;
mod jws;
mod keys;
mod root;
#[cfg(test)]
mod tests;
mod token;
mod tried;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::leaf::{Fingerprint, LeafFacts};
use renewd_core::request::Request;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::crls::Found;
use super::kind::Clock;
use super::{CrlSources, Crls, Finding, HeldIdentity, IssueError, Issuer, Order, Revocation};
use crate::secret::{Secret, Secrets};
use api::Api;
use error::StepError;
pub use keys::KIND;
use tried::TriedTokens;

/// How a step-ca is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSettings {
    /// Its address: `https://HOST` or `https://HOST:PORT`.
    pub url: String,
    /// What its server, and its certificates, are verified against.
    pub root: Root,
    /// The way to it, where it is not direct.
    pub proxy: Option<String>,
    /// Whether what the CAs chain to that it is federated with is to be trusted, too.
    pub federation: bool,
    /// Where revocation lists are had from.
    pub crl: CrlSources,
    /// What it lets us in by.
    pub admission: Admission,
}

/// The root that the operator pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// By its SHA-256: the CA itself is asked for it, once.
    Fingerprint(Fingerprint),
    /// In a file (PEM).
    File(PathBuf),
}

/// What a first certificate is had by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// One-time tokens that somebody else signed, one a line.
    Token(Secret),
    /// A provisioner's key, by which any token can be signed.
    Provisioner {
        /// As the CA calls it.
        name: String,
        /// Its key, as JWK or as PEM.
        key: Secret,
    },
}

/// A step-ca. Made without touching the network.
pub struct StepIssuer {
    directory: PathBuf,
    settings: StepSettings,
    secrets: Secrets,
    clock: Clock,
    /// What it stood for when it was last asked: whose leaves it knows as its own.
    anchors: Mutex<Vec<CertificateDer<'static>>>,
    tried: TriedTokens,
}

impl StepIssuer {
    /// A CA whose root is kept in `directory`, which this process alone must use.
    pub fn new(
        directory: impl Into<PathBuf>,
        settings: StepSettings,
        secrets: Secrets,
        clock: Clock,
    ) -> Self {
        Self {
            directory: directory.into(),
            settings,
            secrets,
            clock,
            anchors: Mutex::new(Vec::new()),
            tried: TriedTokens::default(),
        }
    }

    /// The pinned root as PEM, for `renewctl ca root`: asks nobody.
    ///
    /// # Errors
    /// When it was not fetched yet, or its file cannot be read.
    pub fn root_pem(directory: &Path, settings: &StepSettings) -> Result<String, IssueError> {
        Ok(root::pem(directory, settings)?)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    async fn offered(&self) -> Result<Vec<CertificateDer<'static>>, StepError> {
        let pinned = root::pinned(self).await?;
        let mut offered = pinned.clone();
        let api = Api::new(self, pinned, None)?;
        let mut further = api.roots().await?;
        if self.settings.federation {
            further.extend(api.federation().await?);
        }
        for root in further {
            if !offered.contains(&root) {
                offered.push(root);
            }
        }
        *self.held() = offered.clone();
        Ok(offered)
    }

    async fn lists(&self) -> Result<Found, StepError> {
        let pinned = root::pinned(self).await?;
        let api = Api::new(self, pinned, None)?;
        let lists = api.crl().await?;
        // Older ones do not tell them: then those of the own chain count.
        let authorities = api.intermediates().await.unwrap_or_default();
        Ok(Found { lists, authorities })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<CertificateDer<'static>>> {
        // A list is replaced whole.
        self.anchors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn obtain(&self, order: Order<'_>) -> Result<Answer, StepError> {
        let pinned = root::pinned(self).await?;
        let identity = order
            .identity
            .filter(|identity| self.is_renewable(identity, order.request));
        let Some(identity) = identity else {
            return self.admitted(order, pinned).await;
        };
        match self.renewed(order, identity, pinned.clone()).await {
            Err(refused) if refused.is_of_the_renewal() => self
                .admitted(order, pinned)
                .await
                .map_err(|admission| StepError::Unrenewed {
                    refused: Box::new(refused),
                    admission: Box::new(admission),
                }),
            renewed => renewed,
        }
    }

    /// Whether the CA would make of it what is asked for now: a renewal has the names, the usages and the life of
    /// what it renews.
    fn is_renewable(&self, identity: &HeldIdentity, asked: &Request) -> bool {
        let Ok(facts) = LeafFacts::from_der(&identity.leaf) else {
            return false;
        };
        let mut names: Vec<String> = asked.names.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        let usages = (facts.usages.server || !asked.usages.server)
            && (facts.usages.client || !asked.usages.client);
        // A provided token is used up: then a life that is not the one asked for is better than none.
        let life = matches!(self.settings.admission, Admission::Token(_)) || lasts(&facts, asked);
        facts.names == names && usages && life && self.is_ours(identity, &facts)
    }

    /// Whether this CA issued it, and it is one that can be shown to a server.
    fn is_ours(&self, identity: &HeldIdentity, facts: &LeafFacts) -> bool {
        let held = self.held().clone();
        let anchors: Vec<_> = held
            .iter()
            .filter_map(|root| anchor_from_trusted_cert(root).ok())
            .collect();
        let Ok(leaf) = EndEntityCert::try_from(&identity.leaf) else {
            return false;
        };
        // While it is or was valid, whatever our clock says: that is the CA's to judge.
        let at = self.now().max(facts.not_before).min(facts.not_after);
        let at = at.as_second();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(at).unwrap_or(0),
        ));
        let usage = KeyUsage::client_auth();
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &identity.chain,
            at,
            usage,
            None,
            None,
        )
        .is_ok()
    }

    /// By the certificate in use.
    async fn renewed(
        &self,
        order: Order<'_>,
        identity: &HeldIdentity,
        pinned: Vec<CertificateDer<'static>>,
    ) -> Result<Answer, StepError> {
        if self.now() < identity.not_after {
            let shown = Some((identity.into(), &identity.key));
            let api = Api::new(self, pinned.clone(), shown)?;
            match api.rekey(order.csr).await {
                // By the CA's clock.
                Err(error) if error.is_of_the_end() => {}
                renewed => return renewed,
            }
        }
        // No server lets an ended one in, but the CA may prolong it for its key: what can be shown then is exchanged for
        // one of the fresh key.
        let token = token::renewal(self, identity)?;
        let prolonged = Api::new(self, pinned.clone(), None)?.renew(&token).await?;
        let api = Api::new(self, pinned, Some(((&prolonged).into(), &identity.key)));
        let rekeyed = match api {
            Ok(api) => api.rekey(order.csr).await,
            Err(error) => Err(error),
        };
        rekeyed.map_err(StepError::after_an_issuance)
    }

    /// By a one-time token.
    async fn admitted(
        &self,
        order: Order<'_>,
        pinned: Vec<CertificateDer<'static>>,
    ) -> Result<Answer, StepError> {
        let api = Api::new(self, pinned, None)?;
        let token = token::admission(self, order.request)?;
        let signed = api.sign(order.csr, &token, order.request.lifetime).await;
        signed.map_err(|error| match &self.settings.admission {
            Admission::Token(place) => self.tried.note(&token, &place.to_string(), error),
            Admission::Provisioner { .. } => error,
        })
    }

    async fn revoked(&self, revocation: Revocation<'_>) -> Result<(), StepError> {
        let pinned = root::pinned(self).await?;
        let facts = LeafFacts::from_der(revocation.leaf)
            .map_err(|error| StepError::protocol("the leaf", error))?;
        let serial = format!("0x{}", facts.serial);
        let code = revocation.reason.code();
        let now = self.now();
        match (revocation.identity, &self.settings.admission) {
            (Some(identity), _) if now < identity.not_after => {
                let api = Api::new(self, pinned, Some((identity.into(), &identity.key)))?;
                api.revoke(&serial, code, None).await
            }
            (_, Admission::Provisioner { .. }) => {
                let token = token::revocation(self, revocation.leaf)?;
                let api = Api::new(self, pinned, None)?;
                api.revoke(&serial, code, Some(&token)).await
            }
            _ => Err(StepError::NothingToRevokeBy { serial }),
        }
    }
}

/// Whether a leaf's life is the one asked for, give or take what CAs date back.
fn lasts(facts: &LeafFacts, asked: &Request) -> bool {
    let life = facts.not_after.duration_since(facts.not_before).as_secs();
    let asked = i64::try_from(asked.lifetime.as_secs()).unwrap_or(i64::MAX);
    (asked..=asked.saturating_add(asked / 10).saturating_add(600)).contains(&life)
}

impl Issuer for StepIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move { Ok(self.obtain(order).await?) })
    }

    fn shows_identity(&self) -> bool {
        true
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async move { Ok(self.offered().await?) })
    }

    fn crls<'a>(&'a self) -> BoxFuture<'a, Option<Crls>> {
        Box::pin(async {
            let mut crls = self.settings.crl.begin().await?;
            if self.settings.crl.issuer {
                crls.add(self.lists().await.map_err(IssueError::from));
            }
            Some(crls)
        })
    }

    fn revoke<'a>(&'a self, revocation: Revocation<'a>) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async move { Ok(self.revoked(revocation).await?) })
    }

    fn check<'a>(&'a self, requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(check::findings(self, requests))
    }
}
