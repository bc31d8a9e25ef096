//! How events change the supply machine.

use std::time::Duration;

use jiff::Timestamp;

use crate::record::{Context, Generation, GenerationNumber, NewIdentity, Record};
use crate::schedule::{self, LONGEST_DOUBT};
use crate::supply::{Again, Failure, Supply, gap, is_early, put_off, remaining, roots};

pub(crate) fn started(record: &mut Record, context: Context<'_>) {
    let failures = match record.supply {
        Supply::BackOff { failures, .. } | Supply::Issuing { failures, .. } => failures,
        _ => 0,
    };
    record.out_of_turn = not_too_soon(record, context.now, context) > context.now;
    record.supply = Supply::Issuing {
        since: context.now,
        failures,
        trust: record.trust,
    };
    record.renew_requested = false;
}

/// A restart found the issuer being asked: the key is gone with the process, so it is asked again,
/// after a back-off, lest a crash loop become an issuance loop.
pub(crate) fn interrupted(record: &mut Record, context: Context<'_>) {
    if let Supply::Issuing { failures, .. } = record.supply {
        wait(record, failures.saturating_add(1), context);
    }
    resumed(record);
}

/// A start and a new configuration are the operator's doing, which was waited for.
pub(crate) fn resumed(record: &mut Record) {
    if matches!(record.supply, Supply::Stopped { .. }) {
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
        until: repeated(record, until, context),
    };
}

fn not_too_soon(record: &Record, until: Timestamp, context: Context<'_>) -> Timestamp {
    let gap = gap(record, context.life, context.now);
    super::not_too_soon(record, until, gap, context.now)
}

fn repeated(record: &Record, until: Timestamp, context: Context<'_>) -> Timestamp {
    super::repeated(record, until, context.life, context.now)
}

/// The issuer has issued something: the next one keeps its distance.
fn issued(record: &mut Record, context: Context<'_>) {
    record.issuances += 1;
    record.last_issuance = Some(context.now);
    record.out_of_turn = false;
}

pub(crate) fn failed(record: &mut Record, failure: Failure, context: Context<'_>) {
    let Supply::Issuing { failures, .. } = record.supply else {
        return;
    };
    if failure.answered {
        issued(record, context);
    }
    record.note_error(context.now, failure.text);
    let tries = failures.saturating_add(1);
    match failure.again {
        Again::Operator => {
            let pause = schedule::look_again(context.life, context.chance);
            let until = Some(schedule::after(context.now, pause));
            record.supply = Supply::Stopped { until };
        }
        Again::Now if failures == 0 => {
            let until = schedule::after(context.now, Duration::from_millis(250));
            record.supply = Supply::BackOff {
                failures: tries,
                until: repeated(record, until, context),
            };
        }
        Again::Now | Again::BackOff => wait(record, tries, context),
        Again::After(asked) => {
            let left = remaining(record, context.now);
            // A CA that names the same short time again and again is not asked for ever at that pace.
            let least = schedule::back_off(tries, context.life, left, context.chance);
            let until = put_off::heeded(record, asked.max(least), context);
            let until = repeated(record, until, context);
            record.supply = Supply::BackOff {
                failures: tries,
                until,
            };
        }
    }
}

/// What nobody ordered keeps the distance to the last issuance.
fn wait_in_turn(record: &mut Record, context: Context<'_>) {
    record.out_of_turn = false;
    wait(record, 1, context);
}

/// The identity that should have come into use was blamed: ask for another one, with back-off. An
/// issuance under way goes on: it is the new try.
pub(crate) fn blamed(record: &mut Record, context: Context<'_>) {
    match record.supply {
        Supply::Issuing { .. } | Supply::Stopped { .. } => {}
        Supply::BackOff { failures, .. } => wait(record, failures.saturating_add(1), context),
        Supply::Fresh | Supply::Doubt { .. } => wait_in_turn(record, context),
    }
}

/// Nobody who looks at a revocation list believes the identity any more. If it is the one in use, another one is wanted
/// now, and a wait that was begun for anything else is over: the order to revoke is the operator's.
pub(crate) fn revoked(record: &mut Record, identity: GenerationNumber) {
    let of_it = |generation: &&mut Generation| generation.identity == identity;
    for generation in record.generations.values_mut().filter(of_it) {
        generation.revoked = true;
    }
    let in_use = record
        .target_generation()
        .is_some_and(|target| target.revoked);
    if in_use {
        put_off::over(record);
        if matches!(
            record.supply,
            Supply::BackOff { .. } | Supply::Stopped { .. }
        ) {
            record.supply = Supply::Fresh;
        }
    }
}

/// Without an identity that can be published the issuer is asked anew: with back-off, lest a disk
/// that loses keys become an issuance loop.
pub(crate) fn nothing_to_publish(record: &mut Record, context: Context<'_>) {
    if matches!(record.supply, Supply::Fresh | Supply::Doubt { .. }) {
        wait_in_turn(record, context);
    }
}

pub(crate) fn accepted(record: &mut Record, identity: NewIdentity, context: Context<'_>) {
    let Supply::Issuing { trust: asked, .. } = record.supply else {
        return;
    };
    issued(record, context);
    record.supply = Supply::Fresh;
    // It was about the leaf before, and this one's issuer may have none.
    record.renewal = None;
    put_off::over(record);
    if record.units.values().all(|unit| unit.debt.is_none()) {
        record.last_error = None;
    }
    // A bundle that came while the issuer was asked is newer than the one that came with the answer.
    let overtaken = record.trust != asked && record.anchors.contains(&identity.anchor);
    if !overtaken {
        roots::offered(record, &identity.trust.anchors, context.now);
        record.trust = Some(identity.trust.digest);
        record.anchors = identity.trust.anchors;
        record.dropped = identity.trust.dropped;
    }
    roots::used(record, &identity.anchor, context.now);
    let number = record.next_number();
    let number = record.add_generation(Generation {
        identity: number,
        trust: record.trust.unwrap_or(identity.trust.digest),
        usable_until: (identity.usable_until < identity.leaf.not_after)
            .then_some(identity.usable_until),
        leaf: identity.leaf,
        anchor: identity.anchor,
        request: identity.request,
        accepted_at: context.now,
        verdict: None,
        lost: false,
        revoked: false,
        issuer: Some(identity.issuer),
    });
    record.target = Some(number);
}

pub(crate) fn clock_doubted(record: &mut Record, context: Context<'_>) {
    if matches!(
        record.supply,
        Supply::Issuing { .. } | Supply::BackOff { .. } | Supply::Stopped { .. }
    ) {
        return;
    }
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
    let early = record
        .target_generation()
        .is_some_and(|target| is_early(target, context.now));
    match record.supply {
        Supply::Fresh | Supply::Doubt { .. } if early => {
            record.supply = Supply::Doubt { until: context.now };
        }
        Supply::Doubt { .. } => record.supply = Supply::Fresh,
        Supply::BackOff { .. } => hurry(record, context),
        _ => {}
    }
}

/// The issuer has what was not had yet: waiting for it is over.
pub(crate) fn offered(record: &mut Record, context: Context<'_>) {
    super::advice::at_once(record, context.now);
    hurry(record, context);
}

/// The next try after a failed one comes within a second: never at once, lest what fails at once be a loop.
fn hurry(record: &mut Record, context: Context<'_>) {
    if let Supply::BackOff { failures, until } = record.supply {
        let until = until.min(schedule::after(context.now, Duration::from_secs(1)));
        record.supply = Supply::BackOff {
            failures,
            until: repeated(record, until, context),
        };
    }
}
