//! What an issuer that makes the keys has for us: it is taken when it comes, and not only when it is due.

use renewd_core::leaf::Fingerprint;
use renewd_core::record::Event;
use renewd_core::supply::{Supply, is_advised};
use tokio::sync::watch;

use crate::driver::lane::Lane;
use crate::issuer::Wanted;

/// When there are news; never, where nobody tells any.
pub(super) async fn changed(news: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = news
        && receiver.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

impl Lane {
    /// From the issuer that is configured now.
    pub(super) fn hear_of_news(&mut self) {
        let issuers = self.world.issuers.borrow();
        let issuer = issuers.get(&self.settings.request.issuer);
        let supplier = issuer.and_then(|issuer| issuer.supplier());
        self.news = supplier.map(|supplier| supplier.news());
    }

    pub(super) fn issuer_has_news(&mut self) {
        self.look_at_trust();
        // What was refused, or not there, may be in order now.
        if let Supply::BackOff { .. } = self.record.supply
            && self.is_offered_another()
        {
            self.fold(Event::Offered);
        }
    }

    /// Also what came while another step was under way.
    pub(super) fn look_at_offers(&mut self) {
        let at_rest = self.record.supply == Supply::Fresh && self.record.target.is_some();
        if at_rest && !is_advised(&self.record) && self.is_offered_another() {
            self.fold(Event::Offered);
        }
    }

    fn is_offered_another(&self) -> bool {
        let issuers = self.world.issuers.borrow();
        let issuer = issuers.get(&self.settings.request.issuer);
        let supplier = issuer.and_then(|issuer| issuer.supplier());
        supplier.is_some_and(|supplier| {
            supplier.has_another(Wanted {
                certificate: &self.settings.name,
                request: &self.settings.request,
                known: &self.known_leaves(),
            })
        })
    }

    /// The leaves that were had for what is configured, the blamed ones, too: none of them is anything new.
    pub(super) fn known_leaves(&self) -> Vec<Fingerprint> {
        let request = self.settings.request.digest();
        let generations = self.record.generations.values();
        let had =
            generations.filter(|generation| generation.request == request && !generation.lost);
        had.map(|generation| generation.leaf.fingerprint).collect()
    }

    /// The keys that were had.
    pub(super) fn known_keys(&self) -> Vec<Fingerprint> {
        let generations = self.record.generations.values();
        let keys = generations.map(|generation| generation.leaf.key_fingerprint);
        keys.collect()
    }
}
