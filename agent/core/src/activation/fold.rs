//! How events change the rollout and the debts. What becomes of a failure is [`super::verdict`]'s.

use std::collections::BTreeMap;

use crate::activation::verdict::{conclude, judge};
use crate::activation::{Course, Rollout, Stage};
use crate::leaf::Serial;
use crate::names::UnitName;
use crate::proof::{ProbeReport, Proof, Reason, Standing};
use crate::record::{
    BaselineFinding, Cause, Context, Debt, DebtStep, Generation, GenerationNumber, Record,
    TrustPart, UnitRecord,
};
use crate::schedule;
use crate::unit::{ActOutcome, Dependent, JobResult, OnChange};

pub(crate) fn recovered(
    record: &mut Record,
    current: Option<GenerationNumber>,
    context: Context<'_>,
) {
    expect_felled(record, context);
    if current == record.published {
        return;
    }
    match current {
        Some(number) if record.generations.contains_key(&number) => {
            let publishing = record.rollout.as_ref().is_some_and(|rollout| {
                rollout.generation == number && rollout.stage == Stage::Publish
            });
            if publishing {
                published(record, number, context);
            } else {
                record.rollout = None;
                record.published = Some(number);
            }
        }
        _ => {
            // Nothing intact that we know is published. A number is never used for other content, so
            // what shall be published goes out under a new one.
            record.rollout = None;
            record.published = None;
            record.previous = None;
            if let Some(generation) = record.target_generation().cloned() {
                record.target = Some(record.add_generation(generation));
            }
        }
    }
}

pub(crate) fn configured(record: &mut Record, dependents: &[Dependent], context: Context<'_>) {
    record
        .units
        .retain(|unit, _| dependents.iter().any(|dependent| dependent.unit == *unit));
    if let Some(rollout) = &mut record.rollout {
        rollout
            .baseline
            .retain(|unit, _| dependents.iter().any(|dependent| dependent.unit == *unit));
    }
    let Some(generation) = record.published else {
        return;
    };
    for dependent in dependents {
        if !record.units.contains_key(&dependent.unit) {
            // What a unit serves that was only now configured is unknown: look first, where one can.
            let first = if dependent.probed {
                DebtStep::Probe
            } else {
                DebtStep::Act
            };
            owe(record, dependent, generation, Some(first), context);
        }
    }
    conclude(record, context);
}

/// Enters what a dependent owes for a generation, beginning with `first` or what its way of being
/// told demands.
fn owe(
    record: &mut Record,
    dependent: &Dependent,
    generation: GenerationNumber,
    first: Option<DebtStep>,
    context: Context<'_>,
) {
    let step = match (dependent.on_change, dependent.probed) {
        (OnChange::None, false) => None,
        (OnChange::None, true) => Some(DebtStep::Probe),
        _ => first.or(Some(DebtStep::Act)),
    };
    let proof = if step.is_some() {
        Proof::Pending
    } else {
        Proof::Unobservable
    };
    let standing = Standing {
        proof,
        detail: String::new(),
        served_serial: None,
        since: context.now,
    };
    let debt = step.map(|step| Debt {
        generation,
        step,
        tries: 0,
        not_before: context.now,
    });
    let revive = record
        .units
        .get(&dependent.unit)
        .is_some_and(|unit| unit.revive);
    let entry = UnitRecord {
        standing,
        debt,
        revive,
    };
    record.units.insert(dependent.unit.clone(), entry);
}

/// A restart that we asked for just before we died may have felled the unit.
fn expect_felled(record: &mut Record, context: Context<'_>) {
    for dependent in context.dependents {
        let acting = record
            .units
            .get(&dependent.unit)
            .and_then(|unit| unit.debt.as_ref())
            .is_some_and(|debt| debt.step == DebtStep::Act);
        if acting {
            note_restart(record, &dependent.unit, context);
        }
    }
}

/// Notes that a restart of ours can have felled a unit that was well.
fn note_restart(record: &mut Record, unit: &UnitName, context: Context<'_>) {
    let restarts = context
        .dependents
        .iter()
        .any(|dependent| dependent.unit == *unit && dependent.on_change == OnChange::Restart);
    let was_well = record
        .rollout
        .as_ref()
        .and_then(|rollout| rollout.baseline.get(unit))
        .is_some_and(|proof| proof.holds());
    if let Some(entry) = record.units.get_mut(unit) {
        entry.revive |= restarts && was_well;
    }
}

pub(crate) fn trust_changed(record: &mut Record, trust: TrustPart) {
    if record.trust == Some(trust.digest) {
        return;
    }
    record.trust = Some(trust.digest);
    record.anchors = trust.anchors;
    if let Some(generation) = record.target_generation().cloned() {
        let verdict = None;
        record.target = Some(record.add_generation(Generation {
            trust: trust.digest,
            verdict,
            ..generation
        }));
    }
}

/// The target goes out under a new number: what is published is not as it should be.
pub(crate) fn republish(record: &mut Record) {
    let publishing = record
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.stage == Stage::Publish);
    if record.target != record.published || publishing {
        // Something goes out anyway.
        return;
    }
    if let Some(generation) = record.target_generation().cloned()
        && !generation.lost
    {
        record.target = Some(record.add_generation(generation));
    }
}

/// An identity can not be published again. Nothing that was to be published with it will be; what
/// is published stays until the issuer gave another one.
pub(crate) fn identity_lost(record: &mut Record, identity: GenerationNumber, context: Context<'_>) {
    let mut found = false;
    for generation in record.generations.values_mut() {
        if generation.identity == identity && !generation.lost {
            generation.lost = true;
            found = true;
        }
    }
    if !found {
        return;
    }
    record.note_error(
        context.now,
        format!("the private copy of generation {identity} is gone or damaged; asking for another certificate"),
    );
    let lost = |number: &GenerationNumber| {
        record
            .generations
            .get(number)
            .is_none_or(|generation| generation.lost)
    };
    if record.target.as_ref().is_some_and(lost) {
        // What is published stays the aim, if it could be published again.
        record.target = record.published.filter(|number| !lost(number));
    }
    let unpublishable = record
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.stage == Stage::Publish && lost(&rollout.generation));
    if unpublishable {
        record.rollout = None;
    }
    let kept = record.published;
    record
        .generations
        .retain(|number, generation| !generation.lost || Some(*number) == kept);
}

pub(crate) fn baseline_taken(record: &mut Record, findings: BTreeMap<UnitName, BaselineFinding>) {
    let Some(generation) = record.target else {
        return;
    };
    if record.published == Some(generation) {
        return;
    }
    record.rollout = Some(Rollout {
        generation,
        from: record.published,
        course: Course::Forward,
        stage: Stage::Publish,
        baseline: findings
            .into_iter()
            .map(|(unit, finding)| (unit, finding.proof))
            .collect(),
        tries: 0,
        not_before: None,
    });
}

pub(crate) fn published(record: &mut Record, generation: GenerationNumber, context: Context<'_>) {
    let Some(rollout) = &mut record.rollout else {
        return;
    };
    if rollout.generation != generation || rollout.stage != Stage::Publish {
        return;
    }
    rollout.stage = Stage::Prove;
    let again = matches!(rollout.course, Course::Again { .. });
    record.previous = record.published;
    record.published = Some(generation);
    for dependent in context.dependents {
        owe(record, dependent, generation, None, context);
    }
    if again {
        // The verdict is known: from here on only the reload is retried.
        record.rollout = None;
    }
    conclude(record, context);
}

pub(crate) fn publish_failed(record: &mut Record, text: String, context: Context<'_>) {
    record.note_error(context.now, text);
    if let Some(rollout) = &mut record.rollout {
        let delay = schedule::retry(rollout.tries, context.life, context.chance);
        rollout.tries += 1;
        rollout.not_before = Some(schedule::after(context.now, delay));
    }
}

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
    if matches!(outcome, ActOutcome::Job(_)) {
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
            let blames = matches!(result, JobResult::Failed | JobResult::Timeout);
            let detail = format!("systemd ended the job as {:?}", reason.label());
            failed(
                record,
                unit,
                Finding {
                    reason,
                    detail,
                    served: None,
                    step: DebtStep::Act,
                    blames,
                },
                context,
            );
        }
        ActOutcome::NotNow(detail) => {
            let reason = Reason::NotReloadable;
            failed(
                record,
                unit,
                Finding {
                    reason,
                    detail,
                    served: None,
                    step: DebtStep::Act,
                    blames: false,
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
    let blames = reason != Reason::WrongLeaf;
    failed(
        record,
        unit,
        Finding {
            reason,
            detail: report.detail,
            served,
            step,
            blames,
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
    blames: bool,
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
    if let Some(debt) = &mut entry.debt {
        let delay = schedule::retry(debt.tries, context.life, context.chance);
        debt.tries += 1;
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
    judge(record, cause, finding.blames, context);
}

pub(crate) fn unit_activated(record: &mut Record, unit: &UnitName, context: Context<'_>) {
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
        // It read what is published when it started: look at once.
        Some(debt) => {
            debt.not_before = context.now;
            if dependent.probed {
                debt.step = DebtStep::Probe;
            }
        }
        None if dependent.probed => owe(
            record,
            dependent,
            generation,
            Some(DebtStep::Probe),
            context,
        ),
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

/// Everything that waits is tried at once: the clock was set, or a bus came back.
pub(crate) fn hurry(record: &mut Record, context: Context<'_>) {
    for debt in record
        .units
        .values_mut()
        .filter_map(|unit| unit.debt.as_mut())
    {
        debt.not_before = debt.not_before.min(context.now);
    }
    if let Some(rollout) = &mut record.rollout {
        rollout.not_before = None;
    }
}
