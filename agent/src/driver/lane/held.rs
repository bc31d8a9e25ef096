//! What is held of trust: the newest bundle, what is published of it, and which leaves need it.

use std::collections::BTreeSet;

use renewd_core::leaf::Fingerprint;
use renewd_core::pem;
use renewd_core::record::{Generation, GenerationNumber};
use renewd_core::trust::Bundle;

use crate::driver::lane::Lane;
use crate::driver::sound;
use crate::driver::trust::Trust;

impl Lane {
    /// The newest bundle. Where that is lost, what is used of it.
    pub(super) fn held_trust(&self) -> Trust {
        let (store, name) = (&self.world.store, &self.settings.name);
        let bundle = || {
            let newest = self.record.trust.as_ref()?;
            let text = sound::bundle(store, name, newest).ok()?;
            let anchors = pem::parse_certificates(&text).ok()?;
            Some((anchors, pem::parse_crls(&text).ok()?))
        };
        let (anchors, crls) = bundle().unwrap_or_else(|| {
            let published = sound::published_anchors(store, name);
            let anchors = published.unwrap_or_else(|| {
                let anchor = |leaf| sound::anchor(store, name, leaf);
                self.leaves_in_use().filter_map(anchor).collect()
            });
            (anchors, sound::published_crls(store, name))
        });
        // Also of one that has ended: whoever is revoked below the same CA is revoked still.
        let own = [self.record.published, self.record.target];
        let own = own.into_iter().flatten().collect::<BTreeSet<_>>();
        let own = own
            .iter()
            .filter_map(|number| self.record.generations.get(number));
        Trust {
            bundle: Bundle::kept(anchors, &self.record.dropped).with_kept_crls(crls),
            chain: own
                .flat_map(|leaf| sound::chain(store, name, leaf))
                .collect(),
            needed: self.leaves_in_use().map(|leaf| leaf.anchor).collect(),
            keep: self.settings.trust.keep,
        }
    }

    /// The anchors that are published: those that others may know by now.
    pub(super) fn published_anchors(&self) -> Vec<Fingerprint> {
        let published = self.record.published_generation();
        let bundle = published.and_then(|generation| {
            let (store, name) = (&self.world.store, &self.settings.name);
            let text = sound::bundle(store, name, &generation.trust).ok()?;
            pem::parse_certificates(&text).ok()
        });
        let bundle = bundle.unwrap_or_default();
        bundle
            .iter()
            .map(|anchor| Fingerprint::of(anchor))
            .collect()
    }

    /// What is published, what shall be, and while it is not settled which of the two stays, what was before; as long as
    /// it lasts.
    fn leaves_in_use(&self) -> impl Iterator<Item = &Generation> {
        let (now, record) = (self.world.now(), &self.record);
        let mut numbers = vec![record.published, record.target];
        if let Some(rollout) = &record.rollout {
            numbers.extend([record.previous, rollout.from, Some(rollout.generation)]);
        }
        let numbers: BTreeSet<_> = numbers.into_iter().flatten().collect();
        let of_it = move |number: &GenerationNumber| numbers.contains(number);
        let each = record.generations.iter();
        each.filter(move |(number, generation)| of_it(number) && generation.end() > now)
            .map(|(_, generation)| generation)
    }
}
