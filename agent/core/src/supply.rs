//! The supply machine: when the issuer is asked, and what happens when it does not deliver.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::leaf::Fingerprint;
use crate::record::{Context, Generation, NewIdentity, Record};
use crate::schedule::{self, LONGEST_BACK_OFF, LONGEST_DOUBT};

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
    /// Only the operator can help.
    Stopped,
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
    /// The operator asked.
    Operator,
    /// Names, usages, key type or issuer changed.
    Changed,
    /// The clock was set, and the certificate is not valid by it.
    Clock,
    /// A try failed before, or the last certificate was blamed.
    Again,
}

impl Cause {
    /// In a few words, for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::First => "the first certificate",
            Self::Due => "due",
            Self::Operator => "asked for by the operator",
            Self::Changed => "the configuration changed",
            Self::Clock => "not valid by the clock",
            Self::Again => "a new try",
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

/// Decides what the supply machine does at `now`; `request` is the digest of what is configured.
pub fn next(record: &Record, request: &Fingerprint, life: Duration, now: Timestamp) -> Action {
    if let Supply::Issuing { .. } = record.supply {
        return Action::Wait(None, Cause::Again);
    }
    if record.renew_requested {
        return Action::Issue(Cause::Operator);
    }
    match record.supply {
        Supply::Stopped => return Action::Wait(None, Cause::Operator),
        Supply::BackOff { until, .. } => {
            return if schedule::reached(until, longest_wait(record, life), now) {
                Action::Issue(Cause::Again)
            } else {
                Action::Wait(Some(until), Cause::Again)
            };
        }
        Supply::Doubt { until } => {
            return if schedule::reached(until, LONGEST_DOUBT, now) {
                Action::Issue(Cause::Clock)
            } else {
                Action::Wait(Some(until), Cause::Clock)
            };
        }
        Supply::Fresh | Supply::Issuing { .. } => {}
    }
    let Some(target) = record.target_generation() else {
        return Action::Issue(Cause::First);
    };
    if target.leaf.not_before > schedule::after(now, schedule::EARLY) {
        return Action::Doubt;
    }
    let (wanted, cause, gap) = if target.request == *request {
        let due = schedule::due(
            target.accepted_at,
            target.leaf.not_after,
            &target.leaf.fingerprint,
        );
        (due, Cause::Due, schedule::shortest_gap(usable_life(target)))
    } else {
        // A changed configuration is the operator's doing: only a flapping one is held back.
        (
            now,
            Cause::Changed,
            schedule::shortest_gap(life).min(Duration::from_secs(60)),
        )
    };
    let at = match record.last_issuance {
        // An issuance "in the future" was made under another clock.
        Some(last) if last <= now => wanted.max(schedule::after(last, gap)),
        _ => wanted,
    };
    if at <= now {
        Action::Issue(cause)
    } else {
        Action::Wait(Some(at), cause)
    }
}

fn usable_life(generation: &Generation) -> Duration {
    schedule::between(generation.accepted_at, generation.leaf.not_after)
}

/// No stored back-off can be longer: anything beyond was written under another clock.
fn longest_wait(record: &Record, life: Duration) -> Duration {
    let life = record
        .target_generation()
        .map_or(life, usable_life)
        .max(life);
    LONGEST_BACK_OFF.max(life)
}

/// What remains of the certificate in use; `None` when there is none that is valid.
fn remaining(record: &Record, now: Timestamp) -> Option<Duration> {
    let remaining = schedule::between(now, record.published_generation()?.leaf.not_after);
    (!remaining.is_zero()).then_some(remaining)
}

pub(crate) fn started(record: &mut Record, context: Context<'_>) {
    let failures = match record.supply {
        Supply::BackOff { failures, .. } => failures,
        _ => 0,
    };
    record.supply = Supply::Issuing {
        since: context.now,
        failures,
    };
    record.renew_requested = false;
}

/// A restart found the issuer being asked: the key is gone with the process, so it is asked again,
/// after a back-off, lest a crash loop become an issuance loop.
pub(crate) fn interrupted(record: &mut Record, context: Context<'_>) {
    if let Supply::Issuing { failures, .. } = record.supply {
        wait(record, failures + 1, context);
    }
    if record.supply == Supply::Stopped {
        // A start is the operator's doing.
        record.supply = Supply::Fresh;
    }
}

fn wait(record: &mut Record, failures: u32, context: Context<'_>) {
    let delay = schedule::back_off(
        failures,
        context.life,
        remaining(record, context.now),
        context.chance,
    );
    let until = schedule::after(context.now, delay);
    record.supply = Supply::BackOff {
        failures,
        until: not_too_soon(record, until, context),
    };
}

/// Never two issuances within a tenth of the life: a failed try that cost no issuance is not held to
/// that, one that did is.
fn not_too_soon(record: &Record, until: Timestamp, context: Context<'_>) -> Timestamp {
    match record.last_issuance {
        Some(last) if last <= context.now => {
            until.max(schedule::after(last, schedule::shortest_gap(context.life)))
        }
        _ => until,
    }
}

pub(crate) fn failed(record: &mut Record, failure: Failure, context: Context<'_>) {
    let Supply::Issuing { failures, .. } = record.supply else {
        return;
    };
    if failure.answered {
        record.issuances += 1;
        record.last_issuance = Some(context.now);
    }
    record.note_error(context.now, failure.text);
    match failure.again {
        Again::Operator => record.supply = Supply::Stopped,
        Again::Now => {
            let until = schedule::after(context.now, Duration::from_millis(250));
            let until = if failures == 0 {
                until
            } else {
                return wait(record, failures + 1, context);
            };
            record.supply = Supply::BackOff {
                failures: 1,
                until: not_too_soon(record, until, context),
            };
        }
        Again::BackOff => wait(record, failures + 1, context),
        Again::After(asked) => {
            let delay =
                schedule::bounded_after(asked, context.life, remaining(record, context.now));
            let until = not_too_soon(record, schedule::after(context.now, delay), context);
            record.supply = Supply::BackOff {
                failures: failures + 1,
                until,
            };
        }
    }
}

/// The certificate in use was blamed: ask for another one, with back-off.
pub(crate) fn blamed(record: &mut Record, context: Context<'_>) {
    let failures = match record.supply {
        Supply::BackOff { failures, .. } | Supply::Issuing { failures, .. } => failures,
        _ => 0,
    };
    // An issuance under way goes on: it is the new try.
    if !matches!(record.supply, Supply::Issuing { .. }) {
        wait(record, failures + 1, context);
    }
}

/// Without an identity that can be published the issuer is asked anew: with back-off, lest a disk
/// that loses keys become an issuance loop.
pub(crate) fn identity_lost(record: &mut Record, context: Context<'_>) {
    if record.target.is_none() && record.supply == Supply::Fresh {
        wait(record, 1, context);
    }
}

pub(crate) fn accepted(record: &mut Record, identity: NewIdentity, context: Context<'_>) {
    if !matches!(record.supply, Supply::Issuing { .. }) {
        return;
    }
    record.issuances += 1;
    record.last_issuance = Some(context.now);
    record.supply = Supply::Fresh;
    record.last_error = None;
    record.trust = Some(identity.trust.digest);
    record.anchors = identity.trust.anchors;
    let number = record.next_number();
    let number = record.add_generation(Generation {
        identity: number,
        trust: identity.trust.digest,
        leaf: identity.leaf,
        anchor: identity.anchor,
        request: identity.request,
        accepted_at: context.now,
        verdict: None,
        lost: false,
    });
    record.target = Some(number);
}

pub(crate) fn clock_doubted(record: &mut Record, context: Context<'_>) {
    let patience = (context.life / 10).min(LONGEST_DOUBT);
    record.supply = Supply::Doubt {
        until: schedule::after(context.now, patience),
    };
    record.note_error(
        context.now,
        "the clock stands before the certificate's beginning; waiting for it to be set (see `timedatectl`)".into(),
    );
}

/// The clock was set: waits that were measured on the old one end, and a certificate that is not
/// valid by the new one is replaced at once.
pub(crate) fn clock_stepped(record: &mut Record, context: Context<'_>) {
    let early = record.target_generation().is_some_and(|target| {
        target.leaf.not_before > schedule::after(context.now, schedule::EARLY)
    });
    match record.supply {
        Supply::Fresh | Supply::Doubt { .. } if early => {
            record.supply = Supply::Doubt { until: context.now };
        }
        Supply::Doubt { .. } => record.supply = Supply::Fresh,
        Supply::BackOff { failures, until } => {
            let until = until.min(schedule::after(context.now, Duration::from_secs(1)));
            record.supply = Supply::BackOff {
                failures,
                until: not_too_soon(record, until, context),
            };
        }
        _ => {}
    }
}
