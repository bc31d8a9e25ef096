//! Tells people what happened: the journal for everyone, steps for who asked for a renewal. It reads the
//! record before and after an event, and never changes one.

use std::time::Duration;

use jiff::Timestamp;
use renewd_core::activation::Course;
use renewd_core::names::CertificateName;
use renewd_core::proof::{Proof, Reason};
use renewd_core::record::{Event, GenerationNumber, Record, Verdict};
use renewd_core::supply::{self, Supply};
use tokio::sync::mpsc;

use crate::control::report::Step;
use crate::journal::{self, Event as Entry};

/// The published certificate is close to its end.
pub(crate) fn expiring(certificate: &CertificateName, not_after: Timestamp) {
    journal::emit(&Entry::Expiring {
        certificate: certificate.clone(),
        not_after,
    });
}

/// Writes what an event brought into the journal.
pub(crate) fn journal(
    before: &Record,
    event: &Event,
    after: &Record,
    cause: Option<supply::Cause>,
) {
    let certificate = || after.certificate.clone();
    match event {
        Event::IssueStarted => {
            let why = cause.map_or("due", supply::Cause::label).to_owned();
            journal::emit(&Entry::IssuanceStarted {
                certificate: certificate(),
                why,
            });
        }
        Event::IssueFailed(failure) => {
            let retry_at = match after.supply {
                Supply::BackOff { until, .. } => Some(until),
                _ => None,
            };
            journal::emit(&match failure.answered {
                false => Entry::IssuanceFailed {
                    certificate: certificate(),
                    error: failure.text.clone(),
                    retry_at,
                },
                true => Entry::AnswerRefused {
                    certificate: certificate(),
                    reason: failure.text.clone(),
                    retry_at,
                },
            });
        }
        Event::Accepted(identity) if after.highest > before.highest => {
            journal::emit(&Entry::Issued {
                certificate: certificate(),
                generation: after.highest,
                serial: identity.leaf.serial.clone(),
                not_after: identity.leaf.not_after,
            })
        }
        Event::Published(generation) => {
            if let Some(serial) = after.published_serial().cloned() {
                journal::emit(&Entry::Published {
                    certificate: certificate(),
                    generation: *generation,
                    serial,
                });
            }
        }
        Event::PublishFailed(text) => {
            let name = &after.certificate;
            tracing::error!("RENEWD_CERT" = %name, "RENEWD_STEP" = "publish", "{name}: cannot publish: {text}");
        }
        Event::ClockDoubted | Event::ClockStepped => {
            if let (true, Some(error)) = (before.supply != after.supply, &after.last_error) {
                tracing::warn!("RENEWD_CERT" = %after.certificate, "{}: {}", after.certificate, error.text);
            }
        }
        _ => {}
    }
    proofs(before, after);
    verdicts(before, after);
}

fn proofs(before: &Record, after: &Record) {
    let Some(generation) = after.published else {
        return;
    };
    for (unit, entry) in &after.units {
        let standing = &entry.standing;
        let known = before.units.get(unit).map(|entry| entry.standing.proof);
        if known == Some(standing.proof) {
            continue;
        }
        let (certificate, unit) = (after.certificate.clone(), unit.clone());
        journal::emit(&match standing.proof {
            Proof::Pending => continue,
            Proof::Failed(Reason::WrongLeaf) => Entry::StaleInMemory {
                certificate,
                generation,
                unit,
                served: standing.served_serial.clone(),
            },
            Proof::Failed(reason) => Entry::NotProven {
                certificate,
                generation,
                unit,
                reason,
                detail: standing.detail.clone(),
            },
            proof => Entry::Proven {
                certificate,
                generation,
                unit,
                proof,
            },
        });
    }
}

fn verdicts(before: &Record, after: &Record) {
    let certificate = || after.certificate.clone();
    let suspect = |record: &Record| {
        record
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.course.suspect())
    };
    if let (None, Some(from), Some(rollout)) = (suspect(before), suspect(after), &after.rollout) {
        journal::emit(&Entry::Reverted {
            certificate: certificate(),
            from,
            to: rollout.generation,
        });
    }
    for (number, generation) in &after.generations {
        let known = before
            .generations
            .get(number)
            .and_then(|generation| generation.verdict.as_ref());
        let Some(verdict) = generation
            .verdict
            .as_ref()
            .filter(|verdict| Some(*verdict) != known)
        else {
            continue;
        };
        let generation: GenerationNumber = *number;
        let text = |cause: &renewd_core::record::Cause| {
            format!("{}: {}: {}", cause.unit, cause.reason, cause.detail)
        };
        match verdict {
            Verdict::Blamed { cause, .. } => {
                journal::emit(&Entry::Blamed {
                    certificate: certificate(),
                    generation,
                    cause: text(cause),
                });
            }
            // Carried along to the number under which it is published again: told once.
            Verdict::NotTheCertificate { cause } if before.generations.contains_key(number) => {
                journal::emit(&Entry::NotTheCertificate {
                    certificate: certificate(),
                    generation,
                    cause: text(cause),
                });
            }
            Verdict::HeldForward { cause } => {
                journal::emit(&Entry::HeldForward {
                    certificate: certificate(),
                    generation,
                    cause: text(cause),
                });
            }
            _ => {}
        }
    }
}

/// Those who wait for a renewal, and what they are told.
#[derive(Default)]
pub(crate) struct Watchers {
    watchers: Vec<mpsc::UnboundedSender<Step>>,
    /// Why the issuer was asked last.
    pub(crate) cause: Option<supply::Cause>,
}

impl Watchers {
    pub(crate) fn add(&mut self, watcher: mpsc::UnboundedSender<Step>) {
        self.watchers.push(watcher);
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
            (Supply::BackOff { .. } | Supply::Stopped | Supply::Doubt { .. }, _) => (
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
