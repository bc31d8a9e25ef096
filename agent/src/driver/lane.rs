//! One lane per certificate: asks the two machines what to do, carries it out, folds what came of it
//! into the record, saves the record, and asks again.
//!
//! The order is always the same: something happened → [`Lane::fold`] → the record is on disk → the next
//! step. A record that could not be saved stops every further step until it is: what is not in the
//! record must not be in the world. Every step can be repeated, so the lane may be dropped at any await.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use renewd_core::activation;
use renewd_core::names::UnitName;
use renewd_core::record::{Context, Event, GenerationNumber, Record};
use renewd_core::schedule;
use renewd_core::supply::{self, Again, Failure, Supply};
use renewd_core::unit::{Dependent, OnChange};
use renewd_store::StoreError;
use renewd_store::publish::{LINGER, Ownership};
use tokio::sync::{mpsc, oneshot};

use crate::config::CertificateSettings;
use crate::control::report::Step;
use crate::driver::narrate::{self, Watchers};
use crate::driver::unit_lane::{Telling, Transit};
use crate::driver::work::{self, Issued};
use crate::driver::world::World;

/// How long to wait before a record that could not be saved is saved again.
const SAVE_AGAIN: Duration = Duration::from_secs(2);

/// What a lane can be asked.
pub(crate) enum Command {
    /// Renew now; tell each step.
    Renew(mpsc::UnboundedSender<Step>),
    /// New settings are in force.
    Configure(Rc<CertificateSettings>),
    /// Say that you are alive.
    Ping(oneshot::Sender<()>),
}

/// What a step brought.
enum Outcome {
    Issued(Box<Result<Issued, Failure>>),
    Folded(Box<Event>),
}

struct Done {
    outcome: Outcome,
    took: Duration,
}

pub(crate) struct Lane {
    world: Rc<World>,
    settings: Rc<CertificateSettings>,
    dependents: Vec<Dependent>,
    record: Record,
    view: Rc<RefCell<Record>>,
    unsaved: bool,
    works: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    baselining: bool,
    busy: BTreeSet<UnitName>,
    transit: Option<Transit>,
    watchers: Watchers,
    housekeep_at: Option<Timestamp>,
    warned_of_expiry: Option<GenerationNumber>,
}

impl Lane {
    /// A lane over a record that agrees with what is published.
    pub(crate) fn new(
        world: Rc<World>,
        settings: Rc<CertificateSettings>,
        record: Record,
        view: Rc<RefCell<Record>>,
    ) -> Self {
        let housekeep_at = Some(schedule::after(world.now(), LINGER));
        let dependents = dependents(&settings);
        let mut lane = Self {
            world,
            settings,
            dependents,
            record,
            view,
            unsaved: false,
            works: FuturesUnordered::new(),
            baselining: false,
            busy: BTreeSet::new(),
            transit: None,
            watchers: Watchers::default(),
            housekeep_at,
            warned_of_expiry: None,
        };
        // Before any lane runs: a unit's lane knows whom to wait for.
        lane.announce_transit();
        lane
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut steps = self.world.clock.steps();
        let mut activations = self.watch_units();
        self.settings_in_force().await;
        loop {
            let wake_at = self.decide();
            let world = self.world.clone();
            let sleep = async {
                match wake_at {
                    Some(at) => world.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(done) = self.works.next() => self.done(done),
                command = commands.recv() => match command {
                    Some(Command::Ping(reply)) => drop(reply.send(())),
                    Some(Command::Renew(watcher)) => {
                        self.watchers.add(watcher);
                        self.fold(Event::RenewRequested, Duration::ZERO);
                    }
                    Some(Command::Configure(settings)) => {
                        self.settings = settings;
                        self.dependents = dependents(&self.settings);
                        activations = self.watch_units();
                        self.settings_in_force().await;
                    }
                    None => return,
                },
                Some(unit) = activations.recv() => self.fold(Event::UnitActivated(unit), Duration::ZERO),
                Ok(()) = steps.changed() => self.fold(Event::ClockStepped, Duration::ZERO),
                () = sleep => {}
            }
        }
    }

    fn watch_units(&self) -> mpsc::Receiver<UnitName> {
        let told = |dependent: &&Dependent| dependent.on_change != OnChange::None;
        let units: Vec<_> = self
            .dependents
            .iter()
            .filter(told)
            .map(|dependent| dependent.unit.clone())
            .collect();
        if units.is_empty() {
            // Nothing to ask systemd for; a receiver that never yields.
            return mpsc::channel(1).1;
        }
        self.world.units.activations(&units)
    }

    /// What the configuration says now is compared with what is published.
    async fn settings_in_force(&mut self) {
        self.fold(Event::Configured(self.dependents.clone()), Duration::ZERO);
        let issuer = self
            .world
            .issuers
            .borrow()
            .get(&self.settings.request.issuer)
            .cloned();
        if let (Some(issuer), Some(_)) = (issuer, self.record.target)
            && let Some((trust, pem)) = work::offered_trust(issuer.as_ref()).await
        {
            let saved = self
                .world
                .store
                .save_trust(&self.settings.name, &trust.digest, &pem);
            if self.reported(saved) && self.record.trust != Some(trust.digest) {
                self.fold(Event::TrustChanged(trust), Duration::ZERO);
            }
        }
        let settled = self.record.rollout.is_none() && self.record.published == self.record.target;
        if settled
            && self
                .world
                .store
                .ownership_differs(&self.settings.name, &self.ownership())
        {
            self.fold(Event::Republish, Duration::ZERO);
        }
    }

    fn reported<T>(&self, result: Result<T, StoreError>) -> bool {
        if let Err(error) = &result {
            tracing::error!("RENEWD_CERT" = %self.settings.name, "{error}");
        }
        result.is_ok()
    }

    /// Begins every step that the machines want now; returns when to look again.
    fn decide(&mut self) -> Option<Timestamp> {
        loop {
            let now = self.world.now();
            if self.world.stopping.get() {
                return None;
            }
            if self.unsaved && !self.save() {
                return Some(schedule::after(now, SAVE_AGAIN));
            }
            self.housekeep(now);
            let wait = match (self.decide_supply(now), self.decide_activation(now)) {
                // A step was begun or folded: the machines may want more.
                (Next::Again, _) | (_, Next::Again) => continue,
                (Next::Wait(supply), Next::Wait(activation)) => {
                    [supply, activation, self.housekeep_at]
                }
            };
            self.announce_transit();
            self.watchers.settle(&self.record, self.works.is_empty());
            return wait.into_iter().flatten().min();
        }
    }

    fn decide_supply(&mut self, now: Timestamp) -> Next {
        let request = self.settings.request.digest();
        match supply::next(&self.record, &request, self.settings.request.lifetime, now) {
            supply::Action::Issue(cause) => {
                self.watchers.cause = Some(cause);
                self.fold(Event::IssueStarted, Duration::ZERO);
                let issue = work::issue(self.world.clone(), self.settings.clone());
                self.begin(async move { Outcome::Issued(Box::new(issue.await)) });
                Next::Again
            }
            supply::Action::Doubt => {
                self.fold(Event::ClockDoubted, Duration::ZERO);
                Next::Again
            }
            supply::Action::Wait(at, _) => Next::Wait(at),
        }
    }

    fn decide_activation(&mut self, now: Timestamp) -> Next {
        if self.baselining {
            return Next::Wait(None);
        }
        let life = self.settings.request.lifetime;
        match activation::next(&self.record, &self.dependents, &self.busy, life, now) {
            activation::Action::Baseline(_) => {
                self.baselining = true;
                let published = self.record.published_generation().cloned();
                let baseline = work::baseline(self.world.clone(), self.settings.clone(), published);
                self.begin(async move {
                    Outcome::Folded(Box::new(Event::BaselineTaken(baseline.await)))
                });
                Next::Again
            }
            activation::Action::Publish(generation) => {
                let begun = Instant::now();
                let event = match self.publish(generation) {
                    Ok(()) => Event::Published(generation),
                    Err(error) => Event::PublishFailed(error.to_string()),
                };
                self.fold(event, begun.elapsed());
                Next::Again
            }
            activation::Action::Act {
                unit,
                generation,
                revive,
            } => {
                self.act(unit, generation, revive);
                Next::Again
            }
            activation::Action::Probe { unit, generation } => {
                self.probe(unit, generation);
                Next::Again
            }
            activation::Action::Wait(at) => Next::Wait(at),
        }
    }

    fn begin(&mut self, step: impl Future<Output = Outcome> + 'static) {
        let begun = Instant::now();
        self.works.push(Box::pin(async move {
            let outcome = step.await;
            Done {
                outcome,
                took: begun.elapsed(),
            }
        }));
    }

    fn publish(&self, number: GenerationNumber) -> Result<(), StoreError> {
        let (store, name) = (&self.world.store, &self.settings.name);
        let Some(generation) = self.record.generations.get(&number) else {
            return Ok(());
        };
        let identity = store.load_identity(name, generation.identity)?;
        let bundle = store.load_trust(name, &generation.trust)?;
        store.publish(name, number, &identity, &bundle, &self.ownership())
    }

    fn ownership(&self) -> Ownership {
        (&self.settings.ownership).into()
    }

    fn act(&mut self, unit: UnitName, generation: GenerationNumber, revive: bool) {
        let Some(dependent) = self
            .settings
            .dependents
            .iter()
            .find(|dependent| dependent.dependent.unit == unit)
        else {
            return;
        };
        let telling = Telling {
            certificate: self.settings.name.clone(),
            unit: unit.clone(),
            verb: dependent.dependent.on_change,
            revive,
            deadline: dependent.reload_timeout,
        };
        let world = self.world.clone();
        self.busy.insert(unit.clone());
        self.begin(async move {
            let outcome = world.unit_lanes.act(telling).await;
            Outcome::Folded(Box::new(Event::Acted {
                unit,
                generation,
                outcome,
            }))
        });
    }

    fn probe(&mut self, unit: UnitName, number: GenerationNumber) {
        let (world, settings) = (self.world.clone(), self.settings.clone());
        let generation = self.record.generations.get(&number).cloned();
        self.busy.insert(unit.clone());
        self.begin(async move {
            let dependent = settings
                .dependents
                .iter()
                .find(|dependent| dependent.dependent.unit == unit);
            let (Some(dependent), Some(generation)) = (dependent, generation) else {
                return Outcome::Folded(Box::new(Event::Housekeeping));
            };
            let deadline = dependent.probe_timeout;
            let report =
                work::probe_unit(&world, &settings.name, dependent, &generation, deadline).await;
            Outcome::Folded(Box::new(Event::Probed {
                unit,
                generation: number,
                report,
            }))
        });
    }

    fn done(&mut self, done: Done) {
        let event = match done.outcome {
            Outcome::Folded(event) => *event,
            Outcome::Issued(result) => match *result {
                Ok(issued) => self.keep(issued),
                Err(failure) => Event::IssueFailed(failure),
            },
        };
        match &event {
            Event::BaselineTaken(_) => self.baselining = false,
            Event::Acted { unit, .. } | Event::Probed { unit, .. } => drop(self.busy.remove(unit)),
            _ => {}
        }
        self.fold(event, done.took);
    }

    /// Keeps an accepted identity under the number that its generation will have.
    fn keep(&self, issued: Issued) -> Event {
        let (store, name) = (&self.world.store, &self.settings.name);
        for warning in &issued.warnings {
            tracing::warn!("RENEWD_CERT" = %name, "{name}: {warning}");
        }
        let kept = store
            .save_trust(name, &issued.new.trust.digest, &issued.bundle_pem)
            .and_then(|()| store.save_identity(name, self.record.next_number(), &issued.identity));
        match kept {
            Ok(()) => Event::Accepted(issued.new),
            Err(error) => Event::IssueFailed(Failure {
                text: error.to_string(),
                again: Again::BackOff,
                answered: true,
            }),
        }
    }

    fn fold(&mut self, event: Event, took: Duration) {
        let context = Context {
            now: self.world.now(),
            chance: self.world.chance(),
            life: self.settings.request.lifetime,
            dependents: &self.dependents,
        };
        let after = self.record.clone().fold(event.clone(), context);
        narrate::journal(&self.record, &event, &after, self.watchers.cause);
        self.watchers
            .tell(&self.record, &event, &after, took, context.now);
        self.warn_of_expiry(&after, context.now);
        if after != self.record {
            self.record = after;
            *self.view.borrow_mut() = self.record.clone();
            self.unsaved = true;
            self.save();
            self.world.changed();
        }
    }

    fn save(&mut self) -> bool {
        self.unsaved = !self.reported(self.world.store.save_record(&self.record));
        !self.unsaved
    }

    /// Whether this certificate will soon be published: its units' lanes wait for it.
    fn announce_transit(&mut self) {
        let under_way = match &self.record.rollout {
            None => self.record.target != self.record.published,
            Some(rollout) => rollout.stage == activation::Stage::Publish,
        };
        let first = self.record.target.is_none() && self.record.supply == Supply::Fresh;
        let coming = under_way || first || matches!(self.record.supply, Supply::Issuing { .. });
        match (coming, self.transit.is_some()) {
            (true, false) => {
                let units = self.dependents.iter().map(|dependent| &dependent.unit);
                self.transit = Some(self.world.unit_lanes.transit(units));
            }
            (false, true) => self.transit = None,
            _ => {}
        }
    }

    fn warn_of_expiry(&mut self, record: &Record, now: Timestamp) {
        let (Some(number), Some(generation)) = (record.published, record.published_generation())
        else {
            return;
        };
        let life = schedule::between(generation.accepted_at, generation.leaf.not_after);
        if schedule::between(now, generation.leaf.not_after) < life / 6
            && self.warned_of_expiry != Some(number)
        {
            self.warned_of_expiry = Some(number);
            narrate::expiring(&record.certificate, generation.leaf.not_after);
        }
    }

    fn housekeep(&mut self, now: Timestamp) {
        if self.housekeep_at.is_none_or(|at| at > now) {
            return;
        }
        self.fold(Event::Housekeeping, Duration::ZERO);
        let (store, name) = (&self.world.store, &self.settings.name);
        let keep: Vec<_> = self.record.generations.keys().copied().collect();
        let mut identities: Vec<_> = self
            .record
            .generations
            .values()
            .map(|generation| generation.identity)
            .collect();
        identities.push(self.record.next_number());
        self.reported(store.remove_generations(name, &keep, now.into()));
        self.reported(store.forget_identities(name, &identities));
        self.housekeep_at = None;
        if store.has_leftovers(name, &keep) {
            self.housekeep_at = Some(schedule::after(now, LINGER));
        }
    }
}

enum Next {
    Again,
    Wait(Option<Timestamp>),
}

fn dependents(settings: &CertificateSettings) -> Vec<Dependent> {
    settings
        .dependents
        .iter()
        .map(|dependent| dependent.dependent.clone())
        .collect()
}
