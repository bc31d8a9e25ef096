//! What a lane does beside its certificate's way: looks at the issuer's bundle and at the owners, watches
//! its units, removes what no longer matters, warns of the end, and says who is on the way.

use jiff::Timestamp;
use renewd_core::activation::Stage;
use renewd_core::record::{Event, QUARANTINE, Verdict};
use renewd_core::schedule;
use renewd_core::supply::Supply;
use renewd_core::unit::OnChange;
use renewd_store::StoreError;
use renewd_store::publish::LINGER;
use tokio::sync::mpsc;

use crate::driver::asked;
use crate::driver::lane::{Lane, Next};
use crate::journal;
use crate::units::Activation;

impl Lane {
    /// What is published goes out anew when it shall belong to others, also while a dependent is still to
    /// be proven: that it cannot read its key may be why.
    fn compare_owners(&mut self) -> Next {
        let publishing = self
            .record
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.stage == Stage::Publish);
        if self.owners_compared || publishing || self.record.published != self.record.target {
            return Next::Wait(None);
        }
        self.owners_compared = true;
        let (store, name) = (&self.world.store, &self.settings.name);
        if !store.ownership_differs(name, &(&self.settings.ownership).into()) {
            return Next::Wait(None);
        }
        self.fold(Event::Republish);
        Next::Again
    }

    /// Hears of the units that systemd can tell something new of.
    pub(super) fn watch_units(&self) -> mpsc::Receiver<Activation> {
        let units: Vec<_> = self
            .dependents
            .iter()
            .filter(|dependent| dependent.probed || dependent.on_change != OnChange::None)
            .map(|dependent| dependent.unit.clone())
            .collect();
        self.world.units.activations(&units)
    }

    pub(super) fn clock_stepped(&mut self) {
        self.unkept.try_now();
        self.advice.begin_anew();
        self.trust.begin_anew();
        self.housekeep_soon();
        self.fold(Event::ClockStepped);
    }

    /// Does what is due beside the certificate's way.
    pub(super) fn upkeep(&mut self, now: Timestamp) -> Next {
        if let Next::Again = self.compare_owners() {
            return Next::Again;
        }
        if let Next::Again = self.compare_trust() {
            return Next::Again;
        }
        self.forget_at_rest();
        let expiry = self.warn_of_expiry(now);
        let housekeeping = self.housekeep(now);
        let advice = self.seek_advice(now);
        let trust = self.seek_trust(now);
        Next::Wait(
            [expiry, housekeeping, advice, trust]
                .into_iter()
                .flatten()
                .min(),
        )
    }

    /// An alarm when the published certificate is close to its end, by when a renewal should have come, and
    /// another when it is over.
    fn warn_of_expiry(&mut self, now: Timestamp) -> Option<Timestamp> {
        let number = self.record.published?;
        let generation = self.record.published_generation()?;
        let end = generation.end();
        let at = schedule::overdue(generation.accepted_at, end);
        let told = self
            .told_of_end
            .filter(|(of, _)| *of == number)
            .map(|(_, over)| over);
        let (next, over) = match told {
            Some(true) => return None,
            None if end > now => (at, false),
            _ => (end, true),
        };
        if next > now {
            return Some(next);
        }
        self.told_of_end = Some((number, over));
        let serial = &generation.leaf.serial;
        let above = generation.usable_until;
        let above = above.map(|_| "a CA certificate".to_owned());
        let event = journal::Event::ending(&self.record.certificate, serial, end, above, over);
        journal::emit(&event);
        (!over).then_some(end)
    }

    /// At rest the record lets go of what came before, and its keys are wiped. What readers may still have
    /// open lingers on.
    fn forget_at_rest(&mut self) {
        if self.record.rollout.is_some() || self.tidied == Some(self.record.highest) {
            return;
        }
        if !self.let_go() {
            self.tidied = Some(self.record.highest);
            return self.housekeep_soon();
        }
        // First the record that no longer refers to what is removed here.
        if !self.unkept.is_something() {
            self.tidied = Some(self.record.highest);
            self.forget_identities();
        }
    }

    /// The record lets go of what no longer matters; not while a key of that lies where it could be brought again.
    fn let_go(&mut self) -> bool {
        let (store, name) = (&self.world.store, &self.settings.name);
        let issuers: Vec<_> = self.settings.issuers().collect();
        let keys = self.known_keys();
        let wiped = self.done_or_said(asked::forget_in_vain(store, name, &issuers, &keys));
        if wiped {
            self.fold(Event::Housekeeping);
        }
        wiped
    }

    fn forget_identities(&self) {
        let generations = self.record.generations.values();
        let mut keep: Vec<_> = generations.map(|kept| kept.identity).collect();
        // One that is being kept, whose generation is still to come.
        keep.push(self.record.next_number());
        let (store, name) = (&self.world.store, &self.settings.name);
        self.done_or_said(store.forget_identities(name, &keep));
    }

    /// Something may become superfluous after a while.
    pub(super) fn housekeep_soon(&mut self) {
        // An earlier date stays: what rotates often must be tidied, too.
        let at = schedule::after(self.world.now(), LINGER);
        self.housekeep_at = Some(self.housekeep_at.map_or(at, |set| set.min(at)));
    }

    fn housekeep(&mut self, now: Timestamp) -> Option<Timestamp> {
        if let Some(at) = self.housekeep_at.filter(|at| *at > now) {
            return Some(at);
        }
        self.housekeep_at.take()?;
        let let_go = self.let_go();
        if self.unkept.is_something() {
            // First the record that no longer refers to what is removed here.
            self.housekeep_at = Some(now);
            return self.housekeep_at;
        }
        self.forget_identities();
        let (store, name) = (&self.world.store, &self.settings.name);
        let generations = &self.record.generations;
        let bundles = generations.values().map(|kept| kept.trust);
        let bundles: Vec<_> = bundles.chain(self.record.trust).collect();
        self.done_or_said(store.forget_trust(name, &bundles));
        let keep: Vec<_> = generations.keys().copied().collect();
        self.done_or_said(store.remove_generations(name, &keep, now.into()));
        let leftovers = store.has_leftovers(name, &keep);
        let quarantined = generations.values().filter_map(|kept| match kept.verdict {
            Some(Verdict::Blamed { at, .. }) => Some(schedule::after(at, QUARANTINE)),
            _ => None,
        });
        self.housekeep_at = quarantined
            .chain((leftovers || !let_go).then(|| schedule::after(now, LINGER)))
            .filter(|at| *at > now)
            .min();
        self.housekeep_at
    }

    /// Whether it was done; if not, it is said, and it is tried again another time.
    pub(super) fn done_or_said(&self, result: Result<(), StoreError>) -> bool {
        if let Err(error) = &result {
            journal::emit(&journal::Event::NotTidied {
                certificate: self.settings.name.clone(),
                error: error.to_string(),
            });
        }
        result.is_ok()
    }

    /// Whether this certificate will soon be published: its units' lanes wait for it.
    pub(super) fn announce_transit(&mut self) {
        let under_way = match &self.record.rollout {
            None => self.record.target != self.record.published,
            Some(rollout) => rollout.stage == Stage::Publish,
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
}
