//! What an issuer advises about the next renewal (RFC 9773), and how far it is obeyed.
//!
//! An instant within the advised window is drawn once and kept as long as the window stays. It may bring a renewal
//! forward, and put it off only to where the alarm of its end would come. What a CA says of a leaf that it has just
//! issued cannot make it renewed before a third of its life: else a window that is always past would be an issuance
//! loop. What is heard of first later on holds at once, for the leaf may be about to be revoked. What is said of a leaf
//! that was taken back is known, and changes nothing: the one in use has its own schedule, and a new try its back-off.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::usable_life;
use crate::leaf::Fingerprint;
use crate::record::{Context, Generation, Record};
use crate::schedule;

/// The shortest time between two questions, whatever the issuer says: of a short life, and of others.
const SHORTEST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// The longest.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A life that is no longer is a short one.
const SHORT_LIFE: Duration = Duration::from_secs(600);

/// What the issuer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// When the window begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// When it wants to be asked again.
    pub again: Duration,
    /// Where a person can read why.
    pub explanation: Option<String>,
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advised {
    /// The leaf that it is about.
    pub leaf: Fingerprint,
    /// When the window begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// The instant within it that was drawn.
    pub chosen: Timestamp,
    /// When the issuer is asked again.
    pub ask_again: Timestamp,
    /// Where a person can read why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// About which leaf an issuer that advises is asked, and when: the newest one that was issued, whether it shall be
/// published or was taken back. One that was revoked is replaced whatever is said of it.
pub fn ask_for_advice(record: &Record, now: Timestamp) -> Option<(&Generation, Timestamp)> {
    let newest = record.newest_issued().filter(|newest| !newest.revoked)?;
    let known = advised(record, newest);
    let at = known.map_or(now, |known| {
        let (_, longest) = silence(usable_life(newest));
        match schedule::reached(known.ask_again, longest, now) {
            true => now,
            false => known.ask_again,
        }
    });
    Some((newest, at))
}

/// Whether something is advised about what shall be published.
pub fn is_advised(record: &Record) -> bool {
    let target = record.target_generation();
    target.is_some_and(|target| advised(record, target).is_some())
}

/// How long an issuer is not asked, at least and at most: a CA that wants an early renewal is heard in time.
fn silence(life: Duration) -> (Duration, Duration) {
    let shortest = match life > SHORT_LIFE {
        true => SHORTEST.1,
        false => SHORTEST.0,
    };
    (shortest, (life / 20).clamp(shortest, LONGEST))
}

pub(super) fn advised<'a>(record: &'a Record, generation: &Generation) -> Option<&'a Advised> {
    let advised = record.renewal.as_ref()?;
    (advised.leaf == generation.leaf.fingerprint).then_some(advised)
}

/// The instant that the issuer wants a leaf to be renewed at, within our bounds.
pub(super) fn wanted(record: &Record, generation: &Generation) -> Option<Timestamp> {
    let advised = advised(record, generation)?;
    let last = schedule::overdue(generation.accepted_at, generation.end());
    Some(advised.chosen.min(last))
}

pub(crate) fn take_in(
    record: &mut Record,
    leaf: &Fingerprint,
    advice: &Advice,
    context: Context<'_>,
) {
    let Some(newest) = record.newest_issued() else {
        return;
    };
    if newest.leaf.fingerprint != *leaf {
        return;
    }
    let life = usable_life(newest);
    let drawn = drawn(advice, context.chance);
    let chosen = match advised(record, newest) {
        Some(known) if (known.from, known.until) == (advice.from, advice.until) => known.chosen,
        Some(_) => drawn,
        None => {
            let gap = schedule::shortest_gap(life);
            let new = schedule::between(newest.accepted_at, context.now) < gap;
            drawn.max(schedule::after(
                newest.accepted_at,
                if new { life / 3 } else { gap },
            ))
        }
    };
    let (shortest, longest) = silence(life);
    let silence = advice.again.clamp(shortest, longest);
    record.renewal = Some(Advised {
        leaf: *leaf,
        from: advice.from,
        until: advice.until,
        chosen,
        ask_again: schedule::after(context.now, silence),
        explanation: advice.explanation.clone(),
    });
}

/// What is there already is taken at once, as far as the distance between two issuances allows.
pub(super) fn at_once(record: &mut Record, now: Timestamp) {
    let target = record.target_generation();
    record.renewal = target.map(|target| Advised {
        leaf: target.leaf.fingerprint,
        from: now,
        until: now,
        chosen: now,
        ask_again: schedule::after(now, LONGEST),
        explanation: None,
    });
}

/// An instant of the window, each as likely as the other; of one that ends before it begins, its end.
fn drawn(advice: &Advice, chance: f64) -> Timestamp {
    let length = Duration::try_from(advice.until.duration_since(advice.from));
    match length {
        Ok(length) => schedule::after(advice.from, length.mul_f64(chance.clamp(0.0, 1.0))),
        Err(_) => advice.until,
    }
}
