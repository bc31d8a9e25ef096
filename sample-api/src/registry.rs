//! Every open connection, and whether it may stay open.
//!
//! Owns: the list of connections, and what each one's client is worth under the trust and the policy in force.
//! Never does: read or write on a connection; it rings, and [`crate::connection`] acts.
//! Neighbours: [`crate::trust`] and [`crate::policy`] judge, [`crate::mtls`] says when.
//!
//! A connection enters the list first and is judged by what is in force then, and a change is in force before the
//! list is gone through. So whichever comes first, no connection is missed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::fingerprint::Fingerprint;
use crate::identity::{Kind, Peer};
use crate::metrics::{Metrics, Reason};
use crate::policy::Policy;
use crate::rules::Rules;
use crate::trust::Trust;

mod seat;

pub use seat::{Admission, Role, Seat};
use seat::{Client, judge};

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
    /// With the number of their connections.
    clients: HashMap<Fingerprint, (Arc<Client>, usize)>,
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
        let client = match list.clients.get(&key) {
            Some((client, _)) => client.clone(),
            None => Arc::new(Client {
                key,
                chain: chain.to_vec(),
                peer: peer(),
            }),
        };
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
        let known = list.clients.entry(key);
        known.or_insert_with(|| (client.clone(), 0)).1 += 1;
        let seat = Arc::new(Seat::new(
            list.next,
            client,
            (trust, anchor),
            rules.policy(),
        ));
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

    /// Makes each connection look at itself again.
    pub(crate) fn ring_all(&self) {
        for seat in self.list().seats.values() {
            seat.ring();
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
            .take_while(|seat| seat.opened.elapsed() >= age - age / 10);
        for seat in old {
            // Over the last tenth, each at its own moment: clients that came together do not go together.
            let spread = seat.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
            let early = age / 2560 * spread as u32;
            if seat.opened.elapsed() >= age - early {
                seat.leave(Reason::Age, metrics);
            }
        }
    }

    /// Of the open ones, those over HTTP/1.1 that have had nothing to do for a while.
    pub fn resting(&self) -> usize {
        let list = self.list();
        list.seats
            .values()
            .filter(|seat| seat.resting.load(Relaxed))
            .count()
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
        if let Entry::Occupied(mut client) = self.clients.entry(seat.client.key) {
            client.get_mut().1 -= 1;
            if client.get().1 == 0 {
                client.remove();
            }
        }
        if let Ok(identity) = &seat.peer().identity {
            let identity = (identity.kind, identity.name.clone());
            if let Entry::Occupied(mut count) = self.identities.entry(identity) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}
