//! One lane per certificate: its way from due to served, from top to bottom.
//!
//! ```text
//! supply      due ─▶ IssueStarted ─▶ the issuer is asked ─▶ accept() ─▶ kept ─▶ Accepted: a new target
//! activation  target ─▶ baseline ─▶ publish ─▶ each unit: told ─▶ probed ─▶ settled
//! ```
//!
//! The two machines of `renewd_core` say what is next ([`Lane::supply`], [`Lane::activation`]); [`steps`]
//! carries it out; what came of it is folded into the record and the machines are asked again. The order
//! is always the same: something happened → [`Lane::fold`] → the record is on disk ([`disk`]) → the next
//! step. What is not in the record must not be in the world, so nothing begins while a record could not be
//! saved. Every step can be repeated: a lane may be dropped at any await, and a start goes on from the
//! record.

mod advice;
mod disk;
mod held;
mod offers;
mod outcome;
mod revoke;
mod steps;
mod trust;
mod upkeep;
mod view;

use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use renewd_core::activation;
use renewd_core::names::{IssuerName, UnitName};
use renewd_core::record::{Event, GenerationNumber, Record};
use renewd_core::supply::{self, Supply};
use renewd_core::unit::Dependent;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::CertificateSettings;
use crate::control::report::Step;
use crate::driver::unit_lane::Transit;
use crate::driver::watchers::Watchers;
use crate::driver::world::World;
use crate::units::Activation;

pub(crate) use revoke::Revoke;
pub(crate) use view::View;

use advice::AdviceSought;
use disk::Unkept;
use outcome::Done;
use trust::TrustSought;

/// What a lane can be asked.
pub(crate) enum Command {
    /// Renew now; tell each step.
    Renew(mpsc::UnboundedSender<Step>),
    /// Have the leaf of a generation revoked.
    Revoke(Revoke),
    /// New settings are in force, and other issuers have these names.
    Configure(Rc<CertificateSettings>, Rc<[IssuerName]>),
    /// Say that you are alive.
    Ping(oneshot::Sender<()>),
}

/// What a machine's answer came to.
enum Next {
    /// Something was begun or folded: the machines may want more.
    Again,
    /// Nothing before this instant; `None`: nothing until something happens.
    Wait(Option<Timestamp>),
}

/// One certificate's way.
pub(crate) struct Lane {
    world: Rc<World>,
    settings: Rc<CertificateSettings>,
    dependents: Vec<Dependent>,
    record: Record,
    view: Rc<View>,
    /// What is not on disk yet, though it must be before anything else begins.
    unkept: Unkept,
    works: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// The issuer is being asked.
    asking: bool,
    /// The baseline is being taken.
    baselining: bool,
    advice: AdviceSought,
    trust: TrustSought,
    /// Units with a step under way.
    busy: BTreeSet<UnitName>,
    /// Units that became active while they had a step under way, which may have begun before.
    activated: BTreeSet<UnitName>,
    /// What is published was compared with what the configuration says of its owners.
    owners_compared: bool,
    transit: Option<Transit>,
    watchers: Watchers,
    /// Of an issuer that makes the keys.
    news: Option<watch::Receiver<u64>>,
    housekeep_at: Option<Timestamp>,
    /// The highest generation when the record last let go of what came before.
    tidied: Option<GenerationNumber>,
    /// The generation whose coming end was told, and whether its end itself was.
    told_of_end: Option<(GenerationNumber, bool)>,
}

impl Lane {
    /// A lane over a record that agrees with what is published.
    pub(crate) fn new(world: Rc<World>, settings: Rc<CertificateSettings>, view: Rc<View>) -> Self {
        let mut lane = Self {
            housekeep_at: Some(world.now()),
            dependents: dependents(&settings),
            record: view.record(),
            world,
            settings,
            view,
            unkept: Unkept::a_record(),
            works: FuturesUnordered::new(),
            asking: false,
            baselining: false,
            advice: AdviceSought::default(),
            trust: TrustSought::default(),
            busy: BTreeSet::new(),
            activated: BTreeSet::new(),
            owners_compared: false,
            transit: None,
            watchers: Watchers::default(),
            news: None,
            tidied: None,
            told_of_end: None,
        };
        // Before any lane runs: a unit's lane knows whom to wait for.
        lane.announce_transit();
        lane
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut clock_steps = self.world.clock.steps();
        let mut trust_news = self.world.hearsay.news();
        let mut changes = self.world.changes.subscribe();
        let mut activations = self.settings_in_force();
        loop {
            let wake_at = self.begin_what_is_next();
            // Our own are among them.
            changes.mark_unchanged();
            let waits_for_others = self.waits_for_others();
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
                        self.unkept.try_now();
                        self.fold(Event::RenewRequested);
                    }
                    Some(Command::Revoke(order)) => self.revoke(order),
                    Some(Command::Configure(settings, replaced)) => {
                        self.fold(Event::IssuersReplaced(replaced.to_vec()));
                        self.dependents = dependents(&settings);
                        self.settings = settings;
                        activations = self.settings_in_force();
                    }
                    None => return,
                },
                Some(activation) = activations.recv() => self.unit_is_active(activation),
                Ok(()) = clock_steps.changed() => self.clock_stepped(),
                () = offers::changed(&mut self.news) => self.issuer_has_news(),
                Ok(()) = trust_news.changed() => self.merge_trust(),
                Ok(()) = changes.changed(), if waits_for_others => {}
                () = sleep => {}
            }
        }
    }

    /// What the configuration says now is compared with what is published.
    fn settings_in_force(&mut self) -> mpsc::Receiver<Activation> {
        self.fold(Event::Configured(self.dependents.clone()));
        self.hear_of_news();
        self.trust.begin_anew();
        self.advice.begin_anew();
        self.owners_compared = false;
        // An issuer may have left, and what it was asked with is to go.
        self.tidied = None;
        // For the units that are configured now.
        self.transit = None;
        self.announce_transit();
        self.watch_units()
    }

    /// Begins every step that the machines want now; returns when to look again.
    fn begin_what_is_next(&mut self) -> Option<Timestamp> {
        loop {
            let now = self.world.now();
            if self.world.stopping.get() {
                return None;
            }
            if let Some(later) = self.put_on_disk(now) {
                return Some(later);
            }
            let Next::Wait(supply) = self.supply(now) else {
                continue;
            };
            let Next::Wait(activation) = self.activation(now) else {
                continue;
            };
            let Next::Wait(upkeep) = self.upkeep(now) else {
                continue;
            };
            self.announce_transit();
            self.watchers.settle(&self.record, self.works.is_empty());
            return [supply, activation, upkeep].into_iter().flatten().min();
        }
    }

    /// From due to a new target. Ends in [`Lane::done`] with the issuer's answer.
    fn supply(&mut self, now: Timestamp) -> Next {
        if let (Supply::Issuing { .. }, false) = (&self.record.supply, self.asking) {
            // It is on disk that the issuer is asked: now it may hear of it.
            return self.ask_issuer();
        }
        self.look_at_offers();
        let (request, life) = (&self.settings.request, self.settings.request.lifetime);
        let settle = self.settings.trust.settle;
        match supply::next(&self.record, &request.digest(), life, settle, now) {
            supply::Action::Issue(cause) => {
                if !self.trust_is_fresh() {
                    return Next::Wait(None);
                }
                self.watchers.cause = Some(cause);
                self.fold(Event::IssueStarted);
            }
            supply::Action::Doubt => self.fold(Event::ClockDoubted),
            supply::Action::Wait(at, cause) => {
                self.trust.no_order();
                if cause == supply::Cause::NewRoot && self.record.renew_requested {
                    self.watchers.tell_of_wait(&self.record, cause.label(), now);
                }
                return Next::Wait(at);
            }
        }
        Next::Again
    }

    /// From a new target to a settled one: baseline, publish, and for each unit reload and probe.
    fn activation(&mut self, now: Timestamp) -> Next {
        if self.baselining {
            return Next::Wait(None);
        }
        let life = self.settings.request.lifetime;
        match activation::next(&self.record, &self.dependents, &self.busy, life, now) {
            activation::Action::Baseline(_) => self.take_baseline(),
            activation::Action::Publish(generation) => self.publish(generation),
            activation::Action::Act {
                unit,
                generation,
                revive,
            } => self.act(unit, generation, revive),
            activation::Action::Probe { unit, generation } => self.probe(unit, generation),
            activation::Action::Wait(at) => Next::Wait(at),
        }
    }
}

fn dependents(settings: &CertificateSettings) -> Vec<Dependent> {
    let each = settings.dependents.iter();
    each.map(|settings| settings.dependent.clone()).collect()
}
