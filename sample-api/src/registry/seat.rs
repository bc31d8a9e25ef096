//! One connection's place in the registry: its client, and what that is worth now.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{
    AtomicBool, AtomicU8,
    Ordering::{AcqRel, Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::SystemTime;

use futures_util::task::AtomicWaker;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::Instant;

use crate::fingerprint::Fingerprint;
use crate::identity::Peer;
use crate::metrics::{Metrics, Reason};
use crate::policy::{Decision, Policy, Roles};
use crate::rules::Rules;
use crate::trust::{Distrust, Trust};

/// A client, once for all of its connections.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) key: Fingerprint,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) peer: Arc<Peer>,
}

/// One open connection.
#[derive(Debug)]
pub struct Seat {
    pub(super) number: u64,
    pub(super) client: Arc<Client>,
    pub(super) opened: Instant,
    standing: Mutex<Standing>,
    /// One more than the place of the reason in [`Reason::ALL`], or 0.
    leave: AtomicU8,
    /// HTTP has let go of it until something comes.
    pub(crate) resting: AtomicBool,
    /// There may be something new to whoever serves it.
    rung: AtomicBool,
    bell: AtomicWaker,
}

#[derive(Debug)]
struct Standing {
    trust: Arc<Trust>,
    anchor: Option<Fingerprint>,
    granted: Arc<Granted>,
}

/// The roles of one client under one policy. One for each connection: a count that all workers shared would be felt.
#[derive(Debug, PartialEq, Eq)]
struct Granted {
    policy: Arc<Policy>,
    roles: Roles,
}

impl Granted {
    fn new(policy: Arc<Policy>, peer: &Peer, anchor: Option<Fingerprint>) -> Arc<Self> {
        let roles = peer.identity.as_ref().map_or_else(
            |_| Roles::default(),
            |identity| policy.roles(identity, anchor),
        );
        Arc::new(Self { policy, roles })
    }
}

/// The role that allowed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    granted: Arc<Granted>,
    place: u8,
}

impl Role {
    /// Its name.
    pub fn name(&self) -> &str {
        self.granted.policy.name(self.place)
    }
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is answered, by that role.
    Allowed(Role),
    /// It is refused: no role, or none that allows it.
    Denied(&'static str),
    /// It is refused, and the connection ends.
    Barred(Reason),
}

impl Reason {
    /// Whether nothing more is answered on the connection. The others are only asked to go elsewhere.
    pub fn bars(self) -> bool {
        matches!(
            self,
            Self::Revoked | Self::Untrusted | Self::Expired | Self::Policy
        )
    }

    fn of(why: &Distrust) -> Self {
        match why {
            Distrust::Expired => Self::Expired,
            Distrust::Revoked => Self::Revoked,
            _ => Self::Untrusted,
        }
    }
}

impl Seat {
    /// A connection whose handshake was done under `trust`, by that anchor.
    pub(super) fn new(
        number: u64,
        client: Arc<Client>,
        (trust, anchor): (&Arc<Trust>, u16),
        policy: Arc<Policy>,
    ) -> Self {
        let anchor = trust.fingerprint(anchor);
        Self {
            number,
            opened: Instant::now(),
            standing: Mutex::new(Standing {
                trust: trust.clone(),
                anchor,
                granted: Granted::new(policy, &client.peer, anchor),
            }),
            leave: AtomicU8::new(0),
            resting: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            bell: AtomicWaker::new(),
            client,
        }
    }

    /// The client.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.client.peer
    }

    /// Why it must end, if it must.
    pub fn leaving(&self) -> Option<Reason> {
        named(self.leave.load(Acquire))
    }

    /// Done when there may be something new to [`Seat::leaving`], or to the server's phase. For one task at a time.
    pub async fn rung(&self) {
        poll_fn(|cx| {
            // Asked before and after: it may be rung while the waker is put there.
            for last in [false, true] {
                if self.rung.swap(false, AcqRel) {
                    return Poll::Ready(());
                }
                if !last {
                    self.bell.register(cx.waker());
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Makes the connection look at itself again.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Release);
        self.bell.wake();
    }

    /// Decides about a request, by what is in force at this moment.
    pub fn admit(&self, rules: &Rules, metrics: &Metrics, method: &str, path: &str) -> Admission {
        // The sweep comes by once a second; a request in between must not profit.
        if SystemTime::now() > self.peer().not_after {
            self.leave(Reason::Expired, metrics);
        }
        let mut standing = self.standing();
        if !rules.is(&standing.granted.policy) {
            // As whoever judges all connections will: a request that is quicker must not hide what it finds.
            drop(standing);
            self.take_policy(&rules.policy(), metrics);
            standing = self.standing();
        }
        if let Some(reason) = self.leaving().filter(|reason| reason.bars()) {
            return Admission::Barred(reason);
        }
        let Granted { policy, roles } = &*standing.granted;
        match policy.allows(roles, method, path) {
            Ok(place) => Admission::Allowed(Role {
                granted: standing.granted.clone(),
                place,
            }),
            Err(Decision::NoRole) => Admission::Denied("this identity has no role here"),
            Err(Decision::Ambiguous) => Admission::Denied(
                "the path has empty, dot or encoded segments, so nothing is decided about it",
            ),
            Err(_) => Admission::Denied("no role of this identity allows that"),
        }
    }

    /// Tells the connection to end. What bars outweighs what does not; otherwise the first reason stands.
    pub fn leave(&self, reason: Reason, metrics: &Metrics) {
        let outweighs = |before: Reason| reason.bars() && !before.bars();
        let told = self.leave.fetch_update(AcqRel, Acquire, |before| {
            let stands = named(before).is_some_and(|before| !outweighs(before));
            (!stands).then_some(reason as u8 + 1)
        });
        if told.is_ok() {
            metrics.drained(reason);
            self.ring();
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing that panics is done under it.
        self.standing
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    pub(super) fn take_policy(&self, policy: &Arc<Policy>, metrics: &Metrics) {
        let mut standing = self.standing();
        let now = Granted::new(policy.clone(), self.peer(), standing.anchor);
        let lost = now.roles.is_empty() && !standing.granted.roles.is_empty();
        standing.granted = now;
        drop(standing);
        if lost {
            self.leave(Reason::Policy, metrics);
        }
    }
}

fn named(leave: u8) -> Option<Reason> {
    Reason::ALL.get(usize::from(leave).checked_sub(1)?).copied()
}

/// Judges connections by a trust that may be newer than theirs; each client once.
pub(super) fn judge<'a>(
    seats: impl IntoIterator<Item = &'a Seat>,
    trust: &Arc<Trust>,
    metrics: &Metrics,
) {
    let mut known: HashMap<*const Client, Result<u16, Distrust>> = HashMap::new();
    for seat in seats {
        if Arc::ptr_eq(&seat.standing().trust, trust) {
            continue;
        }
        let verdict = known.entry(Arc::as_ptr(&seat.client)).or_insert_with(|| {
            let (leaf, rest) = seat.client.chain.split_first().ok_or(Distrust::Untrusted)?;
            trust.judge(leaf, rest, UnixTime::now())
        });
        match verdict {
            Ok(anchor) => {
                let mut standing = seat.standing();
                standing.trust = trust.clone();
                standing.anchor = trust.fingerprint(*anchor);
                let policy = standing.granted.policy.clone();
                drop(standing);
                // Which anchor it was counts for roles.
                seat.take_policy(&policy, metrics);
            }
            Err(why) => seat.leave(Reason::of(why), metrics),
        }
    }
}
