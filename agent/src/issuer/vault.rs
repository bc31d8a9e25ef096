//! Certificates of the PKI secrets engine of HashiCorp Vault and OpenBao: `MOUNT/sign/ROLE` signs the request, and the
//! key stays here.
//!
//! Owns what is asked of the engine and what its answers become. How we are known there is in [`session`], and
//! what its refusals mean in [`error`]. It must never take an anchor from the answer that it verifies: they are those of a
//! file, of the host, or those that the mount showed before, over a connection that was verified.

mod check;
mod error;
mod keeper;
mod keys;
mod login;
mod memory;
mod pki;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod token;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use renewd_core::accept::Answer;
use renewd_core::pem;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use serde::de::IgnoredAny;

use super::crls::Found;
use super::https::{self, HttpsError, Trust};
use super::{CrlSources, Crls, Finding, IssueError, Issuer, Order, Question, Revocation};
use crate::journal::{self, Event};
use crate::secret::{Secret, Secrets};
use error::VaultError;
pub use keys::KIND;
use pki::{Revoke, Shown, Signed};
use server::Server;
use session::Session;

/// How long one try, a look or a revocation may take in all, its login included.
const WHOLE: Duration = Duration::from_secs(120);
/// The issuer that a mount signs with where its role names no other.
const DEFAULT_ISSUER: &str = "default";

/// How a Vault is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSettings {
    /// The server's address: `https://`, a host, and a port where it is not 443.
    pub address: String,
    /// What the server is verified against.
    pub ca: Trust,
    /// What its certificates must chain to; without, the roots that the mount shows.
    pub trust: Option<Trust>,
    /// The way to it, where it is not direct.
    pub proxy: Option<String>,
    /// The namespace that the mounts are in.
    pub namespace: Option<String>,
    /// Where the PKI secrets engine is mounted.
    pub mount: String,
    /// The role that it signs by.
    pub role: String,
    /// The issuer that it signs with, by its name or identifier, instead of the role's.
    pub issuer_ref: Option<String>,
    /// Where revocation lists are had from. Another CA at the server has a path such as `pki/issuer/default`.
    pub crl: CrlSources,
    /// How we are known there.
    pub auth: Auth,
}

/// How we are known to a Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// By a token that was handed to us.
    Token(Secret),
    /// By a login, for which a token is handed out.
    Login {
        /// Where the method is mounted.
        mount: String,
        /// What is shown there.
        method: Method,
    },
}

/// What is shown at a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// AppRole.
    AppRole {
        /// Which role. No secret.
        role_id: String,
        /// What proves it.
        secret_id: Secret,
    },
    /// A JSON Web Token, which somebody puts into its place anew before it ends.
    Jwt {
        /// Which role, where it is not the method's default.
        role: Option<String>,
        /// The token.
        jwt: Secret,
    },
    /// A TLS client certificate.
    Certificate {
        /// Which role, where it is not any that fits.
        role: Option<String>,
        /// The certificate, and what is between it and its root (PEM).
        certificate: PathBuf,
        /// Its key (PEM).
        key: Secret,
    },
}

/// A PKI mount of a Vault. Made without touching the network.
pub struct VaultIssuer {
    settings: Arc<VaultSettings>,
    session: Session,
    whole: Duration,
}

impl VaultIssuer {
    /// A mount that signs.
    pub fn new(settings: VaultSettings, secrets: Secrets) -> Self {
        let settings = Arc::new(settings);
        Self {
            session: Session::new(Arc::clone(&settings), secrets),
            settings,
            whole: WHOLE,
        }
    }

    async fn in_time<T>(
        &self,
        tried: impl Future<Output = Result<T, VaultError>>,
    ) -> Result<T, IssueError> {
        let tried = tokio::time::timeout(self.whole, tried).await;
        Ok(tried.unwrap_or(Err(VaultError::Late))?)
    }

    async fn obtain(&self, order: Order<'_>) -> Result<Answer, VaultError> {
        let server = Server::new(&self.settings)?;
        let path = self.sign_path();
        let asked = pki::sign(order);
        let token = self.session.token(&server).await?;
        let signed = self.session.post(&server, &token, &path, &asked).await;
        let signed: Option<Signed> = signed.map_err(|error| match error {
            // It was answered as a request that was signed is.
            VaultError::Protocol { why, .. } => VaultError::Spent(why),
            VaultError::Https(error @ HttpsError::TooLong { .. }) => {
                VaultError::Spent(error.to_string())
            }
            error => error,
        })?;
        let signed = signed.ok_or_else(|| VaultError::Spent("the answer has none".into()))?;
        if let Some(warning) = self.session.warning(&token, order.request.lifetime) {
            journal::emit(&Event::IssuerWarning {
                certificate: order.certificate.clone(),
                warning,
            });
        }
        pki::answer(&signed).map_err(VaultError::Spent)
    }

    fn sign_path(&self) -> String {
        let VaultSettings { mount, role, .. } = &*self.settings;
        match &self.settings.issuer_ref {
            Some(issuer) => format!("{mount}/issuer/{issuer}/sign/{role}"),
            None => format!("{mount}/sign/{role}"),
        }
    }

    fn issuer_path(&self) -> String {
        let issuer = self.settings.issuer_ref.as_deref();
        let issuer = issuer.unwrap_or(DEFAULT_ISSUER);
        format!("{}/issuer/{issuer}", self.settings.mount)
    }

    async fn lists(&self, path: &str) -> Result<Found, VaultError> {
        let server = Server::new(&self.settings)?;
        let lists = server.crl(path).await?;
        // Whoever signed it stands in its own chain.
        let shown: Shown = server.get(&format!("{path}/json"), None).await?;
        let authorities = pki::parsed(shown.ca_chain.iter()).unwrap_or_default();
        Ok(Found { lists, authorities })
    }

    /// The roots that the mount shows to anybody, for the issuer that signs.
    async fn roots(&self) -> Result<Vec<CertificateDer<'static>>, VaultError> {
        let server = Server::new(&self.settings)?;
        let path = format!("{}/json", self.issuer_path());
        let shown: Shown = server.get(&path, None).await?;
        let mut roots = pki::parsed(shown.ca_chain.iter()).map_err(|why| VaultError::Protocol {
            path: path.clone(),
            why,
        })?;
        roots.retain(|certificate| pki::is_self_signed(certificate));
        if roots.is_empty() {
            return Err(VaultError::NoRoot { path });
        }
        Ok(roots)
    }

    async fn undo(&self, revocation: Revocation<'_>) -> Result<(), VaultError> {
        let server = Server::new(&self.settings)?;
        let path = format!("{}/revoke", self.settings.mount);
        // By the certificate, not by its number alone: so it can be one that a role with `no_store` issued.
        let revoke = Revoke {
            certificate: pem::certificate(revocation.leaf),
        };
        let token = self.session.token(&server).await?;
        let revoked = self.session.post(&server, &token, &path, &revoke).await;
        let _when: Option<IgnoredAny> = revoked?;
        Ok(())
    }
}

impl Issuer for VaultIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(self.in_time(self.obtain(order)))
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        // Asked for from the start on, also where no certificate is due for long: a token must not end meanwhile.
        self.session.keep();
        Box::pin(async {
            match &self.settings.trust {
                Some(trust) => Ok(https::anchors(trust)?),
                None => Ok(self.roots().await?),
            }
        })
    }

    fn crls<'a>(&'a self) -> BoxFuture<'a, Option<Crls>> {
        Box::pin(async {
            let sources = &self.settings.crl;
            let mut crls = sources.begin().await?;
            let own = sources.issuer.then(|| self.issuer_path());
            for path in own.iter().chain(&sources.others) {
                crls.add(self.in_time(self.lists(path)).await);
            }
            Some(crls)
        })
    }

    fn revoke<'a>(&'a self, revocation: Revocation<'a>) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(self.in_time(self.undo(revocation)))
    }

    fn check<'a>(&'a self, _requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async {
            let mut found = Vec::new();
            let look = check::look(self, &mut found);
            if tokio::time::timeout(self.whole, look).await.is_err() {
                let question = match found.len() {
                    0 => Question::Reachable,
                    1..3 => Question::Authenticated,
                    _ => Question::MayIssue,
                };
                found.push(Finding::no(question, &VaultError::Late.into()));
            }
            found
        })
    }
}
