//! Scenarios and their sabotage twins.
//!
//! A scenario is a function over a freshly booted machine. Its twin is the same function with one fault planted, and has
//! to fail for exactly the reason that the scenario names: a check that cannot fail is a defect. Owns what a scenario is
//! and how one run is judged; which scenarios there are is in [`crate::scenarios`], how many run at once in
//! [`crate::runner`].

use std::any::Any;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use crate::failure::{Failure, Result, expect};
use crate::machine::Machine;
use crate::packages::Packages;
use crate::rootfs::{Cache, Debian};
use crate::wait;

/// How long a twin waits once its fault is planted: long enough for the sound run to have ended.
const TWIN_PATIENCE: Duration = Duration::from_secs(10);
/// How much of a failed run's journal is shown.
const JOURNAL_LINES: usize = 200;

/// What a scenario finds on its machine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Debian alone; the packages lie at [`crate::packages::IN_MACHINE`].
    Bare,
    /// Both packages installed and their units enabled, as after a first boot.
    Installed,
}

/// One promise, tried on a real systemd.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// The promise as a sentence with underscores.
    pub name: &'static str,
    /// What it starts from.
    pub disk: Disk,
    /// The fault that its twin plants, in a few words.
    pub fault: &'static str,
    /// Part of the failure by which the twin has to turn red.
    pub red: &'static str,
    /// The scenario itself.
    pub run: fn(&mut Trial) -> Result<()>,
}

/// One run of a scenario: a machine, and the switch between the sound run and its twin. Dereferences to the machine.
#[derive(Debug)]
pub struct Trial {
    machine: Machine,
    twin: bool,
    planted: Cell<bool>,
}

impl Trial {
    /// Carries out the fault in the twin, and nothing in the sound run.
    ///
    /// # Errors
    /// When the fault cannot be planted.
    pub fn sabotage(&self, fault: impl FnOnce(&Machine) -> Result<()>) -> Result<()> {
        if self.twin {
            fault(&self.machine)?;
            self.planted.set(true);
        }
        Ok(())
    }

    /// Gives the sound value, or the faulty one in the twin.
    pub fn choose<T>(&self, sound: T, faulty: T) -> T {
        if !self.twin {
            return sound;
        }
        self.planted.set(true);
        faulty
    }

    /// As [`wait::wait_until`]; a twin whose fault is planted has less patience.
    ///
    /// # Errors
    /// When the condition does not come true in time.
    pub fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        condition: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let within = if self.planted.get() {
            within.min(TWIN_PATIENCE)
        } else {
            within
        };
        wait::wait_until(what, within, condition)
    }
}

impl Deref for Trial {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl DerefMut for Trial {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

/// Why a run is not as it should be, and what the machine had to say.
#[derive(Debug)]
pub struct Red {
    /// The reason in words.
    pub reason: String,
    /// The end of the machine's journal; empty where there was no machine.
    pub journal: String,
}

impl Scenario {
    /// Runs the scenario, or its twin, on a machine of its own; where it fails, `look` sees the machine before it ends.
    ///
    /// # Errors
    /// When the scenario fails; or when its twin does not, or fails for another reason than the one named.
    pub fn try_on(
        &self,
        debian: Debian,
        twin: bool,
        cache: &Cache,
        packages: &Packages,
        look: impl FnOnce(&Machine, &Failure),
    ) -> Result<(), Red> {
        let machine = self.boot(debian, cache, packages).map_err(|failure| Red {
            reason: failure.to_string(),
            journal: String::new(),
        })?;
        let mut trial = Trial {
            machine,
            twin,
            planted: Cell::new(false),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut trial)));
        let outcome = outcome.unwrap_or_else(|panic| Err(Failure::Panic(text_of(panic.as_ref()))));
        let verdict = if twin {
            self.judge_twin(outcome, trial.planted.get())
        } else {
            outcome
        };
        verdict.map_err(|failure| {
            look(&trial.machine, &failure);
            Red {
                reason: failure.to_string(),
                journal: last_lines(&trial.journal(), JOURNAL_LINES),
            }
        })
    }

    fn boot(&self, debian: Debian, cache: &Cache, packages: &Packages) -> Result<Machine> {
        let bare = cache.bare(debian)?;
        let layers = match self.disk {
            Disk::Bare => vec![bare],
            Disk::Installed => vec![cache.installed(debian, packages)?, bare],
        };
        let layers: Vec<&Path> = layers.iter().map(AsRef::as_ref).collect();
        Machine::boot(&layers, packages)
    }

    fn judge_twin(&self, outcome: Result<()>, planted: bool) -> Result<()> {
        let expected = format!(
            "red by `{}` because of the planted fault ({})",
            self.red, self.fault
        );
        match outcome {
            Ok(()) if planted => expect(false, expected, "green"),
            Ok(()) => expect(false, expected, "green, and the fault was never planted"),
            Err(failure) => {
                let reason = failure.to_string();
                expect(
                    planted && reason.contains(self.red),
                    expected,
                    format_args!("red by: {reason}"),
                )
            }
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: Scenario = Scenario {
        name: "it_holds",
        disk: Disk::Bare,
        fault: "a fault",
        red: "the leaf",
        run: |_| Ok(()),
    };

    #[test]
    fn a_twin_is_right_only_when_it_fails_for_the_named_reason() {
        let wrong_leaf = || expect(false, "the leaf", "another");
        assert!(SCENARIO.judge_twin(wrong_leaf(), true).is_ok());
        assert!(
            SCENARIO.judge_twin(wrong_leaf(), false).is_err(),
            "failed before its fault was planted"
        );
        assert!(
            SCENARIO
                .judge_twin(expect(false, "a chain", "none"), true)
                .is_err(),
            "failed for another reason"
        );
        assert!(SCENARIO.judge_twin(Ok(()), true).is_err(), "did not fail");
    }

    #[test]
    fn only_the_end_of_a_journal_is_shown() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
