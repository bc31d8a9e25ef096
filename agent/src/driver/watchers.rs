//! Those who asked for a renewal and wait: each step as it happens, with its duration, until the last.

use std::time::Duration;

use jiff::Timestamp;
use renewd_core::activation::Course;
use renewd_core::proof::Proof;
use renewd_core::record::{Event, Record};
use renewd_core::supply::{self, Supply};
use tokio::sync::mpsc;

use crate::control::report::Step;

/// Those who wait for a renewal, and what they are told.
#[derive(Default)]
pub(crate) struct Watchers {
    watchers: Vec<mpsc::UnboundedSender<Step>>,
    /// What they wait for, as they were told.
    told: Option<String>,
    /// Why the issuer was asked last.
    pub(crate) cause: Option<supply::Cause>,
}

impl Watchers {
    pub(crate) fn add(&mut self, watcher: mpsc::UnboundedSender<Step>) {
        self.watchers.push(watcher);
        self.told = None;
    }

    /// Tells what an event brought.
    pub(crate) fn tell(
        &mut self,
        before: &Record,
        event: &Event,
        after: &Record,
        took: Duration,
        now: Timestamp,
    ) {
        if self.watchers.is_empty() {
            return;
        }
        let Some((step, unit, detail)) = step(before, event, after) else {
            return;
        };
        self.send(Step {
            at: now.into(),
            certificate: after.certificate.to_string(),
            step: step.to_owned(),
            unit,
            detail,
            elapsed_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            finished: None,
        });
    }

    /// Tells that nothing can be begun, and why, once to each.
    pub(crate) fn tell_of_wait(&mut self, record: &Record, why: &str, now: Timestamp) {
        if self.told.as_deref() == Some(why) {
            return;
        }
        self.told = Some(why.to_owned());
        self.send(Step {
            at: now.into(),
            certificate: record.certificate.to_string(),
            step: "waiting".to_owned(),
            unit: None,
            detail: why.to_owned(),
            elapsed_ms: 0,
            finished: None,
        });
    }

    fn send(&mut self, step: Step) {
        self.watchers
            .retain(|watcher| watcher.send(step.clone()).is_ok());
    }

    /// Lets the watchers go when the renewal is over, well or not.
    pub(crate) fn settle(&mut self, record: &Record, idle: bool) {
        if self.watchers.is_empty() || !idle || record.renew_requested {
            return;
        }
        let unproven = record.units.iter().find(|(_, unit)| unit.debt.is_some());
        let (well, detail) = match (&record.supply, unproven) {
            (Supply::Issuing { .. }, _) => return,
            (Supply::BackOff { .. } | Supply::Stopped { .. } | Supply::Doubt { .. }, _) => (
                false,
                record
                    .last_error
                    .as_ref()
                    .map_or(String::new(), |error| error.text.clone()),
            ),
            (Supply::Fresh, Some((unit, entry))) => {
                let standing = &entry.standing;
                (
                    false,
                    format!("{unit}: {} {}", standing.proof.label(), standing.detail),
                )
            }
            (Supply::Fresh, None) => (record.published == record.target, String::new()),
        };
        let last = Step {
            at: record
                .units
                .values()
                .map(|unit| unit.standing.since)
                .max()
                .or(record.last_issuance)
                .unwrap_or_default()
                .into(),
            certificate: record.certificate.to_string(),
            step: if well { "settled" } else { "failed" }.to_owned(),
            unit: None,
            detail,
            elapsed_ms: 0,
            finished: Some(well),
        };
        self.send(last);
        self.watchers.clear();
    }
}

fn step(
    before: &Record,
    event: &Event,
    after: &Record,
) -> Option<(&'static str, Option<String>, String)> {
    let standing = |unit| after.units.get(unit).map(|entry| &entry.standing);
    let reverting = |record: &Record| {
        record
            .rollout
            .as_ref()
            .is_some_and(|rollout| matches!(rollout.course, Course::Reverting { .. }))
    };
    Some(match event {
        Event::IssueStarted => ("issuing", None, String::new()),
        Event::IssueFailed(failure) => ("issuing failed", None, failure.text.clone()),
        Event::Accepted(identity) => {
            let detail = format!(
                "generation {}, serial {}",
                after.highest, identity.leaf.serial
            );
            ("accepted", None, detail)
        }
        Event::BaselineTaken(findings) => {
            let words: Vec<_> = findings
                .iter()
                .map(|(unit, finding)| format!("{unit} {}", finding.proof.label()))
                .collect();
            ("baseline", None, words.join(", "))
        }
        Event::Published(generation) => ("published", None, format!("generation {generation}")),
        Event::PublishFailed(text) => ("publishing failed", None, text.clone()),
        Event::Acted { unit, .. } | Event::Probed { unit, .. }
            if reverting(after) && !reverting(before) =>
        {
            (
                "reverting",
                Some(unit.to_string()),
                after
                    .last_error
                    .as_ref()
                    .map_or(String::new(), |e| e.text.clone()),
            )
        }
        Event::Acted { unit, .. } => match standing(unit)?.proof {
            Proof::Pending => ("reloaded", Some(unit.to_string()), String::new()),
            proof => (
                proof.label(),
                Some(unit.to_string()),
                standing(unit)?.detail.clone(),
            ),
        },
        Event::Probed { unit, .. } => (
            standing(unit)?.proof.label(),
            Some(unit.to_string()),
            standing(unit)?.detail.clone(),
        ),
        _ => return None,
    })
}
