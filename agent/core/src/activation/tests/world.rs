//! A simulated world: an issuer, units, a disk and a clock, and a driver that carries out what the two
//! machines want the way the daemon does. It can be killed at any point, with the record as it was
//! saved last. Everything that happens is checked by [`super::invariants`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::invariants::Ghost;
use crate::activation::{self, Action};
use crate::leaf::{Fingerprint, LeafFacts, Serial};
use crate::names::UnitName;
use crate::proof::{ProbeReport, Proof, Reason, SeenLeaf};
use crate::record::{
    BaselineFinding, Context, Event, Generation, GenerationNumber, NewIdentity, Record, TrustPart,
};
use crate::request::Usages;
use crate::schedule;
use crate::supply::{self, Again, Failure};
use crate::unit::{ActOutcome, Dependent, JobResult, OnChange};

/// How a unit behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Takes up what is published, and refuses it when it is bad.
    Healthy,
    /// Reports success for a bad identity too, and then serves it with a broken chain.
    Gullible,
    /// Its reload fails, whatever is published.
    Broken,
    /// Reports success, and goes on with what it has.
    Stale,
    /// Being told kills it when the identity is bad.
    Fragile,
    /// polkit refuses.
    Forbidden,
    /// Nobody answers its probes.
    Mute,
}

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// It died: systemd says *failed*.
    Failed,
    /// A person stopped it: systemd says *inactive*.
    Stopped,
}

#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) behaviour: Behaviour,
    pub(super) life: Life,
    /// The identity in its memory.
    pub(super) serves: Option<GenerationNumber>,
    /// How often it was told.
    pub(super) told: u32,
}

/// How the issuer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issuer {
    Good,
    /// Issues, and the dependents do not take it.
    Bad,
    Down,
    /// Issues what `accept()` refuses.
    Wrong,
    /// Asks to come back much later.
    Later,
    NeedsOperator,
    /// Gives a hundredth of the life.
    Short,
}

/// What the world knows of an identity.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) leaf: LeafFacts,
    pub(super) bad: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Issue,
    Act {
        unit: UnitName,
        generation: GenerationNumber,
        revive: bool,
    },
    Probe {
        unit: UnitName,
        generation: GenerationNumber,
    },
}

/// The daemon was killed.
#[derive(Debug)]
pub(super) struct Killed;

pub(super) struct World {
    pub(super) record: Record,
    saved: Record,
    /// The true time.
    pub(super) time: Timestamp,
    /// What the host's clock adds to it.
    pub(super) clock_error: SignedDuration,
    pub(super) life: Duration,
    pub(super) request: Fingerprint,
    pub(super) dependents: Vec<Dependent>,
    pub(super) units: BTreeMap<UnitName, Unit>,
    pub(super) issuer: Issuer,
    /// Every identity that was accepted and kept, by the generation that it first came in.
    pub(super) identities: BTreeMap<GenerationNumber, Identity>,
    /// Those whose private copy is there.
    pub(super) kept: BTreeSet<GenerationNumber>,
    /// What `current` points to, intact.
    pub(super) current: Option<GenerationNumber>,
    pub(super) on_disk: BTreeMap<GenerationNumber, GenerationNumber>,
    pub(super) disk_full: bool,
    /// Versions of the trust bundle, oldest first.
    pub(super) bundles: Vec<TrustPart>,
    /// Answers given by the issuer, those included that a crash lost.
    pub(super) answers: u32,
    pub(super) serial: u32,
    under_way: Vec<(Timestamp, Step)>,
    /// Dies when this reaches zero.
    pub(super) fuse: Option<u32>,
    random: u64,
    pub(super) actions: u32,
    pub(super) ghost: Ghost,
}

pub(super) fn unit(name: &str) -> UnitName {
    name.parse().expect("a unit's name")
}

pub(super) fn dependent(name: &str, on_change: OnChange, probed: bool, wave: u32) -> Dependent {
    Dependent {
        unit: unit(name),
        on_change,
        probed,
        wave,
    }
}

pub(super) fn request(version: u32) -> Fingerprint {
    Fingerprint::of(format!("request {version}").as_bytes())
}

fn anchor(version: usize) -> Fingerprint {
    Fingerprint::of(format!("anchor {version}").as_bytes())
}

impl World {
    pub(super) fn new(life: Duration, dependents: Vec<Dependent>) -> Self {
        let record = Record::new("api".parse().expect("a certificate's name"));
        let units = dependents
            .iter()
            .map(|dependent| {
                let unit = Unit {
                    behaviour: Behaviour::Healthy,
                    life: Life::Running,
                    serves: None,
                    told: 0,
                };
                (dependent.unit.clone(), unit)
            })
            .collect();
        let mut world = Self {
            saved: record.clone(),
            record,
            time: Timestamp::from_second(1_800_000_000).expect("an instant"),
            clock_error: SignedDuration::ZERO,
            life,
            request: request(0),
            dependents,
            units,
            issuer: Issuer::Good,
            identities: BTreeMap::new(),
            kept: BTreeSet::new(),
            current: None,
            on_disk: BTreeMap::new(),
            disk_full: false,
            bundles: vec![TrustPart {
                digest: Fingerprint::of(b"bundle 0"),
                anchors: vec![anchor(0)],
            }],
            answers: 0,
            serial: 0,
            under_way: Vec::new(),
            fuse: None,
            random: 0x9e37_79b9_7f4a_7c15,
            actions: 0,
            ghost: Ghost::default(),
        };
        world.start();
        world
    }

    /// A world in which the first certificate is in use everywhere.
    pub(super) fn settled(life: Duration, dependents: Vec<Dependent>) -> Self {
        let mut world = Self::new(life, dependents);
        world.run(Duration::from_secs(60));
        assert!(world.is_settled(), "{:#?}", world.record);
        world
    }

    pub(super) fn now(&self) -> Timestamp {
        self.time
            .checked_add(self.clock_error)
            .unwrap_or(Timestamp::MAX)
    }

    fn chance(&mut self) -> f64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn unit(&mut self, name: &str) -> &mut Unit {
        self.units.get_mut(&unit(name)).expect("a known unit")
    }

    pub(super) fn proof(&self, name: &str) -> Proof {
        self.record.units[&unit(name)].standing.proof
    }

    /// The identity that is published.
    pub(super) fn published_identity(&self) -> Option<GenerationNumber> {
        self.on_disk.get(&self.current?).copied()
    }

    /// Whether nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        self.record.target.is_some()
            && self.record.target == self.record.published
            && self.record.published == self.current
            && self.record.rollout.is_none()
            && self.record.units.values().all(|unit| unit.debt.is_none())
            && self.record.supply == supply::Supply::Fresh
    }

    pub(super) fn fold_raw(&mut self, event: Event) {
        let context = Context {
            now: self.now(),
            chance: self.chance(),
            life: self.life,
            dependents: &self.dependents,
        };
        let before = self.record.clone();
        let after = before.clone().fold(event.clone(), context);
        self.ghost.check_fold(
            &before,
            &event,
            &after,
            &self.dependents,
            &self.identities,
            context,
        );
        self.record = after;
    }

    /// Folds and saves; the daemon may die before or after.
    pub(super) fn fold(&mut self, event: Event) -> Result<(), Killed> {
        self.point()?;
        self.fold_raw(event);
        self.saved = self.record.clone();
        self.point()
    }

    /// A point at which the daemon may die.
    fn point(&mut self) -> Result<(), Killed> {
        match &mut self.fuse {
            Some(0) => Err(Killed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The daemon dies: what is under way is lost, or was carried out without anybody knowing.
    pub(super) fn kill(&mut self) {
        self.fuse = None;
        for (_, step) in std::mem::take(&mut self.under_way) {
            if self.chance() < 0.5 {
                match step {
                    Step::Issue => drop(self.ask_issuer()),
                    Step::Act { unit, revive, .. } => drop(self.tell(&unit, revive)),
                    Step::Probe { .. } => {}
                }
            }
        }
        self.record = self.saved.clone();
        self.start();
    }

    /// The daemon starts.
    fn start(&mut self) {
        let lost: BTreeSet<_> = self
            .record
            .generations
            .values()
            .map(|generation| generation.identity)
            .filter(|identity| !self.kept.contains(identity))
            .collect();
        for identity in lost {
            self.fold_raw(Event::IdentityLost(identity));
        }
        let highest = self.on_disk.keys().last().copied().unwrap_or(0);
        let current = self.current;
        self.fold_raw(Event::Recovered { current, highest });
        self.fold_raw(Event::Configured(self.dependents.clone()));
        self.saved = self.record.clone();
    }

    /// Lets `duration` of true time pass, with the daemon at work.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = schedule::after(self.time, duration);
        while self.time < end {
            if self.run_to(end).is_err() {
                self.kill();
            }
        }
    }

    fn run_to(&mut self, end: Timestamp) -> Result<(), Killed> {
        while self.time < end {
            self.ghost.check_pace(self.time);
            let wake = self.decide()?;
            let wake = wake.map(|wake| {
                // The driver sleeps until the host's clock shows it, at least a little.
                let wait = schedule::between(self.now(), wake).max(Duration::from_millis(1));
                schedule::after(self.time, wait)
            });
            let done = self.under_way.iter().map(|(at, _)| *at).min();
            self.time = [wake, done, Some(end)]
                .into_iter()
                .flatten()
                .min()
                .map_or(end, |at| at.max(self.time));
            while let Some(index) = self.under_way.iter().position(|(at, _)| *at <= self.time) {
                let (_, step) = self.under_way.remove(index);
                self.finish(step)?;
            }
        }
        Ok(())
    }

    /// Begins whatever the machines want; returns when to look again.
    fn decide(&mut self) -> Result<Option<Timestamp>, Killed> {
        for _ in 0..200 {
            let mut wakes = Vec::new();
            let mut idle = true;
            match supply::next(&self.record, &self.request, self.life, self.now()) {
                supply::Action::Issue(cause) => {
                    idle = false;
                    self.ghost
                        .check_issue(&self.record, cause, self.life, self.now());
                    self.fold(Event::IssueStarted)?;
                    self.begin(Duration::from_secs(2), Step::Issue);
                }
                supply::Action::Doubt => {
                    idle = false;
                    self.fold(Event::ClockDoubted)?;
                }
                supply::Action::Wait(at, _) => wakes.extend(at),
            }
            let busy: BTreeSet<UnitName> = self
                .under_way
                .iter()
                .filter_map(|(_, step)| match step {
                    Step::Act { unit, .. } | Step::Probe { unit, .. } => Some(unit.clone()),
                    Step::Issue => None,
                })
                .collect();
            let now = self.now();
            match activation::next(&self.record, &self.dependents, &busy, self.life, now) {
                Action::Wait(at) => wakes.extend(at),
                action => {
                    idle = false;
                    self.actions += 1;
                    self.carry_out(action)?;
                }
            }
            if idle {
                return Ok(wakes.into_iter().min());
            }
        }
        panic!("never idle at {}: {:#?}", self.now(), self.record);
    }

    fn begin(&mut self, takes: Duration, step: Step) {
        let at = schedule::after(self.time, takes);
        self.under_way.push((at, step));
    }

    fn carry_out(&mut self, action: Action) -> Result<(), Killed> {
        let (life, now) = (self.life, self.now());
        match action {
            Action::Baseline(_) => {
                let findings = self
                    .dependents
                    .clone()
                    .iter()
                    .map(|dependent| (dependent.unit.clone(), self.look(dependent)))
                    .collect();
                self.fold(Event::BaselineTaken(findings))
            }
            Action::Publish(number) => self.publish(number),
            Action::Act {
                unit,
                generation,
                revive,
            } => {
                self.ghost
                    .check_act(&self.record, &self.dependents, &unit, life, now);
                let step = Step::Act {
                    unit,
                    generation,
                    revive,
                };
                self.begin(Duration::from_millis(300), step);
                Ok(())
            }
            Action::Probe { unit, generation } => {
                self.begin(Duration::from_millis(100), Step::Probe { unit, generation });
                Ok(())
            }
            Action::Wait(_) => Ok(()),
        }
    }

    fn publish(&mut self, number: GenerationNumber) -> Result<(), Killed> {
        let generation = self.record.generations[&number].clone();
        if !self.kept.contains(&generation.identity) {
            return self.fold(Event::IdentityLost(generation.identity));
        }
        if self.disk_full {
            return self.fold(Event::PublishFailed("no space left".into()));
        }
        self.point()?;
        let (life, now) = (self.life, self.now());
        self.ghost.check_publish(
            &self.record,
            number,
            &self.identities,
            &self.bundles,
            life,
            now,
        );
        self.on_disk.insert(number, generation.identity);
        self.current = Some(number);
        self.fold(Event::Published(number))
    }

    fn finish(&mut self, step: Step) -> Result<(), Killed> {
        match step {
            Step::Issue => {
                let event = match self.ask_issuer() {
                    Ok(identity) => {
                        self.point()?;
                        let number = self.record.next_number();
                        self.identities.insert(number, identity.clone());
                        self.kept.insert(number);
                        let trust = self.bundles.last().expect("a bundle").clone();
                        Event::Accepted(NewIdentity {
                            anchor: trust.anchors[0],
                            leaf: identity.leaf,
                            request: self.request,
                            trust,
                        })
                    }
                    Err(failure) => Event::IssueFailed(failure),
                };
                self.fold(event)
            }
            Step::Act {
                unit,
                generation,
                revive,
            } => {
                let outcome = self.tell(&unit, revive);
                self.fold(Event::Acted {
                    unit,
                    generation,
                    outcome,
                })
            }
            Step::Probe { unit, generation } => {
                let event = self.probe(unit, generation);
                self.fold(event)
            }
        }
    }

    fn ask_issuer(&mut self) -> Result<Identity, Failure> {
        let failure = |again, answered| Failure {
            text: "no".into(),
            again,
            answered,
        };
        let life = match self.issuer {
            Issuer::Good | Issuer::Bad => self.life,
            Issuer::Short => (self.life / 100).max(Duration::from_secs(30)),
            Issuer::Down => return Err(failure(Again::BackOff, false)),
            Issuer::Later => {
                return Err(failure(Again::After(Duration::from_secs(86_400)), false));
            }
            Issuer::NeedsOperator => return Err(failure(Again::Operator, false)),
            Issuer::Wrong => {
                self.answers += 1;
                return Err(failure(Again::BackOff, true));
            }
        };
        self.answers += 1;
        self.serial += 1;
        let serial = self.serial.to_be_bytes();
        let leaf = LeafFacts {
            serial: Serial::from_der(&serial),
            fingerprint: Fingerprint::of(&serial),
            key_fingerprint: Fingerprint::of(&[&b"key"[..], &serial].concat()),
            not_before: self
                .time
                .checked_sub(SignedDuration::from_secs(30))
                .expect("an instant"),
            not_after: schedule::after(self.time, life),
            names: vec!["api.test".into()],
            usages: Usages::default(),
            is_ca: false,
        };
        let now = self.now();
        if leaf.not_before > schedule::after(now, schedule::EARLY) || leaf.not_after <= now {
            // By the host's clock it is not valid: accept() refuses it.
            return Err(failure(Again::BackOff, true));
        }
        let bad = self.issuer == Issuer::Bad;
        Ok(Identity { leaf, bad })
    }

    fn is_bad(&self, identity: Option<GenerationNumber>) -> bool {
        identity.is_some_and(|identity| {
            self.identities[&identity].bad || self.identities[&identity].leaf.not_after <= self.time
        })
    }

    fn tell(&mut self, name: &UnitName, revive: bool) -> ActOutcome {
        let published = self.published_identity();
        let bad = self.is_bad(published);
        let verb = self
            .dependents
            .iter()
            .find(|dependent| dependent.unit == *name)
            .map(|dependent| dependent.on_change);
        let Some(unit) = self.units.get_mut(name) else {
            return ActOutcome::NotNow("no such unit".into());
        };
        if unit.behaviour == Behaviour::Forbidden {
            return ActOutcome::NotNow("not authorized".into());
        }
        let restart = verb == Some(OnChange::Restart);
        match unit.life {
            Life::Running => {}
            Life::Failed if revive => self.ghost.revived(name),
            _ => return ActOutcome::NotRunning,
        }
        unit.told += 1;
        let fails = match unit.behaviour {
            Behaviour::Broken => true,
            Behaviour::Healthy | Behaviour::Fragile => bad,
            _ => false,
        };
        if fails {
            if restart || unit.behaviour == Behaviour::Fragile {
                unit.life = Life::Failed;
            }
            return ActOutcome::Job(JobResult::Failed);
        }
        unit.life = Life::Running;
        if restart || unit.behaviour != Behaviour::Stale {
            unit.serves = published;
        }
        ActOutcome::Job(JobResult::Done)
    }

    fn look(&mut self, dependent: &Dependent) -> BaselineFinding {
        let proof = match self.units[&dependent.unit].life {
            Life::Failed | Life::Stopped => Proof::NotRunning,
            Life::Running if !dependent.probed => match dependent.on_change {
                OnChange::None => Proof::Unobservable,
                _ => Proof::Reloaded,
            },
            Life::Running => match self.handshake(&dependent.unit, self.published_identity()) {
                None => Proof::Served,
                Some(reason) => Proof::Failed(reason),
            },
        };
        BaselineFinding {
            proof,
            detail: String::new(),
        }
    }

    fn handshake(&mut self, name: &UnitName, expected: Option<GenerationNumber>) -> Option<Reason> {
        let watches = self
            .dependents
            .iter()
            .any(|dependent| dependent.unit == *name && dependent.on_change == OnChange::None);
        let published = self.published_identity();
        let published_is_bad = self.is_bad(published);
        let unit = self.units.get_mut(name)?;
        if watches && unit.behaviour != Behaviour::Stale && !published_is_bad {
            unit.serves = published;
        }
        if unit.life != Life::Running {
            return Some(Reason::Refused);
        }
        if unit.behaviour == Behaviour::Mute {
            return Some(Reason::Timeout);
        }
        let serves = unit.serves;
        if serves != expected || serves.is_none() {
            Some(Reason::WrongLeaf)
        } else if self.is_bad(serves) {
            Some(Reason::Chain)
        } else {
            None
        }
    }

    fn probe(&mut self, unit: UnitName, generation: GenerationNumber) -> Event {
        if self.units[&unit].life == Life::Stopped {
            let outcome = ActOutcome::NotRunning;
            return Event::Acted {
                unit,
                generation,
                outcome,
            };
        }
        let expected = self
            .record
            .generations
            .get(&generation)
            .map(|generation: &Generation| generation.identity);
        let failure = self.handshake(&unit, expected);
        let seen = self.units[&unit].serves.map(|identity| SeenLeaf {
            fingerprint: self.identities[&identity].leaf.fingerprint,
            serial: self.identities[&identity].leaf.serial.clone(),
        });
        Event::Probed {
            unit,
            generation,
            report: ProbeReport {
                failure,
                detail: "by handshake".into(),
                seen,
            },
        }
    }

    // What befalls the world.

    /// The unit is started by somebody: it reads what is published.
    pub(super) fn start_unit(&mut self, name: &str) {
        let published = self.published_identity();
        let bad = self.is_bad(published);
        let unit = self.unit(name);
        if unit.life == Life::Running {
            return;
        }
        if bad && unit.behaviour != Behaviour::Gullible {
            unit.life = Life::Failed;
            return;
        }
        unit.life = Life::Running;
        unit.serves = published;
        let event = Event::UnitActivated(self::unit(name));
        if self.fold(event).is_err() {
            self.kill();
        }
    }

    /// The CA's bundle changes. The first anchor is the one that leaves chain to from now on; with
    /// `drop_old` the old anchors are not trusted any more.
    pub(super) fn change_trust(&mut self, new_root: bool, drop_old: bool) {
        let version = self.bundles.len();
        let old = self.bundles.last().expect("a bundle").anchors.clone();
        let mut anchors = Vec::new();
        if new_root {
            anchors.push(anchor(version));
        } else {
            anchors.push(old[0]);
        }
        if !drop_old {
            let first = anchors[0];
            anchors.extend(old.into_iter().filter(|kept| *kept != first));
        }
        let trust = TrustPart {
            digest: Fingerprint::of(format!("bundle {version}").as_bytes()),
            anchors,
        };
        self.bundles.push(trust.clone());
        if self.fold(Event::TrustChanged(trust)).is_err() {
            self.kill();
        }
    }

    /// A unit's settings change; without any it is no dependent any more.
    pub(super) fn configure(&mut self, name: &str, settings: Option<Dependent>) {
        self.dependents
            .retain(|dependent| dependent.unit != self::unit(name));
        let published = self.published_identity();
        if settings.is_some() {
            self.units.entry(self::unit(name)).or_insert(Unit {
                behaviour: Behaviour::Healthy,
                life: Life::Running,
                serves: published,
                told: 0,
            });
        }
        self.dependents.extend(settings);
        self.under_way.retain(|(_, step)| match step {
            Step::Act { unit, .. } | Step::Probe { unit, .. } => *unit != self::unit(name),
            Step::Issue => true,
        });
        self.event(Event::Configured(self.dependents.clone()));
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.fold(event).is_err() {
            self.kill();
        }
    }

    pub(super) fn step_clock(&mut self, error: SignedDuration) {
        self.clock_error = error;
        self.ghost.clock_stepped();
        self.event(Event::ClockStepped);
    }

    /// Everything works from now on.
    pub(super) fn heal(&mut self) {
        self.issuer = Issuer::Good;
        self.disk_full = false;
        self.fuse = None;
        if self.clock_error != SignedDuration::ZERO {
            self.step_clock(SignedDuration::ZERO);
        }
        let names: Vec<String> = self.units.keys().map(ToString::to_string).collect();
        for name in names {
            self.unit(&name).behaviour = Behaviour::Healthy;
            self.start_unit(&name);
        }
        // The operator is told, and has another look.
        self.event(Event::Configured(self.dependents.clone()));
    }
}

/// An identity that was accepted, for tests without a world.
pub(super) fn new_identity(start: i64, life: u64, trust: TrustPart) -> NewIdentity {
    let not_before = Timestamp::from_second(start).expect("an instant");
    let seed = [start.to_be_bytes(), life.to_be_bytes()].concat();
    NewIdentity {
        anchor: trust.anchors[0],
        leaf: LeafFacts {
            serial: Serial::from_der(&seed),
            fingerprint: Fingerprint::of(&seed),
            key_fingerprint: Fingerprint::of(&seed),
            not_before,
            not_after: schedule::after(not_before, Duration::from_secs(life)),
            names: Vec::new(),
            usages: Usages::default(),
            is_ca: false,
        },
        request: request(0),
        trust,
    }
}

pub(super) fn finding(proof: Proof) -> BaselineFinding {
    BaselineFinding {
        proof,
        detail: String::new(),
    }
}
