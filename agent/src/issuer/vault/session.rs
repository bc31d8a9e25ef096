//! How we are known to a Vault: by a token that was handed to us and is kept alive, or by one that a login gave.
//!
//! A login's token is in memory alone, and used by all certificates of this issuer until a third of its life is left; then
//! the next use logs in again. One that was handed to us cannot be had again, so it is renewed in time, whether or not a
//! certificate is due ([`Session::keep`]).

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::https::{ClientIdentity, Https, HttpsError, Peer};
use super::error::VaultError;
use super::server::{Granted, Server, Token};
use super::token::{self, Tended};
use super::{Auth, Method, VaultSettings};
use crate::secret::{Secret, Secrets};

/// When a token is looked at again whose server could not be asked.
const AGAIN: Duration = Duration::from_secs(60);

/// A token for now.
pub(super) struct Ready {
    token: Arc<Token>,
    /// Whether it comes from before: another one may be had.
    kept: bool,
    /// How it stands, where it was handed to us, and whereto another one is put.
    handed: Option<(Tended, Secret)>,
}

struct Kept {
    token: Arc<Token>,
    /// From when on another one is asked for.
    until: Option<Instant>,
}

/// Our standing with one server.
pub(super) struct Session {
    shared: Arc<Shared>,
    keeper: OnceLock<AbortHandle>,
}

struct Shared {
    settings: Arc<VaultSettings>,
    secrets: Secrets,
    /// Held while logging in: certificates that are due together need one login.
    login: Mutex<Option<Kept>>,
}

#[derive(Serialize)]
struct AppRole<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Jwt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    jwt: &'a str,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl Ready {
    /// What should be known of its end where certificates are renewed within `lifetime`.
    pub(super) fn warning(&self, lifetime: Duration) -> Option<String> {
        let (tended, place) = self.handed.as_ref()?;
        tended.warning(lifetime, place)
    }
}

impl Session {
    pub(super) fn new(settings: Arc<VaultSettings>, secrets: Secrets) -> Self {
        let shared = Arc::new(Shared {
            settings,
            secrets,
            login: Mutex::default(),
        });
        Self {
            shared,
            keeper: OnceLock::new(),
        }
    }

    /// Keeps a token alive that was handed to us, from now on and as long as this lives.
    pub(super) fn keep(&self) {
        if let Auth::Token(place) = &self.shared.settings.auth {
            self.keeper.get_or_init(|| {
                let (shared, place) = (Arc::clone(&self.shared), place.clone());
                tokio::spawn(async move { shared.keep(&place).await }).abort_handle()
            });
        }
    }

    /// A token that was not refused yet.
    pub(super) async fn token(&self, server: &Server) -> Result<Ready, VaultError> {
        match &self.shared.settings.auth {
            Auth::Token(place) => {
                let token = self.shared.handed(place)?;
                let handed = match token::tend(server, &token).await {
                    Ok(tended) => Some((tended, place.clone())),
                    // It may be without the policy that lets it look at itself.
                    Err(VaultError::Denied { .. }) => None,
                    Err(error) => return Err(error),
                };
                Ok(Ready {
                    token: Arc::new(token),
                    kept: false,
                    handed,
                })
            }
            Auth::Login { mount, method } => self.login(server, mount, method).await,
        }
    }

    /// Asks for something with a token; with a fresh one again if a kept one was denied it, for a server may have
    /// forgotten it.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        server: &Server,
        ready: Ready,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Option<T>, VaultError> {
        match server.post(path, Some(&ready.token), body).await {
            Err(VaultError::Denied { .. }) if ready.kept => {
                self.forget(&ready.token).await;
                let fresh = self.token(server).await?;
                server.post(path, Some(&fresh.token), body).await
            }
            done => done,
        }
    }

    async fn login(
        &self,
        server: &Server,
        mount: &str,
        method: &Method,
    ) -> Result<Ready, VaultError> {
        let mut login = self.shared.login.lock().await;
        if let Some(kept) = &*login
            && kept.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(Ready {
                token: Arc::clone(&kept.token),
                kept: true,
                handed: None,
            });
        }
        let asked = Instant::now();
        let granted = self.shared.ask(server, mount, method).await?;
        let token = Arc::new(Token(Zeroizing::new(granted.client_token)));
        let life = Duration::from_secs(granted.lease_duration);
        *login = Some(Kept {
            token: Arc::clone(&token),
            until: match granted.lease_duration {
                0 => None,
                _ => asked.checked_add(life / 3 * 2),
            },
        });
        Ok(Ready {
            token,
            kept: false,
            handed: None,
        })
    }

    async fn forget(&self, token: &Arc<Token>) {
        let mut login = self.shared.login.lock().await;
        // Another certificate may have logged in meanwhile.
        if login
            .as_ref()
            .is_some_and(|kept| Arc::ptr_eq(&kept.token, token))
        {
            *login = None;
        }
    }
}

impl Shared {
    fn handed(&self, place: &Secret) -> Result<Token, VaultError> {
        Ok(Token(self.read("token", place)?))
    }

    /// A secret, without the line's end that files have.
    fn read(&self, key: &'static str, place: &Secret) -> Result<Zeroizing<String>, VaultError> {
        let read = self.secrets.read(place);
        let text = read.map_err(|source| VaultError::Secret { key, source })?;
        let text = Zeroizing::new(text.trim().to_owned());
        if text.is_empty() {
            return Err(VaultError::Unusable(place.to_string()));
        }
        Ok(text)
    }

    async fn ask(
        &self,
        server: &Server,
        mount: &str,
        method: &Method,
    ) -> Result<Granted, VaultError> {
        let path = format!("auth/{mount}/login");
        let granted = match method {
            Method::Certificate {
                role,
                certificate,
                key,
            } => {
                let server = self.showing(certificate, key)?;
                let name = role.as_deref();
                server.grant(&path, None, None, &Named { name }).await
            }
            Method::AppRole { role_id, secret_id } => {
                let secret_id = self.read("secret_id", secret_id)?;
                let body = AppRole {
                    role_id,
                    secret_id: &secret_id,
                };
                server.grant(&path, None, Some(&secret_id), &body).await
            }
            Method::Jwt { role, jwt } => {
                let jwt = self.read("jwt", jwt)?;
                let role = role.as_deref();
                let body = Jwt { role, jwt: &jwt };
                server.grant(&path, None, Some(&jwt), &body).await
            }
        };
        granted.map_err(|error| match error {
            VaultError::Denied { host, path, said }
            | VaultError::Refused {
                host, path, said, ..
            } => VaultError::NoLogin { host, path, said },
            error => error,
        })
    }

    /// The server, as it is talked to when it shall see our certificate.
    fn showing(&self, certificate: &Path, key: &Secret) -> Result<Server, VaultError> {
        let unreadable = |error: std::io::Error| {
            HttpsError::Identity(format!("{}: {error}", certificate.display()))
        };
        let chain = std::fs::read_to_string(certificate).map_err(unreadable)?;
        let identity = ClientIdentity::from_pem(&chain, &self.read("client_key", key)?)?;
        let https = Https::of(Peer {
            trust: &self.settings.ca,
            also: &[],
            proxy: self.settings.proxy.as_deref(),
            identity: Some(&identity),
            tls12: false,
        })?;
        Server::by(&self.settings, https)
    }

    async fn keep(&self, place: &Secret) {
        let mut usual = AGAIN;
        loop {
            let wait = match self.look(place).await {
                Ok(tended) => {
                    usual = tended.again();
                    usual
                }
                // It is told by the next order, which fails for the same reason.
                Err(_) => AGAIN.min(usual / 4),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look(&self, place: &Secret) -> Result<Tended, VaultError> {
        let server = Server::new(&self.settings)?;
        token::tend(&server, &self.handed(place)?).await
    }
}
