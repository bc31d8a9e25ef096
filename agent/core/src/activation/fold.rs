//! How events change the rollout: what is found, configured, published or lost. What the dependents
//! owe is [`super::debts`]'s, the verdict is [`super::verdict`]'s.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::activation::debts::{expect_felled, owe, owe_as_configured};
use crate::activation::verdict::{again, conclude, hold_forward_if_there_is_no_way_back, identity};
use crate::activation::{Course, Rollout, Stage};
use crate::names::UnitName;
use crate::record::{BaselineFinding, Context, DebtStep, GenerationNumber, Record, TrustPart};
use crate::schedule;
use crate::supply::roots;
use crate::unit::Dependent;

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
            if is_being_published(record, number) {
                published(record, number, context);
            } else {
                adopt(record, number, context);
            }
        }
        _ => nothing_is_published(record),
    }
}

fn is_being_published(record: &Record, number: GenerationNumber) -> bool {
    record
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.generation == number && rollout.stage == Stage::Publish)
}

/// Another generation is current than the record says, and the disk is right. What was under way is
/// published again if need be; what the dependents use is unknown.
fn adopt(record: &mut Record, number: GenerationNumber, context: Context<'_>) {
    record.previous = record.published;
    record.published = Some(number);
    if let Some(rollout) = &mut record.rollout
        && rollout.generation != number
    {
        rollout.stage = Stage::Publish;
    }
    for dependent in context.dependents {
        let first = dependent.probed.then_some(DebtStep::Probe);
        owe(record, dependent, number, first, context);
    }
}

/// Nothing intact that we know is published. A number is never used for other content, so what is
/// under way, or else the target, goes out under a new one.
fn nothing_is_published(record: &mut Record) {
    record.published = None;
    record.previous = None;
    let Some(target) = record.target else {
        record.rollout = None;
        return;
    };
    match record.rollout.take() {
        Some(rollout) if rollout.generation == target => {
            record.target = again(record, target);
            record.rollout = record.target.map(|generation| Rollout {
                generation,
                stage: Stage::Publish,
                ..rollout
            });
        }
        _ => record.target = again(record, target),
    }
}

pub(crate) fn configured(record: &mut Record, dependents: &[Dependent], context: Context<'_>) {
    let is_configured = |unit: &UnitName| dependents.iter().any(|known| known.unit == *unit);
    record.units.retain(|unit, _| is_configured(unit));
    if let Some(rollout) = &mut record.rollout {
        rollout.baseline.retain(|unit, _| is_configured(unit));
    }
    let Some(generation) = record.published else {
        return;
    };
    for dependent in dependents {
        owe_as_configured(record, dependent, generation, context);
    }
    conclude(record, context);
}

pub(crate) fn trust_changed(record: &mut Record, trust: TrustPart, now: Timestamp) {
    record.dropped = trust.dropped;
    if record.trust == Some(trust.digest) {
        return;
    }
    roots::offered(record, &trust.anchors, now);
    record.trust = Some(trust.digest);
    record.anchors = trust.anchors;
    if let Some(number) = record.target.and_then(|target| again(record, target)) {
        record.target = Some(number);
    }
}

/// What is published goes out under a new number: it is not as it should be. What is still to be
/// published will be right without that.
pub(crate) fn republish(record: &mut Record) {
    let publishing = record
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.stage == Stage::Publish);
    if record.target != record.published || publishing {
        return;
    }
    if let Some(number) = record.target.and_then(|target| again(record, target)) {
        record.target = Some(number);
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
    // A way back that is lost is given up by `reconsider`, with its verdict.
    let unpublishable = record.rollout.as_ref().is_some_and(|rollout| {
        rollout.stage == Stage::Publish
            && rollout.course.suspect().is_none()
            && lost(&rollout.generation)
    });
    if unpublishable {
        record.rollout = None;
    }
    let kept = record.published;
    record
        .generations
        .retain(|number, generation| !generation.lost || Some(*number) == kept);
}

pub(crate) fn baseline_taken(
    record: &mut Record,
    findings: BTreeMap<UnitName, BaselineFinding>,
    context: Context<'_>,
) {
    let Some(generation) = record.target else {
        return;
    };
    if record.published == Some(generation) {
        return;
    }
    let mut rollout = Rollout {
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
    };
    if let Some(open) = record.rollout.take() {
        inherit(record, &mut rollout, open, context);
    }
    record.rollout = Some(rollout);
}

/// A rollout that makes way for a newer target leaves it what is not settled: dependents that owe
/// were well before *it* began, and the way back leads to where it began.
fn inherit(record: &Record, rollout: &mut Rollout, open: Rollout, context: Context<'_>) {
    if let Some(from) = open.from
        && record.usable(from, context.life, context.now)
    {
        rollout.from = Some(from);
    }
    for (unit, proof) in open.baseline {
        let owes = |unit| {
            record
                .units
                .get(unit)
                .is_some_and(|unit| unit.debt.is_some())
        };
        if owes(&unit) {
            rollout.baseline.insert(unit, proof);
        }
    }
    if identity(record, rollout.generation) == identity(record, open.generation) {
        // Only trust or owners changed: what is in question still is.
        rollout.course = open.course;
    }
}

pub(crate) fn published(record: &mut Record, generation: GenerationNumber, context: Context<'_>) {
    if !record.generations.contains_key(&generation) {
        return;
    }
    if !is_being_published(record, generation) {
        // A late word about something newer than what we know is true nevertheless.
        if Some(generation) > record.published {
            adopt(record, generation, context);
        }
        return;
    }
    if let Some(rollout) = &mut record.rollout {
        rollout.stage = Stage::Prove;
        rollout.tries = 0;
        rollout.not_before = None;
    }
    record.previous = record.published;
    record.published = Some(generation);
    for dependent in context.dependents {
        owe(record, dependent, generation, None, context);
    }
    conclude(record, context);
}

pub(crate) fn publish_failed(record: &mut Record, text: String, context: Context<'_>) {
    record.note_error(context.now, text);
    if let Some(rollout) = &mut record.rollout
        && rollout.stage == Stage::Publish
    {
        let delay = schedule::retry(rollout.tries, context.life, context.chance);
        rollout.tries = rollout.tries.saturating_add(1);
        rollout.not_before = Some(schedule::after(context.now, delay));
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

/// What time alone changes.
pub(crate) fn reconsider(record: &mut Record, context: Context<'_>) {
    hold_forward_if_there_is_no_way_back(record, context);
}
