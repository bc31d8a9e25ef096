//! A simulated world: an issuer, units, a disk and a clock, and a driver that carries out what the two
//! machines want the way the daemon does. It can be killed at any point, with the record as it was
//! saved last. Everything that happens is checked by [`super::invariants`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::invariants::Ghost;
use super::parts::{Behaviour, Identity, Issuer, Life, Unit};
use crate::activation::{self, Action};
use crate::leaf::Fingerprint;
use crate::names::UnitName;
use crate::proof::Proof;
use crate::record::{Context, Event, GenerationNumber, NewIdentity, Record, TrustPart};
use crate::schedule;
use crate::supply;
use crate::unit::{Dependent, OnChange};

/// What takes a while.
#[derive(Debug, Clone)]
pub(super) enum Step {
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
    /// How long a root is known before it is used.
    pub(super) settle: Duration,
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
    pub(super) under_way: Vec<(Timestamp, Step)>,
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

pub(super) fn anchor(version: usize) -> Fingerprint {
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
            settle: life / 10,
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
                dropped: BTreeMap::new(),
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

    /// Runs until something is so, step by step, for a day at most.
    pub(super) fn until(&mut self, condition: impl Fn(&Self) -> bool) {
        let end = schedule::after(self.time, Duration::from_secs(86_400));
        while !condition(self) {
            assert!(self.time < end, "not within a day: {:#?}", self.record);
            match self.decide() {
                // What was begun may be what is waited for.
                Ok(_) if condition(self) => return,
                Ok(wake) if self.pass(wake, end).is_ok() => {}
                _ => self.kill(),
            }
        }
    }

    fn run_to(&mut self, end: Timestamp) -> Result<(), Killed> {
        while self.time < end {
            self.ghost.check_pace(self.time);
            let wake = self.decide()?;
            self.pass(wake, end)?;
        }
        Ok(())
    }

    /// Lets time pass to whatever comes next.
    fn pass(&mut self, wake: Option<Timestamp>, end: Timestamp) -> Result<(), Killed> {
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
        Ok(())
    }

    /// Begins whatever the machines want; returns when to look again.
    fn decide(&mut self) -> Result<Option<Timestamp>, Killed> {
        for _ in 0..200 {
            let mut wakes = Vec::new();
            let mut idle = true;
            let (life, settle, now) = (self.life, self.settle, self.now());
            // What the driver finds over all certificates.
            let new = self.record.new_roots.as_ref();
            if new.is_some_and(|new| new.known_since.is_none()) && self.record.trust_is_known() {
                self.fold(Event::RootsKnown)?;
            }
            match supply::next(&self.record, &self.request, life, settle, now) {
                supply::Action::Issue(cause) => {
                    idle = false;
                    self.ghost.check_issue(&self.record, cause, life, now);
                    self.ghost.check_roots(&self.record, settle, now);
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
                        Event::Accepted(Box::new(NewIdentity {
                            anchor: trust.anchors[0],
                            usable_until: identity.leaf.not_after,
                            leaf: identity.leaf,
                            issuer: "internal".parse().unwrap(),
                            request: self.request,
                            trust,
                        }))
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
}
