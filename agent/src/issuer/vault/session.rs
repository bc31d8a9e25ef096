//! How we are known to a Vault: by a token that was handed to us and is kept alive, or by one that a login gave.
//!
//! A login's token is in memory alone, and used by all certificates of this issuer until a third of its life is left; then
//! the next use logs in again. One that was handed to us cannot be had again, so it is renewed in time, whether or not a
//! certificate is due ([`Session::keep`]). What was refused is remembered ([`memory`](super::memory)).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::error::VaultError;
use super::keeper::{self, Pace};
use super::login::{self, Proof};
use super::memory::{Denials, Failed};
use super::server::{Server, Token};
use super::token::{self, Final, LOOKUP, Tended};
use super::{Auth, Method, VaultSettings};
use crate::secret::{Secret, Secrets};

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

#[derive(Default)]
struct Login {
    kept: Option<Kept>,
    failed: Option<Failed>,
}

/// Our standing with one server.
pub(super) struct Session {
    shared: Arc<Shared>,
    keeper: OnceLock<AbortHandle>,
    /// Whether it was told that the token may not look at itself.
    told: AtomicBool,
}

struct Shared {
    settings: Arc<VaultSettings>,
    secrets: Secrets,
    /// Held while logging in: certificates that are due together need one login.
    login: Mutex<Login>,
    denials: std::sync::Mutex<Denials>,
    last: Final,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl Session {
    pub(super) fn new(settings: Arc<VaultSettings>, secrets: Secrets) -> Self {
        let shared = Arc::new(Shared {
            settings,
            secrets,
            login: Mutex::default(),
            denials: std::sync::Mutex::default(),
            last: Final::default(),
        });
        Self {
            shared,
            keeper: OnceLock::new(),
            told: AtomicBool::new(false),
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
                let tended = match token::tend(server, &token, &self.shared.last).await {
                    // It may be without the policies for that, and sign.
                    Err(VaultError::Denied { .. }) => Tended::unknown(),
                    tended => tended?,
                };
                Ok(Ready::handed(token, tended, place))
            }
            Auth::Login { mount, method } => self.login(server, mount, method).await,
        }
    }

    /// A token that the server knows now, as an operator asks for. What was denied before is forgotten.
    pub(super) async fn prove(&self, server: &Server) -> Result<Ready, VaultError> {
        self.denials().clear();
        match &self.shared.settings.auth {
            Auth::Token(place) => {
                let token = self.shared.handed(place)?;
                let tended = token::tend(server, &token, &self.shared.last).await?;
                Ok(Ready::handed(token, tended, place))
            }
            Auth::Login { mount, method } => {
                let ready = self.login(server, mount, method).await?;
                if !ready.kept {
                    return Ok(ready);
                }
                let looked: Result<IgnoredAny, _> = server.get(LOOKUP, Some(&ready.token)).await;
                match looked {
                    Err(VaultError::Denied { .. }) => {
                        self.forget(&ready.token).await;
                        self.login(server, mount, method).await
                    }
                    looked => looked.map(|_| ready),
                }
            }
        }
    }

    /// What should be known of a token's end where certificates are renewed within `lifetime`.
    pub(super) fn warning(&self, ready: &Ready, lifetime: Duration) -> Option<String> {
        let (tended, place) = ready.handed.as_ref()?;
        // Nobody can know when that is, so it is told once.
        if !tended.seen && self.told.swap(true, Ordering::Relaxed) {
            return None;
        }
        tended.warning(lifetime, place)
    }

    /// Asks for something with a token; with a fresh one again if a kept one was denied it, for a server may have
    /// forgotten it. Where a fresh one was denied the same lately, it is not the token.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        server: &Server,
        ready: &Ready,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Option<T>, VaultError> {
        let mut done = server.post(path, Some(&ready.token), body).await;
        let denied = matches!(done, Err(VaultError::Denied { .. }));
        if denied && ready.kept {
            if self.denials().has(path, Instant::now()) {
                return done;
            }
            self.forget(&ready.token).await;
            let fresh = self.token(server).await?;
            done = server.post(path, Some(&fresh.token), body).await;
        }
        if let Err(VaultError::Denied { .. }) = done {
            self.denials().note(path, Instant::now());
        }
        done
    }

    fn denials(&self) -> MutexGuard<'_, Denials> {
        let denials = self.shared.denials.lock();
        denials.unwrap_or_else(PoisonError::into_inner)
    }

    async fn login(
        &self,
        server: &Server,
        mount: &str,
        method: &Method,
    ) -> Result<Ready, VaultError> {
        let asked = Instant::now();
        let mut login = self.shared.login.lock().await;
        if let Some(kept) = &login.kept
            && kept.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(Ready {
                token: Arc::clone(&kept.token),
                kept: true,
                handed: None,
            });
        }
        let proof = Proof::read(method, &self.shared.secrets)?;
        let (shown, now) = (proof.digest(), Instant::now());
        let failed = login.failed.as_ref();
        if let Some(why) = failed.and_then(|failed| failed.told(&shown, asked, now)) {
            return Err(why);
        }
        let granted = match proof.show(server, &self.shared.settings, mount).await {
            Ok(granted) => granted,
            Err(why) => {
                let failed = Failed::new(Instant::now(), shown, why);
                return Err(login.failed.insert(failed).again());
            }
        };
        let token = Arc::new(Token(Zeroizing::new(granted.client_token)));
        let life = Duration::from_secs(granted.lease_duration);
        *login = Login {
            kept: Some(Kept {
                token: Arc::clone(&token),
                until: match granted.lease_duration {
                    0 => None,
                    _ => now.checked_add(life / 3 * 2),
                },
            }),
            failed: None,
        };
        Ok(Ready {
            token,
            kept: false,
            handed: None,
        })
    }

    async fn forget(&self, token: &Arc<Token>) {
        let mut login = self.shared.login.lock().await;
        // Another certificate may have logged in meanwhile.
        let same = |kept: &Kept| Arc::ptr_eq(&kept.token, token);
        if login.kept.as_ref().is_some_and(same) {
            login.kept = None;
        }
    }
}

impl Ready {
    fn handed(token: Token, tended: Tended, place: &Secret) -> Self {
        Self {
            token: Arc::new(token),
            kept: false,
            handed: Some((tended, place.clone())),
        }
    }
}

impl Shared {
    fn handed(&self, place: &Secret) -> Result<Token, VaultError> {
        let token = Token(login::read(&self.secrets, "token", place)?);
        if token.header().is_err() {
            return Err(VaultError::NoSecret(place.clone()));
        }
        Ok(token)
    }

    async fn keep(&self, place: &Secret) {
        let mut pace = Pace::new();
        loop {
            let wait = match self.look(place).await {
                Ok(tended) => pace.after_a_look(tended.again()),
                // It is told by the next order, which fails for the same reason.
                Err(_) => pace.after_a_failure(keeper::chance()),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look(&self, place: &Secret) -> Result<Tended, VaultError> {
        let server = Server::new(&self.settings)?;
        token::tend(&server, &self.handed(place)?, &self.last).await
    }
}
