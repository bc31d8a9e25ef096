//! Trust before identity: who verifies by the bundle is to know a new root of the CA before a leaf under it is in use.
//!
//! A root that comes into the bundle is published at once, with the identity as it was. The issuer is not asked before
//! every dependent of every certificate of this issuer has that bundle, and `settle` has passed since, which is left
//! to other hosts. Which root the CA signs with is its own affair, so every certificate waits. Nothing waits for
//! longer than the certificate in use is well: when it is overdue, the wait is over. And it is over for good: who has not
//! taken the root by then may never do so, and is not to put off one renewal after the other.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::usable_life;
use crate::leaf::Fingerprint;
use crate::record::{Generation, Record};
use crate::schedule;

/// Roots in the newest bundle that came after what is published, and that no certificate was accepted under since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRoots {
    /// Which.
    pub roots: BTreeSet<Fingerprint>,
    /// When the newest of them came; `None` in records of versions that did not keep it.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Since when they are known on this host: published, and every dependent reloaded and proven.
    pub known_since: Option<Timestamp>,
}

/// Until when the issuer is not asked; `None`: nothing stands against it.
pub(super) fn wait(record: &Record, settle: Duration, now: Timestamp) -> Option<Timestamp> {
    let new = record.new_roots.as_ref()?;
    let current = worth_keeping(record)?;
    let last = schedule::overdue(current.accepted_at, current.end());
    // What lies further ahead than a wait can be was written under another clock.
    if schedule::reached(last, usable_life(current), now) {
        return None;
    }
    let Some(since) = new.known_since else {
        return Some(last);
    };
    let settled = schedule::after(since, settle);
    (!schedule::reached(settled, settle, now)).then(|| settled.min(last))
}

/// What is in use, if it is any good. Otherwise there is nothing to keep working.
fn worth_keeping(record: &Record) -> Option<&Generation> {
    let current = record.published_generation();
    current.filter(|current| !current.revoked)
}

/// The bundle is about to be one with these anchors.
pub(crate) fn offered(record: &mut Record, anchors: &[Fingerprint], now: Timestamp) {
    let (roots, since, known_since) = match record.new_roots.take() {
        Some(new) => (new.roots, new.since, new.known_since),
        None => (BTreeSet::new(), None, None),
    };
    let mut roots: BTreeSet<_> = roots
        .into_iter()
        .filter(|root| anchors.contains(root))
        .collect();
    let held = record.anchors.iter().copied().collect::<BTreeSet<_>>();
    let added = || anchors.iter().filter(|anchor| !held.contains(anchor));
    let grows = record.published.is_some() && added().next().is_some();
    if grows {
        roots.extend(added());
    }
    if !roots.is_empty() {
        record.new_roots = Some(NewRoots {
            roots,
            since: if grows { Some(now) } else { since },
            known_since: known_since.filter(|_| !grows),
        });
    }
}

/// They are known on this host, to all of the issuer's certificates.
pub(crate) fn known(record: &mut Record, now: Timestamp) {
    if let Some(new) = &mut record.new_roots {
        new.known_since.get_or_insert(now);
    }
}

/// The clock was set: what came, or is known, is not so from some later time on.
pub(crate) fn clock_stepped(record: &mut Record, now: Timestamp) {
    if let Some(new) = &mut record.new_roots {
        for since in [&mut new.since, &mut new.known_since].into_iter().flatten() {
            *since = (*since).min(now);
        }
    }
}

/// A certificate was accepted, under this root: nobody need wait for it any more. Nor for those that came while it could
/// still be waited, if it was until the end. Those that are known settle by themselves.
pub(crate) fn used(record: &mut Record, root: &Fingerprint, now: Timestamp) {
    let last = worth_keeping(record)
        .map(|current| schedule::overdue(current.accepted_at, current.end()))
        .filter(|last| *last <= now);
    if let Some(new) = &mut record.new_roots {
        new.roots.remove(root);
        let waited = last.is_some_and(|last| new.since.is_none_or(|since| since < last));
        if new.roots.is_empty() || waited {
            record.new_roots = None;
        }
    }
}
