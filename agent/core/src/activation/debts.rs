//! What a dependent owes, by its settings, and whether a restart of ours may have felled it.

use crate::names::UnitName;
use crate::proof::{Proof, Standing};
use crate::record::{Context, Debt, DebtStep, GenerationNumber, Record, UnitRecord};
use crate::unit::{Dependent, OnChange};

/// Enters what a dependent owes for a generation, beginning with `first` or what its way of being
/// told demands.
pub(super) fn owe(
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
    let before = record.units.remove(&dependent.unit);
    let revive = before.as_ref().is_some_and(|unit| unit.revive);
    let standing = Standing {
        proof,
        detail: String::new(),
        served_serial: before.and_then(|unit| unit.standing.served_serial),
        since: context.now,
    };
    let debt = step.map(|step| Debt {
        generation,
        step,
        tries: 0,
        not_before: context.now,
    });
    let entry = UnitRecord {
        standing,
        debt,
        revive,
    };
    record.units.insert(dependent.unit.clone(), entry);
}

/// Enters what follows from a dependent's settings, which may have changed.
pub(super) fn owe_as_configured(
    record: &mut Record,
    dependent: &Dependent,
    generation: GenerationNumber,
    context: Context<'_>,
) {
    let told = dependent.on_change != OnChange::None;
    // What a unit uses that was only now configured is unknown: look first, where one can.
    let look = dependent.probed.then_some(DebtStep::Probe);
    let Some(entry) = record.units.get_mut(&dependent.unit) else {
        return owe(record, dependent, generation, look, context);
    };
    match &mut entry.debt {
        Some(_) if !told && !dependent.probed => owe(record, dependent, generation, None, context),
        Some(debt) if !told => debt.step = DebtStep::Probe,
        Some(debt) if !dependent.probed => debt.step = DebtStep::Act,
        Some(_) => {}
        None => {
            let more_can_be_known = match entry.standing.proof {
                Proof::Reloaded => dependent.probed,
                Proof::Unobservable => dependent.probed || told,
                _ => false,
            };
            if more_can_be_known {
                owe(record, dependent, generation, look, context);
            }
        }
    }
}

/// A restart that we asked for just before we died may have felled the unit, if it ran before.
pub(super) fn expect_felled(record: &mut Record, context: Context<'_>) {
    for dependent in context.dependents {
        let acting = record
            .units
            .get(&dependent.unit)
            .and_then(|unit| unit.debt.as_ref())
            .is_some_and(|debt| debt.step == DebtStep::Act);
        let ran = record
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.baseline.get(&dependent.unit))
            .is_some_and(|proof| *proof != Proof::NotRunning);
        if acting && ran {
            note_restart(record, &dependent.unit, context);
        }
    }
}

/// Notes that a restart of ours can have felled a unit that ran.
pub(super) fn note_restart(record: &mut Record, unit: &UnitName, context: Context<'_>) {
    let restarts = context
        .dependents
        .iter()
        .any(|dependent| dependent.unit == *unit && dependent.on_change == OnChange::Restart);
    if let Some(entry) = record.units.get_mut(unit) {
        entry.revive |= restarts;
    }
}
