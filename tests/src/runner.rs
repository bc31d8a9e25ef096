//! Runs scenarios, several at once, and reports a line for each run.
//!
//! Owns the order, the number of workers and the report. It prepares what all share (root file systems, the layer with
//! the packages) before the first run, so that a run's duration is its own.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::packages::Packages;
use crate::rootfs::{Cache, Debian};
use crate::scenario::{Disk, Red, Scenario};

/// What is to be run, and how.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The scenarios, in this order.
    pub scenarios: Vec<Scenario>,
    /// Each is run on all of these.
    pub debians: Vec<Debian>,
    /// Whether the sabotage twins run, too.
    pub twins: bool,
    /// How many machines run at once.
    pub jobs: usize,
    /// Whether a machine in which something failed is kept until Enter is pressed.
    pub pause: bool,
    /// Where the root file systems are.
    pub cache: &'a Cache,
    /// What is under test.
    pub packages: &'a Packages,
}

/// How many runs were as they should be, and how many not.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Scenarios that were green, and twins that were red for the right reason.
    pub passed: usize,
    /// All others.
    pub failed: usize,
}

/// One entry of the queue.
#[derive(Debug, Clone, Copy)]
struct Entry {
    scenario: Scenario,
    debian: Debian,
    twin: bool,
}

impl Plan<'_> {
    /// Runs everything, printing a line on standard output as each run ends.
    ///
    /// # Errors
    /// When the root file systems cannot be made; a failed scenario is counted, not returned.
    pub fn carry_out(&self) -> Result<Tally> {
        self.prepare()?;
        let queue = Mutex::new(self.queue());
        let tally = Mutex::new(Tally::default());
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while let Some(entry) = take(&queue) {
                        let start = Instant::now();
                        let outcome = entry.scenario.try_on(
                            entry.debian,
                            entry.twin,
                            self.cache,
                            self.packages,
                            |machine, failure| self.look(machine, failure),
                        );
                        let report = entry.report(&outcome, start.elapsed());
                        let mut tally = tally
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        *(if outcome.is_ok() {
                            &mut tally.passed
                        } else {
                            &mut tally.failed
                        }) += 1;
                        // Printed under the lock, so that two reports never mix.
                        println!("{report}");
                    }
                });
            }
        });
        Ok(tally
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn look(&self, machine: &Machine, failure: &Failure) {
        if self.pause {
            eprintln!(
                "{failure}\nlook into it with: {}\nEnter goes on",
                machine.way_in()
            );
            std::io::stdin().read_line(&mut String::new()).ok();
        }
    }

    fn prepare(&self) -> Result<()> {
        for debian in &self.debians {
            if self
                .scenarios
                .iter()
                .any(|scenario| scenario.disk == Disk::Installed)
            {
                self.cache.installed(*debian, self.packages)?;
            } else {
                self.cache.bare(*debian)?;
            }
        }
        Ok(())
    }

    fn queue(&self) -> VecDeque<Entry> {
        let mut queue = VecDeque::new();
        for &scenario in &self.scenarios {
            for &debian in &self.debians {
                for twin in [false, true] {
                    if self.twins || !twin {
                        queue.push_back(Entry {
                            scenario,
                            debian,
                            twin,
                        });
                    }
                }
            }
        }
        queue
    }
}

fn take(queue: &Mutex<VecDeque<Entry>>) -> Option<Entry> {
    queue
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .pop_front()
}

impl Entry {
    fn report(&self, outcome: &Result<(), Red>, took: Duration) -> String {
        let (word, rest) = match outcome {
            Ok(()) => ("ok    ", String::new()),
            Err(red) if red.journal.is_empty() => ("FAILED", format!("\n    {}", red.reason)),
            Err(red) => (
                "FAILED",
                format!("\n    {}\n--- journal\n{}\n---", red.reason, red.journal),
            ),
        };
        let twin = if self.twin {
            format!(" [sabotage: {}]", self.scenario.fault)
        } else {
            String::new()
        };
        format!(
            "{word} {:>5.1}s  {}  {}{twin}{rest}",
            took.as_secs_f64(),
            self.debian,
            self.scenario.name
        )
    }
}

/// Fails unless this host can run machines, naming everything that is missing.
///
/// # Errors
/// [`Failure::Missing`], with what to install.
pub fn require_runtime() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::Missing {
            what: "root".to_owned(),
            remedy: "run the scenarios as root (sudo make scenarios)".to_owned(),
        });
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &&str| {
        std::env::split_paths(&search).any(|directory| directory.join(program).is_file())
    };
    let missing: Vec<&str> = [
        "systemd-nspawn",
        "mmdebstrap",
        "nsenter",
        "setpriv",
        "unshare",
    ]
    .into_iter()
    .filter(|p| !has(p))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Missing {
        what: missing.join(", "),
        remedy: "apt-get install systemd-container mmdebstrap debian-archive-keyring util-linux"
            .to_owned(),
    })
}
