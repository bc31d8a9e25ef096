//! What befalls the simulated world.

use jiff::SignedDuration;

use super::parts::{Behaviour, Issuer, Life, Unit};
use super::world::{Step, World, anchor, unit};
use crate::leaf::Fingerprint;
use crate::record::{Event, TrustPart};
use crate::unit::Dependent;

impl World {
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
            dropped: Default::default(),
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
