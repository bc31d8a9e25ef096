//! The embedded CA at work: its files read or made, its intermediate renewed, leaves signed one at a time.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::SubjectPublicKeyInfo;
use renewd_core::accept::Answer;
use renewd_core::leaf::LeafFacts;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::Order;
use super::super::kept::{Directory, KeptError};
use super::authority::{Authority, Span};
use super::constraints::Constraints;
use super::error::LocalError;
use super::provided::Provided;
use super::{BACKDATE, Clock, ISSUING, LOG, LocalSettings, MIN_LIFE, ROOT, csr};
use crate::journal::{self, Event};
use crate::secret::Secret;

/// An intermediate begins earlier still, so that a clock set back a little stops nothing.
const CA_BACKDATE: SignedDuration = SignedDuration::from_secs(60);
/// Before this, the clock is certainly wrong (2025-01-01), and what is made by it would be worthless.
/// Every root begins here: it signs intermediates only, and these have dates of their own. One that
/// began when it was made, by a clock that was ahead, would stop the CA until that time had come.
pub(super) const EARLIEST: Timestamp = Timestamp::constant(1_735_689_600, 0);
/// No certificate ends later (9999-12-30): the last day that both X.509 (RFC 5280, section 4.1.2.5.2) and
/// our timestamps can name.
const LATEST: Timestamp = Timestamp::constant(253_402_128_000, 0);

/// One CA: where it is, how it behaves, and what has been read of it.
pub(super) struct Ca {
    pub(super) path: PathBuf,
    pub(super) settings: LocalSettings,
    pub(super) clock: Clock,
    /// Whose the files must be.
    pub(super) owner: u32,
    /// Certificates are signed one after the other.
    pub(super) state: Mutex<Option<State>>,
}

/// The root's key is not held: it is read again when an intermediate is made.
pub(super) struct State {
    directory: Directory,
    pub(super) root: CertificateDer<'static>,
    root_span: Span,
    issuing: Option<Authority>,
}

impl Ca {
    /// Whether the settings permit this.
    pub(super) fn permits(&self, request: &Request) -> Result<(), LocalError> {
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
                permitted: constraints.permitted_beside(name),
            });
        }
        Ok(())
    }

    /// Signs a leaf for the order, and nothing that the order does not name.
    pub(super) fn issue(&self, order: &Order<'_>) -> Result<Answer, LocalError> {
        let request = order.request;
        self.permits(request)?;
        let key = csr::public_key(order)?;
        if let Some(place) = &self.settings.issuing_ca {
            return self.issue_by_provided(place, request, &key);
        }
        self.with_state(|state, now| {
            if state.root_span.until < later(now, MIN_LIFE) {
                return Err(LocalError::RootEnds {
                    now,
                    not_after: state.root_span.until,
                });
            }
            self.renew_issuing(state, request.lifetime, now)?;
            // Made above if it was not there.
            let Some(issuing) = &state.issuing else {
                return Err(LocalError::Worker);
            };
            let span = Span {
                from: (now - BACKDATE).max(issuing.span().from),
                until: later(now, request.lifetime).min(issuing.span().until),
            };
            let leaf = issuing.leaf(request, &key, span)?;
            state.directory.append(LOG, &log_line(&leaf, now))?;
            Ok(Answer {
                leaf,
                chain: vec![issuing.certificate().clone()],
            })
        })
    }

    /// The certificate that peers trust.
    pub(super) fn root(&self) -> Result<CertificateDer<'static>, LocalError> {
        match &self.settings.issuing_ca {
            Some(place) => Ok(Provided::read(&self.settings, place)?.root),
            None => self.with_state(|state, _| Ok(state.root.clone())),
        }
    }

    fn issue_by_provided(
        &self,
        place: &Secret,
        request: &Request,
        key: &SubjectPublicKeyInfo,
    ) -> Result<Answer, LocalError> {
        // One after the other, for the log's sake.
        let _turn = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = whole_seconds((self.clock)());
        let provided = Provided::read(&self.settings, place)?;
        let Span { from, until } = provided.span;
        if now < from || until < later(now, MIN_LIFE) {
            return Err(LocalError::ProvidedEnds {
                place: place.to_string(),
                from,
                until,
                now,
            });
        }
        let span = Span {
            from: (now - BACKDATE).max(from),
            until: later(now, request.lifetime).min(until),
        };
        let leaf = provided.issuing.leaf(request, key, span)?;
        provided.check_name_in(&leaf, place)?;
        let directory = Directory::open(&self.path, self.owner)?;
        directory.append(LOG, &log_line(&leaf, now))?;
        Ok(Answer {
            leaf,
            chain: provided.chain,
        })
    }

    /// With the files read, or the root made; and with a clock that agrees with the root. After a failure
    /// the files are read again: the operator may have dealt with it.
    pub(super) fn with_state<T>(
        &self,
        work: impl FnOnce(&mut State, Timestamp) -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        // A panic while signing leaves nothing half done in memory.
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = whole_seconds((self.clock)());
        let mut state = match guard.take() {
            Some(state) => state,
            None => self.load(now)?,
        };
        if now < state.root_span.from {
            return Err(LocalError::Clock {
                now,
                earliest: state.root_span.from,
            });
        }
        let result = work(&mut state, now)?;
        *guard = Some(state);
        Ok(result)
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
        let span = Span {
            from: EARLIEST,
            until: later(now, self.settings.root_life),
        };
        let root = Authority::root(&self.settings.common_name, span)?;
        directory.create(ROOT, &root.pem())?;
        journal::emit(&Event::AuthorityMade {
            what: format!("a new local root in {}", self.path.display()),
        });
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
        let damaged = |why: &str| KeptError::Damaged {
            path: path.clone(),
            why: why.to_owned(),
        };
        let text = text.ok_or_else(|| damaged("it has vanished"))?;
        let root = read_root(&state.directory, &text)?;
        if *root.certificate() != state.root {
            return Err(damaged("it has been replaced while in use").into());
        }
        let span = Span {
            from: (now - CA_BACKDATE).max(state.root_span.from),
            until,
        };
        let LocalSettings {
            common_name,
            constraints,
            ..
        } = &self.settings;
        let issuing = Authority::issuing(&root, common_name, constraints, span)?;
        state.directory.replace(ISSUING, &issuing.pem())?;
        journal::emit(&Event::AuthorityMade {
            what: format!(
                "a new issuing intermediate in {}, valid until {until}",
                self.path.display()
            ),
        });
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

pub(super) fn later(now: Timestamp, life: Duration) -> Timestamp {
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
