//! What being told, probed and started change about a dependent. What becomes of a failure is
//! [`super::verdict`]'s.

use crate::activation::debts::note_restart;
use crate::activation::verdict::{conclude, judge};
use crate::leaf::Serial;
use crate::names::UnitName;
use crate::proof::{ProbeReport, Proof, Reason, Standing};
use crate::record::{Cause, Context, Debt, DebtStep, GenerationNumber, Record};
use crate::schedule;
use crate::unit::{ActOutcome, JobResult, OnChange};

pub(crate) fn acted(
    record: &mut Record,
    unit: &UnitName,
    generation: GenerationNumber,
    outcome: ActOutcome,
    context: Context<'_>,
) {
    if !owes(record, unit, generation) {
        return;
    }
    let probed = context
        .dependents
        .iter()
        .any(|dependent| dependent.unit == *unit && dependent.probed);
    if matches!(outcome, ActOutcome::Job(_) | ActOutcome::LeftOpen(_)) {
        note_restart(record, unit, context);
    }
    match outcome {
        ActOutcome::Job(JobResult::Done) if probed => {
            if let Some(debt) = record
                .units
                .get_mut(unit)
                .and_then(|unit| unit.debt.as_mut())
            {
                debt.step = DebtStep::Probe;
            }
        }
        ActOutcome::Job(JobResult::Done) => paid(record, unit, Proof::Reloaded, None, context),
        ActOutcome::NotRunning => paid(record, unit, Proof::NotRunning, None, context),
        ActOutcome::Job(result) => {
            let reason = Reason::Reload(result);
            let telling = matches!(result, JobResult::Failed | JobResult::Timeout);
            let detail = format!("systemd ended the job as {:?}", reason.label());
            failed(
                record,
                unit,
                Finding {
                    reason,
                    detail,
                    served: None,
                    step: DebtStep::Act,
                    telling,
                },
                context,
            );
        }
        ActOutcome::NotNow(detail) | ActOutcome::LeftOpen(detail) => {
            let reason = Reason::NotReloadable;
            failed(
                record,
                unit,
                Finding {
                    reason,
                    detail,
                    served: None,
                    step: DebtStep::Act,
                    telling: false,
                },
                context,
            );
        }
    }
}

pub(crate) fn probed(
    record: &mut Record,
    unit: &UnitName,
    generation: GenerationNumber,
    report: ProbeReport,
    context: Context<'_>,
) {
    if !owes(record, unit, generation) {
        return;
    }
    let served = report.seen.map(|seen| seen.serial);
    let Some(reason) = report.failure else {
        return paid(record, unit, Proof::Served, served, context);
    };
    let told = context
        .dependents
        .iter()
        .any(|dependent| dependent.unit == *unit && dependent.on_change != OnChange::None);
    // What a reload may heal is reloaded again; for the rest, looking again is enough.
    let reload_heals = matches!(reason, Reason::WrongLeaf | Reason::WrongKey);
    let step = if told && reload_heals {
        DebtStep::Act
    } else {
        DebtStep::Probe
    };
    // A service that goes on with the old leaf did not take the new one up: that says nothing about
    // the new one, and going back would "work" whatever is wrong (docs/decisions/0003).
    let telling = reason != Reason::WrongLeaf;
    failed(
        record,
        unit,
        Finding {
            reason,
            detail: report.detail,
            served,
            step,
            telling,
        },
        context,
    );
}

fn owes(record: &Record, unit: &UnitName, generation: GenerationNumber) -> bool {
    let debt = record.units.get(unit).and_then(|unit| unit.debt.as_ref());
    debt.is_some_and(|debt| debt.generation == generation)
}

fn paid(
    record: &mut Record,
    unit: &UnitName,
    proof: Proof,
    served: Option<Serial>,
    context: Context<'_>,
) {
    if let Some(unit) = record.units.get_mut(unit) {
        unit.debt = None;
        unit.revive = false;
        unit.standing = Standing {
            proof,
            detail: String::new(),
            served_serial: served,
            since: context.now,
        };
    }
    conclude(record, context);
}

/// What went wrong with a unit, and what to try next.
struct Finding {
    reason: Reason,
    detail: String,
    served: Option<Serial>,
    step: DebtStep,
    /// Whether it can be the certificate's fault.
    telling: bool,
}

fn failed(record: &mut Record, unit: &UnitName, finding: Finding, context: Context<'_>) {
    let Some(entry) = record.units.get_mut(unit) else {
        return;
    };
    let proof = Proof::Failed(finding.reason);
    let since = if entry.standing.proof == proof {
        entry.standing.since
    } else {
        context.now
    };
    let served_serial = finding
        .served
        .or_else(|| entry.standing.served_serial.take());
    entry.standing = Standing {
        proof,
        detail: finding.detail.clone(),
        served_serial,
        since,
    };
    let mut tries = 0;
    if let Some(debt) = &mut entry.debt {
        let delay = schedule::retry(debt.tries, context.life, context.chance);
        debt.tries = debt.tries.saturating_add(1);
        tries = debt.tries;
        debt.step = finding.step;
        debt.not_before = schedule::after(context.now, delay);
    }
    let cause = Cause {
        unit: unit.clone(),
        reason: finding.reason,
        detail: finding.detail,
    };
    record.note_error(
        context.now,
        format!("{}: {}: {}", cause.unit, cause.reason, cause.detail),
    );
    judge(record, cause, finding.telling, tries, context);
}

/// A unit is active; whether it became so just now is known or not.
pub(crate) fn activated(
    record: &mut Record,
    unit: &UnitName,
    just_now: bool,
    context: Context<'_>,
) {
    let Some(generation) = record.published else {
        return;
    };
    let Some(dependent) = context
        .dependents
        .iter()
        .find(|dependent| dependent.unit == *unit)
    else {
        return;
    };
    let Some(entry) = record.units.get_mut(unit) else {
        return;
    };
    match &mut entry.debt {
        // It began with what was published: a probe can show that, and pays for the reload. What failed
        // while it was down says nothing about how soon it will be well.
        Some(debt) if dependent.probed && (just_now || debt.step == DebtStep::Probe) => {
            debt.step = DebtStep::Probe;
            debt.tries = 0;
            debt.not_before = context.now;
        }
        // Our own reload may be what brought it down, and its manager brought it up again: the next one
        // keeps its distance.
        Some(_) if just_now => {}
        // A reload that is owed stays owed; a restart would be one too many if it has just started.
        Some(debt) => {
            debt.not_before = context.now;
            if dependent.probed && dependent.on_change == OnChange::Restart {
                debt.step = DebtStep::Probe;
            }
        }
        // What was known holds until something else is seen.
        None if dependent.probed => {
            entry.debt = Some(Debt {
                generation,
                step: DebtStep::Probe,
                tries: 0,
                not_before: context.now,
            });
        }
        None if dependent.on_change == OnChange::None => {}
        None if entry.standing.proof == Proof::Reloaded => {}
        None => {
            let proof = Proof::Reloaded;
            entry.standing = Standing {
                proof,
                detail: "started".into(),
                served_serial: None,
                since: context.now,
            };
        }
    }
}
