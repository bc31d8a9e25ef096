//! The supply machine: when the issuer is asked, and what happens when it does not deliver.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::leaf::Fingerprint;
use crate::record::{Generation, Record};
use crate::schedule::{self, LONGEST_BACK_OFF, LONGEST_DOUBT};

pub(crate) mod advice;
pub(crate) mod fold;
pub(crate) mod put_off;
pub(crate) mod roots;
#[cfg(test)]
mod tests;

pub use advice::{Advice, Advised, ask_for_advice, is_advised};
pub use put_off::put_off;
pub use roots::NewRoots;

/// Where the supply of a certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Supply {
    /// Nothing to do until the certificate is due.
    Fresh,
    /// The issuer is being asked.
    Issuing {
        /// Since when.
        since: Timestamp,
        /// Failed tries before this one.
        failures: u32,
        /// The newest trust bundle at that time.
        #[serde(default)]
        trust: Option<Fingerprint>,
    },
    /// A try failed; the next one waits.
    BackOff {
        /// Failed tries in a row.
        failures: u32,
        /// Until when.
        until: Timestamp,
    },
    /// The clock stands before our own past: wait for it to be set, but not for long.
    Doubt {
        /// Until when.
        until: Timestamp,
    },
    /// Only the operator can help, and may have done so at the CA.
    Stopped {
        /// When that is tried; `None` in records of versions that never did.
        #[serde(default)]
        until: Option<Timestamp>,
    },
}

/// Why no certificate came, as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the operator: what happened and what to do.
    pub text: String,
    /// When to ask again.
    pub again: Again,
    /// Whether the issuer did issue something (which then was refused): it counts as an issuance.
    pub answered: bool,
}

/// When to ask an issuer again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// As soon as possible.
    Now,
    /// With exponential back-off.
    BackOff,
    /// After the time that the issuer named.
    After(Duration),
    /// Not before the operator did something.
    Operator,
}

/// Why the issuer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// There is no certificate yet.
    First,
    /// The schedule says so.
    Due,
    /// The issuer wants it so.
    Advised,
    /// The operator asked.
    Operator,
    /// Names, usages, key type or issuer changed.
    Changed,
    /// What is in use was revoked.
    Revoked,
    /// The clock was set, and the certificate is not valid by it.
    Clock,
    /// A try failed before, or the last certificate was blamed.
    Again,
    /// A new root is to be known first; only waited for.
    NewRoot,
}

impl Cause {
    /// In a few words, for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::First => "the first certificate",
            Self::Due => "due",
            Self::Advised => "its issuer advises it",
            Self::Operator => "asked for by the operator",
            Self::Changed => "the configuration changed",
            Self::Revoked => "the one in use was revoked",
            Self::Clock => "not valid by the clock",
            Self::Again => "a new try",
            Self::NewRoot => {
                "the CA has a new root, which is to be known everywhere before it is used"
            }
        }
    }
}

/// What the supply machine wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask the issuer.
    Issue(Cause),
    /// Fold [`crate::record::Event::ClockDoubted`].
    Doubt,
    /// Nothing before this instant; `None`: nothing until something happens.
    Wait(Option<Timestamp>, Cause),
}

/// Decides what the supply machine does at `now`; `request` is the digest of what is configured, `settle` how long a
/// new root is known on this host before it is used.
pub fn next(
    record: &Record,
    request: &Fingerprint,
    life: Duration,
    settle: Duration,
    now: Timestamp,
) -> Action {
    let action = wanted(record, request, life, now);
    let at = match action {
        Action::Issue(_) => now,
        Action::Wait(Some(at), _) => at,
        Action::Doubt | Action::Wait(None, _) => return action,
    };
    match roots::wait(record, settle, now) {
        Some(until) if until > at => Action::Wait(Some(until), Cause::NewRoot),
        _ => action,
    }
}

/// As if every root were known.
fn wanted(record: &Record, request: &Fingerprint, life: Duration, now: Timestamp) -> Action {
    if let Supply::Issuing { .. } = record.supply {
        return Action::Wait(None, Cause::Again);
    }
    if record.renew_requested {
        return Action::Issue(Cause::Operator);
    }
    let early = record
        .target_generation()
        .is_some_and(|target| is_early(target, now));
    match record.supply {
        Supply::Stopped { until: None } => return Action::Wait(None, Cause::Operator),
        Supply::Stopped { until: Some(until) } => {
            if !schedule::reached(until, LONGEST_BACK_OFF, now) {
                return Action::Wait(Some(until), Cause::Again);
            }
            return issue_at(repeated(record, now, life, now), now, Cause::Again);
        }
        Supply::BackOff { until, .. } => {
            if !schedule::reached(until, longest_wait(record, life, now), now) {
                return Action::Wait(Some(until), Cause::Again);
            }
            // What was published meanwhile can have ended the outage that shortened the gap.
            return issue_at(repeated(record, now, life, now), now, Cause::Again);
        }
        // A clock that was set meanwhile leaves nothing to doubt.
        Supply::Doubt { until } if early => {
            return if schedule::reached(until, LONGEST_DOUBT, now) {
                Action::Issue(Cause::Clock)
            } else {
                Action::Wait(Some(until), Cause::Clock)
            };
        }
        Supply::Doubt { .. } | Supply::Fresh | Supply::Issuing { .. } => {}
    }
    let Some(target) = record.target_generation() else {
        return Action::Issue(Cause::First);
    };
    if early {
        return Action::Doubt;
    }
    let (wanted, cause, gap) = if target.revoked {
        // The operator's order, as a renewal is.
        (now, Cause::Revoked, Duration::ZERO)
    } else if target.request == *request {
        let renewed = in_question(record).unwrap_or(target);
        let due = schedule::due(
            renewed.accepted_at,
            renewed.end(),
            &renewed.leaf.fingerprint,
        );
        let (due, cause) = match advice::wanted(record, renewed) {
            Some(at) => (at, Cause::Advised),
            None => (due, Cause::Due),
        };
        (due, cause, gap(record, life, now))
    } else {
        // A changed configuration is the operator's doing: only a flapping one is held back.
        let gap = gap(record, life, now).min(Duration::from_secs(60));
        (now, Cause::Changed, gap)
    };
    issue_at(not_too_soon(record, wanted, gap, now), now, cause)
}

/// What the issuer advises about the leaf that the schedule goes by.
pub fn advice_in_force(record: &Record) -> Option<&Advised> {
    let renewed = in_question(record).or(record.target_generation())?;
    advice::advised(record, renewed)
}

/// From when on another issuer may be asked where the first one fails: what is published has come to its last sixth, or
/// was revoked. Before that there is time to wait for the first one, and a CA that stutters does not send a whole fleet
/// to its stand-in.
pub fn fall_back_from(record: &Record) -> Option<Timestamp> {
    let current = record.published_generation()?;
    Some(match current.revoked {
        true => Timestamp::MIN,
        false => schedule::overdue(current.accepted_at, current.end()),
    })
}

fn issue_at(at: Timestamp, now: Timestamp, cause: Cause) -> Action {
    if at <= now {
        Action::Issue(cause)
    } else {
        Action::Wait(Some(at), cause)
    }
}

/// When a failed try is repeated: at `wanted`, but not within the gap of the last issuance. One that was ordered within
/// it, and has cost no issuance, is not held to that.
fn repeated(record: &Record, wanted: Timestamp, life: Duration, now: Timestamp) -> Timestamp {
    match record.out_of_turn {
        true => wanted,
        false => not_too_soon(record, wanted, gap(record, life, now), now),
    }
}

/// `wanted`, but not within `gap` of the last issuance; one "in the future" was made under another clock.
fn not_too_soon(record: &Record, wanted: Timestamp, gap: Duration, now: Timestamp) -> Timestamp {
    match record.last_issuance {
        Some(last) if last <= now => wanted.max(schedule::after(last, gap)),
        _ => wanted,
    }
}

/// Whether a generation is not valid yet, which says that the clock is wrong: it was valid when it
/// was accepted.
fn is_early(generation: &Generation, now: Timestamp) -> bool {
    generation.leaf.not_before > schedule::after(now, schedule::EARLY)
}

/// While going back, the identity before is the target, and it may well be due. Another one is not
/// asked for because of that: the verdict on the one in question is still to come.
fn in_question(record: &Record) -> Option<&Generation> {
    let suspect = record.rollout.as_ref()?.course.suspect()?;
    record.generations.get(&suspect)
}

fn usable_life(generation: &Generation) -> Duration {
    schedule::between(generation.accepted_at, generation.end())
}

/// An issuer may give a shorter life than was asked for.
fn granted(record: &Record, life: Duration) -> Duration {
    record
        .target_generation()
        .map(usable_life)
        .filter(|granted| !granted.is_zero())
        .map_or(life, |granted| granted.min(life))
}

/// The shortest time from one automatic issuance to the next. Without any valid certificate an outage weighs more than
/// the issuer's burden.
fn gap(record: &Record, life: Duration, now: Timestamp) -> Duration {
    let gap = schedule::shortest_gap(granted(record, life));
    match remaining(record, now) {
        Some(_) => gap,
        None => gap.min(LONGEST_BACK_OFF),
    }
}

/// No stored wait can be longer: anything beyond was written under another clock. What is in use may live longer than is
/// asked for now.
fn longest_wait(record: &Record, life: Duration, now: Timestamp) -> Duration {
    let granted = record.target_generation().map_or(life, usable_life);
    let remaining = remaining(record, now).unwrap_or_default();
    let heeded = remaining.min(granted.max(life));
    LONGEST_BACK_OFF.max(heeded).max(gap(record, life, now))
}

/// What remains of the certificate in use; `None` when there is none that is valid.
fn remaining(record: &Record, now: Timestamp) -> Option<Duration> {
    let remaining = schedule::between(now, record.published_generation()?.end());
    (!remaining.is_zero()).then_some(remaining)
}
