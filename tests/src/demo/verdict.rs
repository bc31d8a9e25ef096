//! Weighs what was done and seen: each check by itself, none of them lenient.
//!
//! Pure. It must never excuse one red check by another. Its neighbour is [`super::view`], which
//! shows what is decided here.

#[cfg(test)]
mod tests;

use std::fmt::{self, Display};
use std::time::Duration;

use serde::Serialize;

use crate::load::Report;

/// Rotations that must have been done.
const ROTATIONS_NEEDED: usize = 9;

/// One forced rotation, as renewd and as the callers saw it.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// From 1.
    pub number: usize,
    /// Afterwards.
    pub generation: u64,
    /// Afterwards.
    pub serial: String,
    /// Whether the generation is higher than before.
    pub rose: bool,
    /// Whether renewd says that the new leaf is served.
    pub proven: bool,
    /// Why it is not proven.
    pub complaint: Option<String>,
    /// From the call to its end.
    pub took: Duration,
    /// From the call to the first fresh handshake that showed the new leaf, if one did.
    pub seen_after: Option<Duration>,
}

/// Everything that the verdict is given on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// In the order they were forced.
    pub rotations: Vec<Rotation>,
    /// What the load client counted.
    pub report: Report,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Every rotation is proven to be served.
    Proven,
    /// No request failed.
    Failed,
    /// No connection was dropped.
    Dropped,
    /// Callers' own fresh handshakes saw each certificate, and no other.
    Leaves,
    /// Every connection made requests.
    Busy,
    /// There were enough rotations.
    Rotations,
}

/// What became of one check.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which one.
    pub check: Check,
    /// Whether it holds.
    pub green: bool,
    /// In numbers and words.
    pub detail: String,
}

/// The outcome of every check.
#[derive(Clone, Debug)]
pub struct Verdict {
    outcomes: Vec<Outcome>,
    numbers: Numbers,
    summary: String,
}

/// What `JSON=1` prints, in this order.
#[derive(Clone, Debug, Serialize)]
pub struct Numbers {
    rotations: usize,
    proven: usize,
    distinct_leaves_seen: usize,
    requests: u64,
    failed_requests: u64,
    dropped_connections: u64,
    p99_ms_steady: Option<f64>,
    p99_ms_rotating: Option<f64>,
}

impl Verdict {
    /// Weighs the facts.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let Facts { rotations, report } = facts;
        let done = rotations.iter().filter(|rotation| rotation.rose).count();
        let proven = rotations.iter().filter(|rotation| rotation.proven).count();
        let outcome = |check, green, detail| Outcome {
            check,
            green,
            detail,
        };
        let outcomes = vec![
            outcome(
                Check::Proven,
                proven == rotations.len() && proven > 0,
                proof(rotations),
            ),
            outcome(
                Check::Failed,
                report.failed_requests == 0,
                format!("{} of {} failed", report.failed_requests, report.requests),
            ),
            outcome(
                Check::Dropped,
                report.dropped_connections == 0,
                format!("{} dropped", report.dropped_connections),
            ),
            outcome(
                Check::Leaves,
                report.distinct_leaves_seen == done + 1 && unseen(rotations).is_none(),
                leaves(rotations, done, report),
            ),
            outcome(
                Check::Busy,
                report.min_requests_per_connection > 0,
                format!(
                    "at least {} on each of {}",
                    report.min_requests_per_connection, report.connections
                ),
            ),
            outcome(
                Check::Rotations,
                done >= ROTATIONS_NEEDED,
                format!("{done}, and {ROTATIONS_NEEDED} are needed (the first red check ends it)"),
            ),
        ];
        let numbers = Numbers {
            rotations: done,
            proven,
            distinct_leaves_seen: report.distinct_leaves_seen,
            requests: report.requests,
            failed_requests: report.failed_requests,
            dropped_connections: report.dropped_connections,
            p99_ms_steady: report.p99_ms_steady,
            p99_ms_rotating: report.p99_ms_rotating,
        };
        let summary = format!(
            "{done} rotations, {proven} proven; {} connections had {} requests answered, \
             {} failed, {} connections dropped; fresh handshakes saw {} certificates",
            report.connections,
            report.requests,
            report.failed_requests,
            report.dropped_connections,
            report.distinct_leaves_seen,
        );
        Self {
            outcomes,
            numbers,
            summary,
        }
    }

    /// Whether every check holds.
    #[must_use]
    pub fn green(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.green)
    }

    /// The checks that do not hold, the cause before its consequences.
    pub fn red(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| !outcome.green)
    }

    /// Whether this check does not hold.
    #[must_use]
    pub fn reddened(&self, check: Check) -> bool {
        self.red().any(|outcome| outcome.check == check)
    }

    /// The object that `JSON=1` prints.
    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.green() {
            return write!(f, "GREEN: {}.", self.summary);
        }
        write!(f, "RED: {}.", self.summary)?;
        for outcome in self.red() {
            write!(f, "\n  red: {}: {}", outcome.check, outcome.detail)?;
        }
        Ok(())
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proven => "every rotation is proven",
            Self::Failed => "no request failed",
            Self::Dropped => "no connection was dropped",
            Self::Leaves => "fresh handshakes saw each certificate and no other",
            Self::Busy => "every connection made requests",
            Self::Rotations => "there were enough rotations",
        })
    }
}

fn proof(rotations: &[Rotation]) -> String {
    rotations
        .iter()
        .find(|rotation| !rotation.proven)
        .map_or_else(
            || format!("{} of {}", rotations.len(), rotations.len()),
            |rotation| {
                let why = rotation
                    .complaint
                    .as_deref()
                    .unwrap_or("no reason is known");
                format!("rotation {} is not: {why}", rotation.number)
            },
        )
}

fn leaves(rotations: &[Rotation], done: usize, report: &Report) -> String {
    let seen = format!(
        "{} seen, {} expected",
        report.distinct_leaves_seen,
        done + 1
    );
    match unseen(rotations) {
        None => seen,
        Some(rotation) => format!(
            "{seen}; after rotation {} was proven, a fresh handshake did not see its certificate",
            rotation.number
        ),
    }
}

/// The first rotation that renewd calls proven and that the callers did not see.
fn unseen(rotations: &[Rotation]) -> Option<&Rotation> {
    rotations
        .iter()
        .find(|rotation| rotation.proven && rotation.seen_after.is_none())
}
