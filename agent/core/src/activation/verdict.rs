//! The verdict: whether to go back, what is to blame, and when a rollout is over.

use crate::activation::{Course, Rollout, Stage};
use crate::proof::Reason;
use crate::record::{Cause, Context, Generation, GenerationNumber, Record, Verdict};
use crate::supply::{self, Supply};

/// Is what failed worse than before, and would going back be better?
pub(super) fn judge(record: &mut Record, cause: Cause, blames: bool, context: Context<'_>) {
    let Some(rollout) = record.rollout.clone() else {
        return;
    };
    let worse = rollout
        .baseline
        .get(&cause.unit)
        .is_some_and(|proof| proof.holds());
    match rollout.course {
        Course::Forward => {
            let verdict = if blames && worse {
                match rollout
                    .from
                    .filter(|from| way_back(record, *from, rollout.generation, context))
                {
                    Some(from) => return revert(record, &rollout, from, cause),
                    None => {
                        record.rollout = None;
                        Verdict::HeldForward { cause }
                    }
                }
            } else {
                Verdict::Unproven { cause }
            };
            set_verdict(record, rollout.generation, verdict);
        }
        Course::Reverting {
            suspect,
            cause: first,
        } => {
            let hopeless = !record.usable(rollout.generation, context.life, context.now);
            if hopeless || (worse && cause.reason != Reason::NotReloadable) {
                set_verdict(
                    record,
                    suspect,
                    Verdict::NotTheCertificate {
                        cause: first.clone(),
                    },
                );
                forward_again(record, suspect, first);
            }
        }
        Course::Again { .. } => {}
    }
}

/// Whether there is another identity to go back to, and it can be used.
fn way_back(
    record: &Record,
    from: GenerationNumber,
    to: GenerationNumber,
    context: Context<'_>,
) -> bool {
    let identity = |number| {
        record
            .generations
            .get(&number)
            .map(|generation: &Generation| generation.identity)
    };
    identity(from).is_some()
        && identity(from) != identity(to)
        && record.usable(from, context.life, context.now)
}

/// The previous identity goes out as a new generation, with the newest trust.
fn revert(record: &mut Record, rollout: &Rollout, from: GenerationNumber, cause: Cause) {
    let course = Course::Reverting {
        suspect: rollout.generation,
        cause,
    };
    republish(record, from, course, rollout);
}

fn forward_again(record: &mut Record, suspect: GenerationNumber, cause: Cause) {
    let Some(rollout) = record.rollout.clone() else {
        return;
    };
    republish(record, suspect, Course::Again { cause }, &rollout);
}

fn republish(record: &mut Record, like: GenerationNumber, course: Course, rollout: &Rollout) {
    let Some(generation) = record.generations.get(&like).cloned() else {
        return;
    };
    let trust = record.trust.unwrap_or(generation.trust);
    // The verdict goes with the identity when it is published again, and stays behind when going back.
    let verdict = generation
        .verdict
        .clone()
        .filter(|_| matches!(course, Course::Again { .. }));
    // A newer target that came meanwhile is better than either.
    let newer = record.target.filter(|target| *target > rollout.generation);
    let number = record.add_generation(Generation {
        trust,
        verdict,
        ..generation
    });
    if newer.is_none() {
        record.target = Some(number);
    }
    record.rollout = Some(Rollout {
        generation: number,
        course,
        stage: Stage::Publish,
        tries: 0,
        not_before: None,
        ..rollout.clone()
    });
    for unit in record.units.values_mut() {
        // Steps under way for the generation before are over.
        unit.debt = None;
    }
}

fn set_verdict(record: &mut Record, generation: GenerationNumber, verdict: Verdict) {
    if let Some(generation) = record.generations.get_mut(&generation) {
        generation.verdict = Some(verdict);
    }
}

/// Ends a rollout whose debts are paid, and says what became of it.
pub(super) fn conclude(record: &mut Record, context: Context<'_>) {
    let open = record.units.values().any(|unit| unit.debt.is_some());
    let Some(rollout) = record.rollout.clone() else {
        // The last debt that a verdict had left open.
        let well = !open && record.published == record.target && record.supply == Supply::Fresh;
        if well && record.last_error.take().is_some() {
            record
                .published
                .into_iter()
                .for_each(|number| set_verdict(record, number, Verdict::Settled));
        }
        return;
    };
    if rollout.stage != Stage::Prove {
        return;
    }
    match rollout.course {
        Course::Reverting { suspect, cause } => {
            let held_before_and_open = record.units.iter().any(|(unit, entry)| {
                entry.debt.is_some()
                    && rollout
                        .baseline
                        .get(unit)
                        .is_some_and(|proof| proof.holds())
            });
            if !held_before_and_open {
                let text = format!(
                    "generation {suspect} was to blame: {}: {}: {}",
                    cause.unit, cause.reason, cause.detail
                );
                record.note_error(context.now, text);
                set_verdict(
                    record,
                    suspect,
                    Verdict::Blamed {
                        cause,
                        at: context.now,
                    },
                );
                record.rollout = None;
                supply::blamed(record, context);
            }
        }
        Course::Forward | Course::Again { .. } if !open => {
            record.rollout = None;
            record.last_error = None;
            set_verdict(record, rollout.generation, Verdict::Settled);
        }
        _ => {}
    }
}
