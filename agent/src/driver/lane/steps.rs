//! The steps of one certificate's way, in their order. Each is begun here and takes what it needs with
//! it; what it brings comes back to [`Lane::done`]. Only publishing is done on the spot: it is short, and
//! nothing may come between.

use std::time::Instant;

use renewd_core::names::UnitName;
use renewd_core::record::{Event, Generation, GenerationNumber};
use renewd_core::supply;
use renewd_core::trust::PublishedTrust;
use renewd_core::unit::ActOutcome;
use renewd_store::Identity;

use crate::config::{CertificateSettings, DependentSettings};
use crate::driver::issue::Quest;
use crate::driver::lane::outcome::Outcome;
use crate::driver::lane::{Lane, Next};
use crate::driver::sound::{self, Unsound};
use crate::driver::unit_lane::Telling;
use crate::driver::{entrust, look};
use crate::journal;

impl Lane {
    pub(super) fn ask_issuer(&mut self) -> Next {
        self.asking = true;
        let newest = self.record.newest_issued().cloned();
        let shown = self.record.identity_to_show(self.world.now()).cloned();
        let heard = self.trust.for_order();
        let quest = Quest {
            world: self.world.clone(),
            settings: self.settings.clone(),
            newest,
            shown,
            had: self.known_leaves(),
            keys: self.known_keys(),
            trust: self.held_trust(),
            known: self.published_anchors(),
            fall_back_from: supply::fall_back_from(&self.record),
            put_off: supply::put_off(
                &self.record,
                self.settings.request.lifetime,
                self.world.now(),
            ),
            end: self.record.published_generation().map(Generation::end),
        };
        let answer = quest.go(heard);
        self.begin(async move { Outcome::Issued(Box::new(answer.await)) });
        Next::Again
    }

    pub(super) fn take_baseline(&mut self) -> Next {
        self.baselining = true;
        let published = self.record.published_generation().cloned();
        let baseline = look::baseline(self.world.clone(), self.settings.clone(), published);
        self.begin(async move { Outcome::Baseline(baseline.await) });
        Next::Again
    }

    pub(super) fn publish(&mut self, number: GenerationNumber) -> Next {
        let Some(generation) = self.record.generations.get(&number).cloned() else {
            return Next::Wait(None);
        };
        let begun = Instant::now();
        let event = match self.try_to_publish(number, &generation) {
            Ok(identity) => {
                // Before any unit is told: one that starts now must be given this.
                entrust::published(&self.world, &self.settings, number, &identity);
                Event::Published(number)
            }
            Err(Unpublished::Lost(identity, error)) => {
                journal::emit(&journal::Event::IdentityLost {
                    certificate: self.settings.name.clone(),
                    generation: identity,
                    error: error.to_string(),
                });
                Event::IdentityLost(identity)
            }
            Err(Unpublished::Refused(error)) => Event::PublishFailed(error.to_string()),
        };
        if let Event::Published(_) = event {
            // The one before last may go soon.
            self.housekeep_soon();
        }
        self.fold_after(event, begun.elapsed());
        Next::Again
    }

    fn try_to_publish(
        &mut self,
        number: GenerationNumber,
        generation: &Generation,
    ) -> Result<Identity, Unpublished> {
        let (store, name) = (&self.world.store, &self.settings.name);
        let lost = |error: Unsound| {
            if error.is_lasting() {
                Unpublished::Lost(generation.identity, error)
            } else {
                Unpublished::Refused(error)
            }
        };
        let identity = sound::identity(store, name, generation).map_err(lost)?;
        let bundle = match sound::bundle(store, name, &generation.trust) {
            Ok(bundle) => bundle,
            Err(error) => {
                // The issuer may have it still.
                self.look_at_trust();
                return Err(Unpublished::Refused(error));
            }
        };
        let ownership = (&self.settings.ownership).into();
        let trust = PublishedTrust::of(&bundle);
        let published = store.publish(name, number, &identity, &trust, &ownership);
        published.map_err(|error| Unpublished::Refused(error.into()))?;
        Ok(identity)
    }

    pub(super) fn act(
        &mut self,
        unit: UnitName,
        generation: GenerationNumber,
        revive: bool,
    ) -> Next {
        let settings = self.settings.clone();
        let Some(dependent) = dependent(&settings, &unit) else {
            return Next::Wait(None);
        };
        let telling = Telling {
            certificate: settings.name.clone(),
            unit: unit.clone(),
            verb: dependent.dependent.on_change,
            revive,
            deadline: dependent.reload_timeout,
        };
        let world = self.world.clone();
        self.busy.insert(unit.clone());
        self.begin(async move {
            let outcome = world.unit_lanes.act(telling).await;
            let acted = Event::Acted {
                unit: unit.clone(),
                generation,
                outcome,
            };
            Outcome::Unit(unit, Box::new(acted))
        });
        Next::Again
    }

    pub(super) fn probe(&mut self, unit: UnitName, number: GenerationNumber) -> Next {
        let (world, name) = (self.world.clone(), self.settings.name.clone());
        let dependent = dependent(&self.settings, &unit).cloned();
        let generation = self.record.generations.get(&number).cloned();
        let (Some(dependent), Some(generation)) = (dependent, generation) else {
            return Next::Wait(None);
        };
        self.busy.insert(unit.clone());
        self.begin(async move {
            let report = look::probe(&world, &name, &dependent, &generation).await;
            let stopped = report.failure.is_some() && look::was_stopped(&world, &dependent).await;
            let event = if stopped {
                Event::Acted {
                    unit: unit.clone(),
                    generation: number,
                    outcome: ActOutcome::NotRunning,
                }
            } else {
                Event::Probed {
                    unit: unit.clone(),
                    generation: number,
                    report,
                }
            };
            Outcome::Unit(unit, Box::new(event))
        });
        Next::Again
    }
}

fn dependent<'a>(
    settings: &'a CertificateSettings,
    unit: &UnitName,
) -> Option<&'a DependentSettings> {
    let mut each = settings.dependents.iter();
    each.find(|settings| settings.dependent.unit == *unit)
}

/// Why a generation could not be published.
enum Unpublished {
    /// Its identity is gone or damaged.
    Lost(GenerationNumber, Unsound),
    /// The disk refused, or the bundle is gone.
    Refused(Unsound),
}
