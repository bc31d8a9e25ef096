//! The verdict: whether to go back, what is to blame, and when a rollout is over.

use crate::activation::{Course, Rollout, Stage};
use crate::names::UnitName;
use crate::proof::{Proof, Reason};
use crate::record::{Cause, Context, Generation, GenerationNumber, Record, Verdict};
use crate::supply::{self, Supply};

/// So many tries under the identity before must have failed until a failure that says little (a stale
/// leaf, a cancelled job) counts as "fails too".
const PATIENCE: u32 = 5;

/// A dependent failed. Is that worse than before, and would going back be better? `telling`: this
/// kind of failure can be the certificate's fault; `tries`: how often it failed for this generation.
pub(super) fn judge(
    record: &mut Record,
    cause: Cause,
    telling: bool,
    tries: u32,
    context: Context<'_>,
) {
    let Some(rollout) = record.rollout.clone() else {
        return;
    };
    if rollout.stage != Stage::Prove {
        // Something else is about to be published: what fails now is not its fault.
        return;
    }
    let worse = rollout
        .baseline
        .get(&cause.unit)
        .is_some_and(|proof| proof.holds());
    match rollout.course {
        Course::Forward | Course::Again { .. } if telling && worse => {
            let back = rollout
                .from
                .filter(|from| way_back(record, *from, rollout.generation, context));
            match back {
                Some(from) => revert(record, from, cause),
                None => {
                    record.rollout = None;
                    set_verdict(record, rollout.generation, Verdict::HeldForward { cause });
                }
            }
        }
        Course::Forward | Course::Again { .. } => {
            // What is known already says more than that.
            if let Some(generation) = record.generations.get_mut(&rollout.generation)
                && !matches!(generation.verdict, Some(Verdict::NotTheCertificate { .. }))
            {
                generation.verdict = Some(Verdict::Unproven { cause });
            }
        }
        Course::Reverting {
            suspect,
            cause: first,
        } => {
            let fails_too = telling || (tries >= PATIENCE && cause.reason != Reason::NotReloadable);
            if !record.usable(rollout.generation, context.life, context.now) {
                let verdict = Verdict::HeldForward {
                    cause: first.clone(),
                };
                set_verdict(record, suspect, verdict);
                forward_again(record, suspect, first);
            } else if worse && fails_too {
                broken_anyway(record, &cause);
                if cause.unit == first.unit {
                    let verdict = Verdict::NotTheCertificate {
                        cause: first.clone(),
                    };
                    set_verdict(record, suspect, verdict);
                    forward_again(record, suspect, first);
                } else {
                    conclude(record, context);
                }
            }
        }
    }
}

/// The unit fails whichever identity is published: from here on it is no reason to go back.
fn broken_anyway(record: &mut Record, cause: &Cause) {
    if let Some(rollout) = &mut record.rollout {
        rollout
            .baseline
            .insert(cause.unit.clone(), Proof::Failed(cause.reason));
    }
}

/// Whether there is another identity to go back to, and it can be used.
fn way_back(
    record: &Record,
    from: GenerationNumber,
    to: GenerationNumber,
    context: Context<'_>,
) -> bool {
    identity(record, from).is_some()
        && identity(record, from) != identity(record, to)
        && record.usable(from, context.life, context.now)
}

pub(super) fn identity(record: &Record, number: GenerationNumber) -> Option<GenerationNumber> {
    record
        .generations
        .get(&number)
        .map(|generation| generation.identity)
}

/// The previous identity goes out as a new generation, with the newest trust.
fn revert(record: &mut Record, from: GenerationNumber, cause: Cause) {
    let Some(suspect) = record.rollout.as_ref().map(|rollout| rollout.generation) else {
        return;
    };
    // A newer identity that came meanwhile goes out after that; more of the suspect one does not.
    let newer = newer_identity(record, [from, suspect]);
    let Some(number) = again(record, from) else {
        return;
    };
    record.target = newer
        .and_then(|newer| again(record, newer))
        .or(Some(number));
    turn(record, number, Course::Reverting { suspect, cause });
}

/// The identity that was in question goes out again: it was not to blame, or there is nothing better.
fn forward_again(record: &mut Record, suspect: GenerationNumber, cause: Cause) {
    let from = record.rollout.as_ref().map(|rollout| rollout.generation);
    let newer = newer_identity(record, [from.unwrap_or(suspect), suspect]);
    if newer.is_some() {
        // Better than either.
        record.rollout = None;
        return;
    }
    let Some(number) = again(record, suspect) else {
        record.rollout = None;
        return;
    };
    record.target = Some(number);
    turn(record, number, Course::Again { cause });
}

/// The target, when its identity is none of `known`.
fn newer_identity(record: &Record, known: [GenerationNumber; 2]) -> Option<GenerationNumber> {
    let known = known.map(|number| identity(record, number));
    record.target.filter(|target| {
        let identity = identity(record, *target);
        identity.is_some() && !known.contains(&identity)
    })
}

/// A generation's identity under a new number, with the newest trust. What is known of it goes with
/// it; that it once settled says nothing about the next time.
pub(super) fn again(record: &mut Record, like: GenerationNumber) -> Option<GenerationNumber> {
    let generation = record
        .generations
        .get(&like)
        .filter(|generation| !generation.lost)?
        .clone();
    let trust = record.trust.unwrap_or(generation.trust);
    let verdict = generation.verdict.clone().filter(|verdict| {
        matches!(
            verdict,
            Verdict::NotTheCertificate { .. } | Verdict::HeldForward { .. }
        )
    });
    Some(record.add_generation(Generation {
        trust,
        verdict,
        ..generation
    }))
}

fn turn(record: &mut Record, generation: GenerationNumber, course: Course) {
    if let Some(rollout) = record.rollout.take() {
        record.rollout = Some(Rollout {
            generation,
            course,
            stage: Stage::Publish,
            tries: 0,
            not_before: None,
            ..rollout
        });
    }
}

pub(super) fn set_verdict(record: &mut Record, generation: GenerationNumber, verdict: Verdict) {
    if let Some(generation) = record.generations.get_mut(&generation) {
        generation.verdict = Some(verdict);
    }
}

/// Gives up going back when the identity before can no longer be used: the one in question stays.
pub(super) fn hold_forward_if_there_is_no_way_back(record: &mut Record, context: Context<'_>) {
    let Some(Rollout {
        generation,
        stage: Stage::Publish,
        course: Course::Reverting { suspect, cause },
        ..
    }) = record.rollout.clone()
    else {
        return;
    };
    if record.usable(generation, context.life, context.now) {
        return;
    }
    set_verdict(record, suspect, Verdict::HeldForward { cause });
    record.rollout = None;
    if newer_identity(record, [generation, suspect]).is_none() {
        record.target = if record.published == Some(suspect) {
            Some(suspect)
        } else {
            again(record, suspect)
        };
    }
}

/// Ends a rollout whose debts are paid, and says what became of it.
pub(super) fn conclude(record: &mut Record, context: Context<'_>) {
    let open = record.units.values().any(|unit| unit.debt.is_some());
    let Some(rollout) = record.rollout.clone() else {
        if !open && record.published == record.target {
            // The last debt that a verdict had left open.
            settle(record);
        }
        return;
    };
    if rollout.stage != Stage::Prove {
        return;
    }
    match rollout.course {
        Course::Reverting { suspect, cause } => {
            let undecided = record.units.iter().any(|(unit, entry)| {
                entry.debt.is_some()
                    && rollout
                        .baseline
                        .get(unit)
                        .is_some_and(|proof| proof.holds())
            });
            if !undecided {
                record.rollout = None;
                if !open {
                    set_verdict(record, rollout.generation, Verdict::Settled);
                }
                acquit_or_blame(record, rollout.generation, suspect, cause, context);
            }
        }
        Course::Forward | Course::Again { .. } if !open => {
            record.rollout = None;
            settle(record);
        }
        _ => {}
    }
}

fn settle(record: &mut Record) {
    if let Some(number) = record.published {
        set_verdict(record, number, Verdict::Settled);
    }
    if record.supply == Supply::Fresh {
        record.last_error = None;
    }
}

/// The identity before is in use again. The suspect is to blame only if the unit that failed under it
/// was seen to work again; one that was stopped meanwhile is no witness.
fn acquit_or_blame(
    record: &mut Record,
    number: GenerationNumber,
    suspect: GenerationNumber,
    cause: Cause,
    context: Context<'_>,
) {
    if !works(record, &cause.unit) {
        set_verdict(record, suspect, Verdict::Unproven { cause });
        return;
    }
    let text = format!(
        "generation {suspect} was to blame: {}: {}: {}",
        cause.unit, cause.reason, cause.detail
    );
    record.note_error(context.now, text);
    let at = context.now;
    set_verdict(record, suspect, Verdict::Blamed { cause, at });
    let target = record.target.and_then(|target| identity(record, target));
    if target == identity(record, number) {
        supply::fold::blamed(record, context);
    }
}

fn works(record: &Record, unit: &UnitName) -> bool {
    record
        .units
        .get(unit)
        .is_some_and(|entry| entry.standing.proof.holds())
}
