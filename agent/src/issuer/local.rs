//! The embedded CA: a root and an issuing intermediate that the daemon keeps in one directory.
//!
//! ```text
//! DIRECTORY/        0700
//!     root.pem      0600  key and certificate of the root (20 years), which signs only the next
//!     issuing.pem   0600  key and certificate of the issuing intermediate (1 year), renewed in time
//!     issued.log    0600  one line per certificate: when, serial, end, names
//! ```
//!
//! Owns these files. It signs only what the order names, for a key whose owner signed the request, and it
//! must never make a new root where there was one: a damaged or foreign file is an error, and stays as it
//! is. What it answers is judged by [`renewd_core::accept`] like any other CA's answer.

mod authority;
mod constraints;
mod csr;
mod error;
mod files;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use renewd_core::accept::Answer;
use renewd_core::leaf::LeafFacts;
use renewd_core::pem;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{IssueError, Issuer, Order};
use authority::{Authority, Span};
pub use constraints::{ConstraintError, Constraints};
pub use error::LocalError;
use files::Directory;

/// The shortest life that can be asked for.
pub const MIN_LIFE: Duration = Duration::from_secs(30);
/// How far before its issuance a leaf's validity begins, for peers whose clocks are behind.
pub const BACKDATE: SignedDuration = SignedDuration::from_secs(30);

/// CA certificates begin earlier still, so that a clock set back a little stops nothing.
const CA_BACKDATE: SignedDuration = SignedDuration::from_secs(60);
/// Before this, the clock is certainly wrong (2025-01-01), and a root made by it would be worthless.
const EARLIEST: Timestamp = Timestamp::constant(1_735_689_600, 0);
/// No certificate ends later (9999-12-30): the last day that both X.509 (RFC 5280, section 4.1.2.5.2) and
/// our timestamps can name.
const LATEST: Timestamp = Timestamp::constant(253_402_128_000, 0);

const ROOT: &str = "root.pem";
const ISSUING: &str = "issuing.pem";
const LOG: &str = "issued.log";

/// Tells the time; injected, so that tests can simulate years.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the embedded CA behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSettings {
    /// The root's life, when it is made.
    pub root_life: Duration,
    /// The issuing intermediate's life; longer if a certificate asks for more than half of it.
    pub issuing_life: Duration,
    /// Which names may be issued. A change makes a new intermediate at the next issuance.
    pub constraints: Constraints,
}

impl Default for LocalSettings {
    fn default() -> Self {
        const YEAR: u64 = 365 * 86_400;
        Self {
            root_life: Duration::from_secs(20 * YEAR),
            issuing_life: Duration::from_secs(YEAR),
            constraints: Constraints::default(),
        }
    }
}

/// The embedded CA. Made without touching the disk; its files are read, or made, when first needed.
pub struct LocalIssuer {
    ca: Arc<Ca>,
}

struct Ca {
    path: PathBuf,
    settings: LocalSettings,
    clock: Clock,
    /// Whose the files must be.
    owner: u32,
    /// Certificates are signed one after the other.
    state: Mutex<Option<State>>,
}

/// The root's key is not held: it is read again when an intermediate is made.
struct State {
    directory: Directory,
    root: CertificateDer<'static>,
    root_span: Span,
    issuing: Option<Authority>,
}

impl LocalIssuer {
    /// A CA in `directory` (`STATE/store/issuer/NAME`), which this process alone must use.
    pub fn new(directory: impl Into<PathBuf>, settings: LocalSettings, clock: Clock) -> Self {
        Self {
            ca: Arc::new(Ca {
                path: directory.into(),
                settings,
                clock,
                owner: nix::unistd::geteuid().as_raw(),
                state: Mutex::new(None),
            }),
        }
    }

    /// The root's certificate as PEM, for `renewctl ca root`: works beside a running daemon, changes
    /// nothing, and gives away no key.
    ///
    /// # Errors
    /// When there is no root yet, or its file cannot be read.
    pub fn root_pem(directory: &Path) -> Result<String, LocalError> {
        let path = directory.join(ROOT);
        let text =
            files::read(&path, None)?.ok_or_else(|| LocalError::NoRoot { path: path.clone() })?;
        Ok(pem::certificate(&authority::only_certificate(
            &path, &text,
        )?))
    }

    /// Runs on a blocking thread, for it syncs files.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ca) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, IssueError> {
        let ca = Arc::clone(&self.ca);
        tokio::task::spawn_blocking(move || work(&ca))
            .await
            .unwrap_or(Err(LocalError::Worker))
            .map_err(IssueError::from)
    }
}

impl Issuer for LocalIssuer {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        let certificate = order.certificate.clone();
        let (request, csr) = (order.request.clone(), order.csr.to_vec());
        Box::pin(self.run(move |ca| {
            ca.issue(&Order {
                certificate: &certificate,
                request: &request,
                csr: &csr,
            })
        }))
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(self.run(|ca| ca.with_state(|state, _| Ok(vec![state.root.clone()]))))
    }
}

impl Ca {
    fn issue(&self, order: &Order<'_>) -> Result<Answer, LocalError> {
        let request = order.request;
        let asked = request.lifetime;
        if asked < MIN_LIFE {
            return Err(LocalError::Life {
                asked: asked.as_secs(),
            });
        }
        let constraints = &self.settings.constraints;
        if let Some(name) = request.names.iter().find(|name| !constraints.permits(name)) {
            return Err(LocalError::Constrained {
                name: name.to_string(),
                permitted: constraints.describe(),
            });
        }
        let key = csr::public_key(order)?;
        self.with_state(|state, now| {
            self.renew_issuing(state, asked, now)?;
            // Made above if it was not there.
            let Some(issuing) = &state.issuing else {
                return Err(LocalError::Worker);
            };
            let span = Span {
                from: (now - BACKDATE).max(issuing.span().from),
                until: later(now, asked).min(issuing.span().until),
            };
            if span.until < later(now, MIN_LIFE) {
                return Err(LocalError::RootEnds {
                    now,
                    not_after: state.root_span.until,
                });
            }
            let leaf = issuing.leaf(request, &key, span)?;
            state.directory.append(LOG, &log_line(&leaf, now))?;
            Ok(Answer {
                leaf,
                chain: vec![issuing.certificate().clone()],
            })
        })
    }

    /// With the files read, or the root made; and with a clock that agrees with the root.
    fn with_state<T>(
        &self,
        work: impl FnOnce(&mut State, Timestamp) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        // A panic while signing leaves nothing half done in memory.
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = whole_seconds((self.clock)());
        let state = match guard.as_mut() {
            Some(state) => state,
            None => guard.insert(self.load(now)?),
        };
        if now < state.root_span.from {
            return Err(LocalError::Clock {
                now,
                earliest: state.root_span.from,
            });
        }
        work(state, now)
    }

    fn load(&self, now: Timestamp) -> Result<State, LocalError> {
        let directory = Directory::open(&self.path, self.owner)?;
        let root = match directory.read(ROOT)? {
            Some(text) => read_root(&directory, &text)?,
            None => self.make_root(&directory, now)?,
        };
        let issuing = match directory.read(ISSUING)? {
            Some(text) => {
                let path = directory.file(ISSUING);
                let issuing = Authority::from_pem(&path, &text)?;
                issuing.check_signed_by(root.certificate(), &path)?;
                Some(issuing)
            }
            None => None,
        };
        Ok(State {
            directory,
            root: root.certificate().clone(),
            root_span: root.span(),
            issuing,
        })
    }

    fn make_root(&self, directory: &Directory, now: Timestamp) -> Result<Authority, LocalError> {
        if let Some(evidence) = [ISSUING, LOG].into_iter().find(|name| directory.has(name)) {
            return Err(LocalError::RootMissing {
                path: directory.file(ROOT),
                evidence: directory.file(evidence),
            });
        }
        if now < EARLIEST {
            return Err(LocalError::Clock {
                now,
                earliest: EARLIEST,
            });
        }
        let root = Authority::root(Span {
            from: now - CA_BACKDATE,
            until: later(now, self.settings.root_life),
        })?;
        directory.create(ROOT, &root.pem())?;
        tracing::info!(directory = %self.path.display(), "made a new local root");
        Ok(root)
    }

    /// Makes a new intermediate when there is none, when the present one would cut the life asked for or
    /// has a third of its own life left, when its constraints are not those of the settings, or when it
    /// was made under a clock that has been set back since.
    fn renew_issuing(
        &self,
        state: &mut State,
        asked: Duration,
        now: Timestamp,
    ) -> Result<(), LocalError> {
        // Twice the life asked for: else each issuance would need a new one.
        let life = self.settings.issuing_life.max(asked.saturating_mul(2));
        let until = later(now, life).min(state.root_span.until);
        let fit = state.issuing.as_ref().is_some_and(|issuing| {
            let span = issuing.span();
            let third = span.until.duration_since(span.from) / 3;
            let left = span.until.duration_since(now);
            let wanted = SignedDuration::try_from(asked).unwrap_or(SignedDuration::MAX);
            let long_enough = left >= wanted.max(third) || until <= span.until;
            long_enough && span.from <= now && carries(issuing, &self.settings.constraints)
        });
        if fit {
            return Ok(());
        }
        let text = state.directory.read(ROOT)?;
        let path = state.directory.file(ROOT);
        let damaged = |why: &str| LocalError::Damaged {
            path: path.clone(),
            why: why.to_owned(),
        };
        let text = text.ok_or_else(|| damaged("it has vanished"))?;
        let root = read_root(&state.directory, &text)?;
        if *root.certificate() != state.root {
            return Err(damaged("it has been replaced while in use"));
        }
        let issuing = Authority::issuing(
            &root,
            &self.settings.constraints,
            Span {
                from: (now - CA_BACKDATE).max(state.root_span.from),
                until,
            },
        )?;
        state.directory.replace(ISSUING, &issuing.pem())?;
        tracing::info!(directory = %self.path.display(), until = %until, "made a new issuing intermediate");
        state.issuing = Some(issuing);
        Ok(())
    }
}

fn read_root(directory: &Directory, text: &str) -> Result<Authority, LocalError> {
    let path = directory.file(ROOT);
    let root = Authority::from_pem(&path, text)?;
    root.check_signed_by(&root.certificate().clone(), &path)?;
    Ok(root)
}

fn carries(issuing: &Authority, constraints: &Constraints) -> bool {
    X509Certificate::from_der(issuing.certificate())
        .is_ok_and(|(_, certificate)| constraints.are_in(&certificate))
}

fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn later(now: Timestamp, life: Duration) -> Timestamp {
    let life = Duration::from_secs(life.as_secs());
    now.checked_add(life).unwrap_or(LATEST).min(LATEST)
}

fn log_line(leaf: &CertificateDer<'_>, now: Timestamp) -> String {
    match LeafFacts::from_der(leaf) {
        Ok(facts) => format!(
            "{now} {} {} {}",
            facts.serial,
            facts.not_after,
            facts.names.join(" ")
        ),
        // It was made a moment ago; a log without it would be worse than an odd line.
        Err(error) => format!("{now} unreadable: {error}"),
    }
}

#[cfg(test)]
mod tests;
