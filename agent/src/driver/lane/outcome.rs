//! What came of a step, or of the world outside, and how it gets into the record: nothing is known anywhere else.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use renewd_core::leaf::Fingerprint;
use renewd_core::names::{IssuerName, UnitName};
use renewd_core::record::{BaselineFinding, Context, Event};
use renewd_core::supply::Advice;

use crate::driver::fallback::Unissued;
use crate::driver::issue::Issued;
use crate::driver::lane::Lane;
use crate::driver::lane::revoke::Revoked;
use crate::driver::narrate;
use crate::driver::trust::Answered;
use crate::issuer::Issuer;
use crate::units::Activation;

/// What a step brought.
pub(super) enum Outcome {
    /// The issuer's answer, accepted or not.
    Issued(Box<Result<Issued, Unissued>>),
    /// What this issuer stands for, where it could say; the one that had the name when it was asked.
    Trust(IssuerName, Rc<dyn Issuer>, Answered),
    /// What the issuer advises about a leaf; where it could not be asked, how long it wants to be left alone.
    Advice(Fingerprint, Result<Option<Advice>, Duration>),
    /// What came of an order to revoke.
    Revoked(Box<Revoked>),
    /// How the dependents are.
    Baseline(BTreeMap<UnitName, BaselineFinding>),
    /// A unit was told or probed.
    Unit(UnitName, Box<Event>),
}

/// A step that has ended.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Lane {
    pub(super) fn fold(&mut self, event: Event) {
        self.fold_after(event, Duration::ZERO);
    }

    /// Folds what a step brought that took so long.
    pub(super) fn fold_after(&mut self, event: Event, took: Duration) {
        let context = Context {
            now: self.world.now(),
            chance: self.world.chance(),
            life: self.settings.request.lifetime,
            dependents: &self.dependents,
        };
        let after = self.record.clone().fold(event.clone(), context);
        narrate::journal(&self.record, &event, &after, self.watchers.cause);
        let now = context.now;
        self.watchers.tell(&self.record, &event, &after, took, now);
        if after != self.record {
            self.record = after;
            self.view.show(&self.record);
            self.save(now);
            self.world.changed();
        }
    }

    /// Begins a step that takes time; its outcome comes to [`Lane::done`].
    pub(super) fn begin(&mut self, step: impl Future<Output = Outcome> + 'static) {
        let begun = Instant::now();
        self.works.push(Box::pin(async move {
            let outcome = step.await;
            let took = begun.elapsed();
            Done { outcome, took }
        }));
    }

    /// A step has ended: what came of it goes into the record.
    pub(super) fn done(&mut self, done: Done) {
        match done.outcome {
            Outcome::Issued(answer) => {
                self.asking = false;
                match *answer {
                    Ok(issued) => self.keep(issued, done.took),
                    Err(unissued) => {
                        for (issuer, asked) in unissued.put_off {
                            self.fold(Event::PutOff { issuer, asked });
                        }
                        self.fold_after(Event::IssueFailed(unissued.failure), done.took);
                    }
                }
            }
            Outcome::Trust(name, asked, offered) => self.trust_offered(&name, &asked, offered),
            Outcome::Advice(leaf, told) => self.advised(leaf, told),
            Outcome::Revoked(revoked) => self.revoked(*revoked),
            Outcome::Baseline(findings) => {
                self.baselining = false;
                self.fold_after(Event::BaselineTaken(findings), done.took);
            }
            Outcome::Unit(unit, event) => {
                self.busy.remove(&unit);
                self.fold_after(*event, done.took);
                if self.activated.remove(&unit) {
                    self.fold(Event::UnitActivated(unit));
                }
            }
        }
    }

    pub(super) fn unit_is_active(&mut self, activation: Activation) {
        match activation {
            Activation::Found(unit) => self.fold(Event::UnitFound(unit)),
            Activation::Began(unit) => {
                if self.busy.contains(&unit) {
                    // What is under way may have looked before it was active.
                    self.activated.insert(unit.clone());
                }
                self.fold(Event::UnitActivated(unit));
            }
        }
    }
}
