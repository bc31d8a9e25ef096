//! Tells everyone what happened, in the journal. Reads the record before and after an event, and never
//! changes one. Its neighbour [`super::watchers`] tells those who asked for a renewal.

use renewd_core::proof::{Proof, Reason};
use renewd_core::record::{Event, GenerationNumber, Record, Verdict};
use renewd_core::supply::{self, Supply};

use crate::journal::{self, Event as Entry, NextTry};

/// The next try after a failed one, seen from the end of what is published.
fn next_try(after: &Record) -> NextTry {
    let at = match after.supply {
        Supply::BackOff { until, .. } => Some(until),
        _ => None,
    };
    let end = after
        .published_generation()
        .map(renewd_core::record::Generation::end);
    let in_time = at.is_some_and(|at| end.is_none_or(|end| at < end));
    NextTry { at, in_time }
}

/// Writes what an event brought into the journal.
pub(crate) fn journal(
    before: &Record,
    event: &Event,
    after: &Record,
    cause: Option<supply::Cause>,
) {
    let certificate = || after.certificate.clone();
    match event {
        Event::IssueStarted => {
            let why = cause.map_or("due", supply::Cause::label).to_owned();
            journal::emit(&Entry::IssuanceStarted {
                certificate: certificate(),
                why,
            });
        }
        Event::IssueFailed(failure) => {
            let next = next_try(after);
            journal::emit(&match failure.answered {
                false => Entry::IssuanceFailed {
                    certificate: certificate(),
                    error: failure.text.clone(),
                    next,
                },
                true => Entry::AnswerRefused {
                    certificate: certificate(),
                    reason: failure.text.clone(),
                    next,
                },
            });
        }
        Event::Accepted(identity) if after.highest > before.highest => {
            journal::emit(&Entry::Issued {
                certificate: certificate(),
                generation: after.highest,
                serial: identity.leaf.serial.clone(),
                not_after: identity.usable_until,
            })
        }
        Event::Published(generation) => {
            if let Some(serial) = after.published_serial().cloned() {
                journal::emit(&Entry::Published {
                    certificate: certificate(),
                    generation: *generation,
                    serial,
                });
            }
        }
        Event::PublishFailed(text) => {
            let meant = after.rollout.as_ref().map(|rollout| rollout.generation);
            if let Some(generation) = meant.or(after.target) {
                journal::emit(&Entry::NotPublished {
                    certificate: certificate(),
                    generation,
                    error: text.clone(),
                });
            }
        }
        Event::ClockDoubted | Event::ClockStepped => {
            if let (true, Some(error)) = (before.supply != after.supply, &after.last_error) {
                journal::emit(&Entry::ClockInDoubt {
                    certificate: certificate(),
                    detail: error.text.clone(),
                });
            }
        }
        _ => {}
    }
    proofs(before, after);
    verdicts(before, after);
}

fn proofs(before: &Record, after: &Record) {
    let Some(generation) = after.published else {
        return;
    };
    for (unit, entry) in &after.units {
        let standing = &entry.standing;
        let known = before.units.get(unit).map(|entry| entry.standing.proof);
        if known == Some(standing.proof) {
            continue;
        }
        let (certificate, unit) = (after.certificate.clone(), unit.clone());
        journal::emit(&match standing.proof {
            Proof::Pending => continue,
            Proof::Failed(Reason::WrongLeaf) => Entry::StaleInMemory {
                certificate,
                generation,
                unit,
                served: standing.served_serial.clone(),
            },
            Proof::Failed(reason) => Entry::NotProven {
                certificate,
                generation,
                unit,
                reason,
                detail: standing.detail.clone(),
            },
            proof => {
                let Some(serial) = after.published_serial().cloned() else {
                    continue;
                };
                Entry::Proven {
                    certificate,
                    generation,
                    serial,
                    unit,
                    proof,
                }
            }
        });
    }
}

fn verdicts(before: &Record, after: &Record) {
    let certificate = || after.certificate.clone();
    let suspect = |record: &Record| {
        record
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.course.suspect())
    };
    if let (None, Some(from), Some(rollout)) = (suspect(before), suspect(after), &after.rollout) {
        journal::emit(&Entry::Reverted {
            certificate: certificate(),
            from,
            to: rollout.generation,
        });
    }
    for (number, generation) in &after.generations {
        let known = before
            .generations
            .get(number)
            .and_then(|generation| generation.verdict.as_ref());
        let Some(verdict) = generation
            .verdict
            .as_ref()
            .filter(|verdict| Some(*verdict) != known)
        else {
            continue;
        };
        let generation: GenerationNumber = *number;
        let text = |cause: &renewd_core::record::Cause| {
            format!("{}: {}: {}", cause.unit, cause.reason, cause.detail)
        };
        match verdict {
            Verdict::Blamed { cause, .. } => {
                journal::emit(&Entry::Blamed {
                    certificate: certificate(),
                    generation,
                    cause: text(cause),
                });
            }
            // Carried along to the number under which it is published again: told once.
            Verdict::NotTheCertificate { cause } if before.generations.contains_key(number) => {
                journal::emit(&Entry::NotTheCertificate {
                    certificate: certificate(),
                    generation,
                    cause: text(cause),
                });
            }
            Verdict::HeldForward { cause } => {
                journal::emit(&Entry::HeldForward {
                    certificate: certificate(),
                    generation,
                    cause: text(cause),
                });
            }
            _ => {}
        }
    }
}
