//! Every open connection, and whether it may stay open.
//!
//! Owns: the list of connections, and what each one's client is worth under the trust and the policy in force.
//! Never does: read or write on a connection; it rings, and [`crate::connection`] acts.
//! Neighbours: [`crate::trust`] and [`crate::policy`] judge, [`crate::mtls`] says when.
//!
//! A connection enters the list first and is judged by what is in force then, and a change is in force before the
//! list is gone through. So whichever comes first, no connection is missed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fingerprint::Fingerprint;
use crate::identity::{Kind, Peer};
use crate::metrics::{Metrics, Reason};
use crate::policy::{Decision, Policy, Roles};
use crate::rules::Rules;
use crate::trust::{Distrust, Trust};

/// A client, once for all of its connections.
#[derive(Debug)]
struct Client {
    chain: Vec<CertificateDer<'static>>,
    peer: Arc<Peer>,
}

/// One open connection.
#[derive(Debug)]
pub struct Seat {
    number: u64,
    client: Arc<Client>,
    opened: Instant,
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
    /// The client.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.client.peer
    }

    /// Why it must end, if it must.
    pub fn leaving(&self) -> Option<Reason> {
        self.standing().leave
    }

    /// Done when there is something new to [`Seat::leaving`].
    pub async fn rung(&self) {
        self.bell.notified().await;
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
            self.bell.notify_one();
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing that panics is done under it.
        self.standing
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn take_policy(&self, policy: &Arc<Policy>, metrics: &Metrics) {
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

/// The open connections.
#[derive(Debug, Default)]
pub struct Registry {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    seats: BTreeMap<u64, Arc<Seat>>,
    /// When clients' certificates end, the first first.
    ends: BTreeSet<(SystemTime, u64)>,
    clients: HashMap<Fingerprint, Weak<Client>>,
    identities: HashMap<(Kind, String), usize>,
}

/// A connection in the list, for as long as this lives.
#[derive(Debug)]
pub struct Seated<'a> {
    /// The connection.
    pub seat: Arc<Seat>,
    registry: &'a Registry,
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        self.registry.list().remove(&self.seat);
    }
}

/// The client has as many connections as one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this identity has as many connections as it may")]
pub struct TooMany;

impl Registry {
    /// Enters a connection whose handshake was done under `trust`. The caller must [`Registry::judge`] it by what is in
    /// force *after* that.
    ///
    /// # Errors
    ///
    /// When the identity has `most` connections already.
    pub fn enter(
        &self,
        chain: &[CertificateDer<'static>],
        peer: impl FnOnce() -> Arc<Peer>,
        (trust, anchor): (&Arc<Trust>, u16),
        rules: &Rules,
        most: Option<usize>,
    ) -> Result<Seated<'_>, TooMany> {
        let key = Fingerprint::of_all(chain.iter().map(AsRef::as_ref));
        let mut list = self.list();
        let known = list.clients.get(&key).and_then(Weak::upgrade);
        let client = known.unwrap_or_else(|| {
            let client = Arc::new(Client {
                chain: chain.to_vec(),
                peer: peer(),
            });
            list.clients.insert(key, Arc::downgrade(&client));
            client
        });
        if let Ok(identity) = &client.peer.identity {
            let count = list
                .identities
                .entry((identity.kind, identity.name.clone()))
                .or_default();
            if most.is_some_and(|most| *count >= most) {
                return Err(TooMany);
            }
            *count += 1;
        }
        let (anchor, policy) = (trust.fingerprint(anchor), rules.policy());
        let seat = Arc::new(Seat {
            number: list.next,
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
        });
        list.next += 1;
        list.ends.insert((seat.peer().not_after, seat.number));
        list.seats.insert(seat.number, seat.clone());
        drop(list);
        Ok(Seated {
            seat,
            registry: self,
        })
    }

    /// Judges one connection by a trust that may be newer than its own.
    pub fn judge(&self, seat: &Seat, trust: &Arc<Trust>, metrics: &Metrics) {
        judge([seat], trust, metrics);
    }

    /// Judges all connections. Each client is verified once; that takes about 0.1 ms, so not on a thread that serves.
    pub fn judge_all(&self, trust: &Arc<Trust>, policy: &Arc<Policy>, metrics: &Metrics) {
        let seats: Vec<_> = self.list().seats.values().cloned().collect();
        judge(seats.iter().map(Arc::as_ref), trust, metrics);
        for seat in &seats {
            seat.take_policy(policy, metrics);
        }
    }

    /// Tells those to end whose client's certificate has ended, and those that are older than `age`.
    pub fn sweep(&self, now: SystemTime, age: Option<Duration>, metrics: &Metrics) {
        let mut list = self.list();
        while let Some(&(end, number)) = list.ends.first() {
            if end >= now {
                break;
            }
            list.ends.pop_first();
            if let Some(seat) = list.seats.get(&number) {
                seat.leave(Reason::Expired, metrics);
            }
        }
        let Some(age) = age else { return };
        // They stand in the order of their opening.
        let old = list
            .seats
            .values()
            .take_while(|seat| seat.opened.elapsed() >= age * 9 / 10);
        for seat in old {
            // Over the last tenth, each at its own moment: clients that came together do not go together.
            let early =
                age / 10 * (seat.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32 / 256;
            if seat.opened.elapsed() >= age - early {
                seat.leave(Reason::Age, metrics);
            }
        }
    }

    /// How many there are, and how many of them were told to end.
    pub fn count(&self) -> (usize, usize) {
        let seats: Vec<_> = self.list().seats.values().cloned().collect();
        let leaving = seats.iter().filter(|seat| seat.leaving().is_some()).count();
        (seats.len(), leaving)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }
}

impl List {
    fn remove(&mut self, seat: &Arc<Seat>) {
        self.seats.remove(&seat.number);
        self.ends.remove(&(seat.peer().not_after, seat.number));
        if let Ok(identity) = &seat.peer().identity {
            let key = (identity.kind, identity.name.clone());
            if let Some(count) = self.identities.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.identities.remove(&key);
                    // With the last of an identity, so that the map does not grow for ever.
                    self.clients.retain(|_, client| client.strong_count() > 0);
                }
            }
        } else {
            self.clients.retain(|_, client| client.strong_count() > 0);
        }
    }
}

fn judge<'a>(seats: impl IntoIterator<Item = &'a Seat>, trust: &Arc<Trust>, metrics: &Metrics) {
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
                // Which anchor counts for roles; they are found anew.
                standing.roles = roles(&standing.policy, seat.peer(), standing.anchor);
            }
            Err(why) => seat.leave(Reason::of(why), metrics),
        }
    }
}
