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

mod debts;
pub(crate) mod fold;
#[cfg(test)]
mod tests;
pub(crate) mod units;
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
    let debts = Debts {
        record,
        dependents,
        busy,
        life,
        now,
    };
    let newer = record.target.filter(|target| {
        Some(*target) != record.published
            && Some(*target) != record.rollout.as_ref().map(|rollout| rollout.generation)
            && publishable(record, *target, life, now)
    });
    match (&record.rollout, newer) {
        // Going back comes first: a newer target needs a sound baseline.
        (Some(rollout), newer) if rollout.stage == Stage::Publish => {
            let back = rollout.course.suspect().is_some();
            match newer {
                Some(target) if !back => baseline(target, busy),
                _ => publish(rollout, &debts),
            }
        }
        (None, Some(target)) => baseline(target, busy),
        // A rollout that has told and probed everyone once makes way for a newer target.
        (Some(_), Some(target)) => match debts.pay(true) {
            Action::Wait(_) => baseline(target, busy),
            action => action,
        },
        (_, None) => debts.pay(false),
    }
}

/// What has expired is published only in the place of what cannot be used either.
fn publishable(record: &Record, number: GenerationNumber, life: Duration, now: Timestamp) -> bool {
    let usable = |number| record.usable(number, life, now);
    let Some(generation) = record.generations.get(&number) else {
        return false;
    };
    // With another bundle, what is in use stays in use.
    let in_use = record.published_generation();
    let in_use = in_use.is_some_and(|published| published.identity == generation.identity);
    !generation.lost
        && (in_use || !generation.revoked)
        && !record.identity_blamed(generation.identity)
        && (generation.end() > now || record.published.is_some_and(|published| !usable(published)))
}

/// While a unit has a step under way, its condition says nothing.
fn baseline(target: GenerationNumber, busy: &BTreeSet<UnitName>) -> Action {
    if busy.is_empty() {
        Action::Baseline(target)
    } else {
        Action::Wait(None)
    }
}

fn publish(rollout: &Rollout, debts: &Debts<'_>) -> Action {
    let Debts {
        record, life, now, ..
    } = *debts;
    let allowed = match rollout.course {
        Course::Reverting { .. } => record.usable(rollout.generation, life, now),
        Course::Forward | Course::Again { .. } => {
            publishable(record, rollout.generation, life, now)
        }
    };
    match rollout.not_before {
        _ if !allowed => debts.pay(false),
        // What is published meanwhile is still owed for.
        Some(at) if !schedule::reached(at, LONGEST_RETRY, now) => match debts.pay(false) {
            Action::Wait(sooner) => Action::Wait(Some(sooner.map_or(at, |sooner| sooner.min(at)))),
            action => action,
        },
        _ => Action::Publish(rollout.generation),
    }
}

/// The debts, and when and in which order they are paid.
struct Debts<'a> {
    record: &'a Record,
    dependents: &'a [Dependent],
    busy: &'a BTreeSet<UnitName>,
    life: Duration,
    now: Timestamp,
}

impl Debts<'_> {
    /// The next step towards a debt, lowest wave first; with `untried_only`, not towards one that
    /// already failed.
    fn pay(&self, untried_only: bool) -> Action {
        let debts: Vec<(&Dependent, &Debt, bool)> = self
            .dependents
            .iter()
            .filter_map(|dependent| {
                let unit = self.record.units.get(&dependent.unit)?;
                let revive = unit.revive && dependent.on_change == OnChange::Restart;
                Some((dependent, unit.debt.as_ref()?, revive))
            })
            .collect();
        // A wave waits for the one before it, unless what it would go on serving is no longer usable.
        let may_wait = self
            .record
            .previous
            .is_some_and(|previous| self.record.usable(previous, self.life, self.now));
        let wave = debts.iter().map(|(dependent, ..)| dependent.wave).min();
        let mut soonest: Option<Timestamp> = None;
        for (dependent, debt, revive) in debts {
            if self.busy.contains(&dependent.unit)
                || (may_wait && Some(dependent.wave) != wave)
                || (untried_only && debt.tries > 0)
            {
                continue;
            }
            if schedule::reached(debt.not_before, LONGEST_RETRY, self.now) {
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
}
