//! The simulated issuer and units: how they behave when asked.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::world::{World, request};
use crate::leaf::{Fingerprint, LeafFacts, Serial};
use crate::names::UnitName;
use crate::proof::{ProbeReport, Proof, Reason, SeenLeaf};
use crate::record::{BaselineFinding, Event, Generation, GenerationNumber, NewIdentity, TrustPart};
use crate::request::Usages;
use crate::schedule;
use crate::supply::{Again, Failure};
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
    /// It is at its start limit: a restart stops it, and systemd does not start it.
    Limited,
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

impl World {
    pub(super) fn ask_issuer(&mut self) -> Result<Identity, Failure> {
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

    pub(super) fn is_bad(&self, identity: Option<GenerationNumber>) -> bool {
        identity.is_some_and(|identity| {
            self.identities[&identity].bad || self.identities[&identity].leaf.not_after <= self.time
        })
    }

    pub(super) fn tell(&mut self, name: &UnitName, revive: bool) -> ActOutcome {
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
        if restart && unit.behaviour == Behaviour::Limited {
            unit.life = Life::Failed;
            return ActOutcome::LeftOpen("start limit".into());
        }
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

    pub(super) fn look(&mut self, dependent: &Dependent) -> BaselineFinding {
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

    pub(super) fn handshake(
        &mut self,
        name: &UnitName,
        expected: Option<GenerationNumber>,
    ) -> Option<Reason> {
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

    pub(super) fn probe(&mut self, unit: UnitName, generation: GenerationNumber) -> Event {
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
}

/// An identity that was accepted, for tests without a world.
pub(super) fn new_identity(start: i64, life: u64, trust: TrustPart) -> Box<NewIdentity> {
    let not_before = Timestamp::from_second(start).expect("an instant");
    let seed = [start.to_be_bytes(), life.to_be_bytes()].concat();
    Box::new(NewIdentity {
        anchor: trust.anchors[0],
        usable_until: schedule::after(not_before, Duration::from_secs(life)),
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
        issuer: "internal".parse().unwrap(),
        request: request(0),
        trust,
    })
}

pub(super) fn finding(proof: Proof) -> BaselineFinding {
    BaselineFinding {
        proof,
        detail: String::new(),
    }
}
