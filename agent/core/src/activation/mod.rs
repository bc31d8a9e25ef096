//! The activation machine: baseline, publish, reload, probe, and the verdict when something that
//! worked before works no longer.
//!
//! A [`Rollout`] brings one generation into use. Debt (published, and not yet reloaded or not yet
//! proven, per dependent) outlives it: what a verdict leaves open is retried until it is paid.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::UnitName;
use crate::proof::Proof;
use crate::record::{Cause, Debt, DebtStep, GenerationNumber, Record};
use crate::schedule::{self, LONGEST_RETRY};
use crate::unit::{Dependent, OnChange};

pub(crate) mod fold;
#[cfg(test)]
mod tests;
mod verdict;

/// One generation on its way into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Which generation.
    pub generation: GenerationNumber,
    /// What was published when the baseline was taken: the way back.
    pub from: Option<GenerationNumber>,
    /// Forward, back, or forward again.
    pub course: Course,
    /// How far it is.
    pub stage: Stage,
    /// How each dependent was before publishing.
    pub baseline: BTreeMap<UnitName, Proof>,
    /// Failed tries to publish.
    pub tries: u32,
    /// The next try to publish is not before this.
    pub not_before: Option<Timestamp>,
}

/// The direction of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Course {
    /// To a new generation.
    Forward,
    /// Back to the identity before, because of what went wrong with `suspect`.
    Reverting {
        /// The generation under suspicion.
        suspect: GenerationNumber,
        /// What went wrong.
        cause: Cause,
    },
    /// Forward to the same identity again, because the one before fails too.
    Again {
        /// What went wrong.
        cause: Cause,
    },
}

impl Course {
    /// The state that `status` shows.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Forward | Self::Again { .. } => "activating",
            Self::Reverting { .. } => "reverting",
        }
    }

    /// The generation under suspicion.
    pub fn suspect(&self) -> Option<GenerationNumber> {
        match self {
            Self::Reverting { suspect, .. } => Some(*suspect),
            _ => None,
        }
    }
}

/// How far a rollout is. The baseline is not a stage: until it is taken there is no rollout, so
/// after a crash it is taken anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// To be published.
    Publish,
    /// Published; dependents are told and probed.
    Prove,
}

/// What the activation machine wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take down how every dependent is, before this generation is published.
    Baseline(GenerationNumber),
    /// Make the generation current.
    Publish(GenerationNumber),
    /// Tell a unit.
    Act {
        /// Which.
        unit: UnitName,
        /// For which generation.
        generation: GenerationNumber,
        /// Our own restart felled it: if it is found *failed*, it is started. Without this, and when
        /// it is *inactive*, a unit that does not run is left alone.
        revive: bool,
    },
    /// Probe a unit.
    Probe {
        /// Which.
        unit: UnitName,
        /// For which generation.
        generation: GenerationNumber,
    },
    /// Nothing before this instant; `None`: nothing until something happens.
    Wait(Option<Timestamp>),
}

/// Decides the next step at `now`. Units in `busy` have a step under way.
pub fn next(
    record: &Record,
    dependents: &[Dependent],
    busy: &BTreeSet<UnitName>,
    life: Duration,
    now: Timestamp,
) -> Action {
    let newer = record.target.filter(|target| {
        Some(*target) != record.rollout.as_ref().map(|rollout| rollout.generation)
    });
    match &record.rollout {
        None => match record.target {
            Some(target) if record.published != Some(target) => Action::Baseline(target),
            _ => pay(record, dependents, busy, life, now),
        },
        Some(Rollout {
            stage: Stage::Publish,
            generation,
            not_before,
            course,
            ..
        }) => match (newer, not_before) {
            // Going back comes first: a newer target needs a sound baseline.
            (Some(target), _) if *course == Course::Forward => Action::Baseline(target),
            (_, Some(at)) if !schedule::reached(*at, LONGEST_RETRY, now) => Action::Wait(Some(*at)),
            _ => Action::Publish(*generation),
        },
        Some(Rollout {
            stage: Stage::Prove,
            ..
        }) => match pay(record, dependents, busy, life, now) {
            // A rollout that only waits makes way for a newer target.
            Action::Wait(at) => match newer {
                Some(target) if busy.is_empty() => Action::Baseline(target),
                _ => Action::Wait(at),
            },
            action => action,
        },
    }
}

/// The next step towards a unit's debt, lowest wave first.
fn pay(
    record: &Record,
    dependents: &[Dependent],
    busy: &BTreeSet<UnitName>,
    life: Duration,
    now: Timestamp,
) -> Action {
    let debts: Vec<(&Dependent, &Debt, bool)> = dependents
        .iter()
        .filter_map(|dependent| {
            let unit = record.units.get(&dependent.unit)?;
            let revive = unit.revive && dependent.on_change == OnChange::Restart;
            Some((dependent, unit.debt.as_ref()?, revive))
        })
        .collect();
    // A wave waits for the one before it, unless what it would go on serving is no longer usable.
    let may_wait = record
        .previous
        .is_some_and(|previous| record.usable(previous, life, now));
    let wave = debts.iter().map(|(dependent, ..)| dependent.wave).min();
    let mut soonest: Option<Timestamp> = None;
    for (dependent, debt, revive) in debts {
        if busy.contains(&dependent.unit) || (may_wait && Some(dependent.wave) != wave) {
            continue;
        }
        if schedule::reached(debt.not_before, LONGEST_RETRY, now) {
            let (unit, generation) = (dependent.unit.clone(), debt.generation);
            return match debt.step {
                DebtStep::Act => Action::Act {
                    unit,
                    generation,
                    revive,
                },
                DebtStep::Probe => Action::Probe { unit, generation },
            };
        }
        soonest = Some(soonest.map_or(debt.not_before, |at| at.min(debt.not_before)));
    }
    Action::Wait(soonest)
}
