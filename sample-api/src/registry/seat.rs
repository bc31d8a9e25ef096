//! One connection's place in the registry: its client, and what that is worth now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Notify;
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
    bell: Notify,
}

#[derive(Debug)]
struct Standing {
    trust: Arc<Trust>,
    anchor: Option<Fingerprint>,
    policy: Arc<Policy>,
    roles: Roles,
    leave: Option<Reason>,
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is answered, by that role.
    Allowed(String),
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
            bell: Notify::new(),
            standing: Mutex::new(Standing {
                trust: trust.clone(),
                anchor,
                roles: roles(&policy, &client.peer, anchor),
                policy,
                leave: None,
            }),
            client,
        }
    }

    /// The client.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.client.peer
    }

    /// Why it must end, if it must.
    pub fn leaving(&self) -> Option<Reason> {
        self.standing().leave
    }

    /// Done when there may be something new to [`Seat::leaving`].
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Makes the connection look at itself again.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Decides about a request, by what is in force at this moment.
    pub fn admit(&self, rules: &Rules, metrics: &Metrics, method: &str, path: &str) -> Admission {
        // The sweep comes by once a second; a request in between must not profit.
        if SystemTime::now() > self.peer().not_after {
            self.leave(Reason::Expired, metrics);
        }
        let mut standing = self.standing();
        if let Some(reason) = standing.leave.filter(|reason| reason.bars()) {
            return Admission::Barred(reason);
        }
        if !rules.is(&standing.policy) {
            standing.policy = rules.policy();
            standing.roles = roles(&standing.policy, self.peer(), standing.anchor);
        }
        match standing.policy.decide(&standing.roles, method, path) {
            Decision::Allowed { role } => Admission::Allowed(role.to_owned()),
            Decision::NoRole => Admission::Denied("this identity has no role here"),
            Decision::NotAllowed => Admission::Denied("no role of this identity allows that"),
            Decision::Ambiguous => Admission::Denied(
                "the path has empty, dot or encoded segments, so nothing is decided about it",
            ),
        }
    }

    /// Tells the connection to end. What bars outweighs what does not; otherwise the first reason stands.
    pub fn leave(&self, reason: Reason, metrics: &Metrics) {
        let mut standing = self.standing();
        let outweighs = |before: Reason| reason.bars() && !before.bars();
        if standing.leave.is_none_or(outweighs) {
            standing.leave = Some(reason);
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
        let now = roles(policy, self.peer(), standing.anchor);
        let lost = now.is_empty() && !standing.roles.is_empty();
        standing.roles = now;
        standing.policy = policy.clone();
        drop(standing);
        if lost {
            self.leave(Reason::Policy, metrics);
        }
    }
}

fn roles(policy: &Policy, peer: &Peer, anchor: Option<Fingerprint>) -> Roles {
    let identity = peer.identity.as_ref();
    identity.map_or_else(
        |_| Roles::default(),
        |identity| policy.roles(identity, anchor),
    )
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
                let policy = standing.policy.clone();
                drop(standing);
                // Which anchor it was counts for roles.
                seat.take_policy(&policy, metrics);
            }
            Err(why) => seat.leave(Reason::of(why), metrics),
        }
    }
}
