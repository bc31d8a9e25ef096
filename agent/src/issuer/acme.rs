//! Certificates of a CA that speaks ACME (RFC 8555), public or private.
//!
//! ```text
//! DIRECTORY/                   0700
//!     account-DIGEST.json      0600  the account at one directory address: its key, and what it was told
//!     order-CERTIFICATE.json   0600  an order that is not finished
//! ```
//!
//! Owns the way from an order to a chain: account, order, proofs, finalization. The library below it
//! (`instant-acme`) signs and parses; what it lacks (deadlines, limits, Retry-After, sentences) is in
//! [`super::https`] and here. An order that was interrupted is gone on with, also one that the CA was given to sign
//! when the same certificate request is brought again; by another one, a new order is begun. It must
//! never show an account's key, and never believes a token without looking at it: tokens become file names.

mod account;
mod advice;
mod challenge;
mod check;
mod dns01;
mod error;
mod http01;
mod keys;
mod order;
mod responder;
mod revoke;
mod rollover;
#[cfg(test)]
mod tests;
mod tls_alpn01;
mod transport;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use instant_acme::{Identifier, Problem};
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::names::San;
use renewd_core::request::Request;
use renewd_core::supply::Advice;
use rustls_pki_types::CertificateDer;

use super::challenges::Challenges;
use super::https::{self, Trust};
use super::kept::Directory;
use super::program::Surroundings;
use super::{Finding, IssueError, Issuer, Order, Revocation, Sent};
use crate::secret::{Secret, Secrets};
use account::Accounts;
use error::AcmeError;
use transport::Transport;

pub use challenge::Challenge;
use challenge::Placed;
use dns01::Records;
pub use dns01::{By, Dns01, TsigAlgorithm, Update};
pub use keys::KIND;

/// How long one try may take in all, however many answers a CA spreads it over.
const WHOLE: Duration = Duration::from_secs(600);

/// How an ACME CA is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The address of its directory.
    pub directory: String,
    /// What its server is verified against.
    pub ca: Trust,
    /// What its certificates must chain to.
    pub trust: Trust,
    /// The way to it, where it is not direct.
    pub proxy: Option<String>,
    /// Where the CA may write to: `mailto:` addresses.
    pub contact: Vec<String>,
    /// Its terms of service were agreed to.
    pub terms_agreed: bool,
    /// The account that the CA keeps already, by which it knows us.
    pub external_account: Option<ExternalAccount>,
    /// How it is shown that names are ours.
    pub challenge: Challenge,
    /// Which of the CA's profiles is asked for.
    pub profile: Option<String>,
}

/// An external account binding (RFC 8555, section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's identifier.
    pub key_id: String,
    /// Where the key is, as base64url text.
    pub key: Secret,
}

/// An ACME CA. Made without touching the network.
pub struct AcmeIssuer {
    directory: PathBuf,
    settings: AcmeSettings,
    secrets: Secrets,
    challenges: Arc<Challenges>,
    records: Option<Records>,
    accounts: Accounts,
    patience: Duration,
    whole: Duration,
    /// What is still up from before a restart.
    _before: Vec<Placed>,
}

impl AcmeIssuer {
    /// A CA whose account and orders are kept in `directory`, which this process alone must use; `challenges` is
    /// what the responders answer from, and programs run in `surroundings`.
    pub fn new(
        directory: impl Into<PathBuf>,
        settings: AcmeSettings,
        secrets: Secrets,
        challenges: Arc<Challenges>,
        surroundings: &Surroundings,
    ) -> Self {
        let directory = directory.into();
        let records = match &settings.challenge {
            Challenge::Dns01(dns) => Some(Records::new(dns, &secrets, surroundings)),
            Challenge::Http01 { .. } | Challenge::TlsAlpn01 => None,
        };
        Self {
            _before: still_asked_for(&directory, &settings.challenge, &challenges),
            records,
            directory,
            settings,
            secrets,
            challenges,
            accounts: Accounts::default(),
            patience: order::PATIENCE,
            whole: WHOLE,
        }
    }

    fn kept(&self) -> Result<Directory, AcmeError> {
        let owner = nix::unistd::geteuid().as_raw();
        Directory::open(&self.directory, owner).map_err(AcmeError::Kept)
    }

    fn transport(&self) -> Result<Transport, AcmeError> {
        Transport::new(&self.settings)
    }

    async fn obtain(&self, order: Order<'_>) -> Result<Answer, AcmeError> {
        // Before anything is asked of the CA: its limits count what is begun.
        self.settings.challenge.can_be_answered(&self.challenges)?;
        let tried = tokio::time::timeout(self.whole, self.try_to_obtain(order)).await;
        tried.unwrap_or(Err(AcmeError::Late(None)))
    }

    async fn try_to_obtain(&self, order: Order<'_>) -> Result<Answer, AcmeError> {
        let identifiers = identifiers(order)?;
        let transport = self.transport()?;
        let account = self.accounts.open(self, &transport).await?;
        let outcome = order::obtain(self, &transport, &account, order, &identifiers).await;
        match outcome {
            // The CA lost it, or was set up anew: there is nothing to be gone on with.
            Err(AcmeError::Refused { problem, .. })
                if is(&problem, "accountDoesNotExist")
                    && self.accounts.forget(self, account.id()).await? =>
            {
                let account = self.accounts.open(self, &transport).await?;
                order::obtain(self, &transport, &account, order, &identifiers).await
            }
            outcome => outcome,
        }
    }
}

impl Issuer for AcmeIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move {
            self.obtain(order).await.map_err(|error| {
                let error = IssueError::from(error);
                match error.sent() {
                    Sent::Refused if order::is_with_the_ca(self, order) => {
                        error.with_the_request(Sent::Open)
                    }
                    _ => error,
                }
            })
        })
    }

    fn signs_later(&self) -> bool {
        true
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async { Ok(https::anchors(&self.settings.trust)?) })
    }

    fn revoke<'a>(&'a self, revocation: Revocation<'a>) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async move { Ok(revoke::revoke(self, revocation).await?) })
    }

    fn rollover<'a>(&'a self) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async move { Ok(rollover::rollover(self).await?) })
    }

    fn check<'a>(&'a self, _requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(check::of(self))
    }

    fn advises(&self) -> bool {
        true
    }

    fn advice<'a>(
        &'a self,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<Advice>, IssueError>> {
        Box::pin(async move { Ok(advice::of(self, leaf).await?) })
    }
}

/// Puts up again what a CA may ask for since before a restart: it counts a wrong answer against the order, and an
/// order against its limits. What cannot be read is told by the next order. What nobody asks for any more is removed.
fn still_asked_for(
    directory: &Path,
    challenge: &Challenge,
    challenges: &Arc<Challenges>,
) -> Vec<Placed> {
    // It is made when the first order is.
    if !directory.exists() {
        return Vec::new();
    }
    let owner = nix::unistd::geteuid().as_raw();
    let Ok(kept) = Directory::open(directory, owner) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let texts = files
        .filter(|file| order::is_kept_in(file))
        .filter_map(|file| {
            let text = kept.read(&file).ok().flatten()?;
            let past = order::is_past(&text, Timestamp::now());
            // What cannot be removed is in nobody's way; there is another start.
            if past {
                kept.remove(&file).ok().and(None)
            } else {
                Some(text)
            }
        });
    texts
        .map(|text| order::proofs(&text, &challenge.to_string()))
        .filter_map(|proofs| Placed::again(challenges, challenge, &proofs))
        .collect()
}

/// The names as ACME knows them; the configuration lets no others through.
fn identifiers(order: Order<'_>) -> Result<Vec<Identifier>, AcmeError> {
    let each = order.request.names.iter().map(|name| match name {
        San::Dns(name) => Ok(Identifier::Dns(name.clone())),
        San::Ip(address) => Ok(Identifier::Ip(*address)),
        San::Uri(uri) => Err(AcmeError::protocol(
            "the order",
            format!("no name for ACME: {uri}"),
        )),
    });
    each.collect()
}

/// Whether a problem is of that type (RFC 8555, section 6.7).
fn is(problem: &Problem, kind: &str) -> bool {
    problem
        .r#type
        .as_deref()
        .and_then(|text| text.strip_prefix("urn:ietf:params:acme:error:"))
        == Some(kind)
}
