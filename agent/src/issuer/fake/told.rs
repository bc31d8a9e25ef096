//! What a test tells the CA, and asks of it afterwards.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewd_core::request::{KeyType, Request, Usages};
use renewd_core::supply::Advice;

use super::{Deed, FakeIssuer, root};
use crate::issuer::{Order, Retry};
use crate::keys::PrivateKey;

impl FakeIssuer {
    /// From now on it may sign what it did not answer.
    pub(crate) fn sign_later(&self) {
        self.lock().signs_later = true;
    }

    /// Scripts what is done with the next order that has no deed yet.
    pub(crate) fn next_deed(&self, deed: Deed) {
        self.lock().deeds.push_back(deed);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.lock().asked
    }

    /// The certificate requests that it was brought, in their order.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.lock().requests.clone()
    }

    /// For how many orders it is waited in vain.
    pub(crate) fn silenced(&self) -> usize {
        self.lock().silenced
    }

    /// How many certificates it has signed.
    pub(crate) fn signed(&self) -> u64 {
        self.lock().signed
    }

    /// From now on it cannot be reached, or can again.
    pub(crate) fn is_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// From now on it does not say what it stands for; or says it again, to those who wait, too.
    pub(crate) fn holds_its_tongue(&self, silent: bool) {
        self.lock().silent.send_replace(silent);
    }

    /// From now on it says that it stands for no root at all.
    pub(crate) fn stands_for_nothing(&self) {
        self.lock().stands_for_nothing = true;
    }

    /// How often it was asked what it stands for.
    pub(crate) fn asked_for_anchors(&self) -> usize {
        self.lock().asked_for_anchors
    }

    /// From now on it is asked for advice, and fails so.
    pub(crate) fn has_no_advice(&self, retry: Retry) {
        self.lock().advice = Some(Err(retry));
    }

    /// From now on it gives this advice about every leaf.
    pub(crate) fn advises_always(&self, advice: Advice) {
        self.lock().advice = Some(Ok(advice));
    }

    /// From now on its certificates begin so long before now; with `counted` the life asked for does, too.
    pub(crate) fn back_dates(&self, back_dating: SignedDuration, counted: bool) {
        let mut state = self.lock();
        state.back_dating = back_dating;
        state.counts_back_dating = counted;
    }

    /// How often it was asked for advice.
    pub(crate) fn asked_for_advice(&self) -> usize {
        self.lock().asked_for_advice.len()
    }

    /// The leaf that it was asked for advice about last.
    pub(crate) fn advised_about(&self) -> Option<Vec<u8>> {
        self.lock().asked_for_advice.last().cloned()
    }

    /// The leaves that it revoked.
    pub(crate) fn revoked(&self) -> Vec<Vec<u8>> {
        self.lock().revoked.clone()
    }

    /// From now on it revokes nothing.
    pub(crate) fn refuses_to_revoke(&self) {
        self.lock().refuses_to_revoke = true;
    }

    /// The leaf that each order showed to be held.
    pub(crate) fn shown(&self) -> Vec<Option<Vec<u8>>> {
        self.lock().shown.clone()
    }

    /// The leaf that each order is to take the place of.
    pub(crate) fn replaced(&self) -> Vec<Option<Vec<u8>>> {
        self.lock().replaced.clone()
    }

    /// From now on it makes the keys.
    pub(crate) fn make_keys(&self) {
        self.lock().makes_keys = true;
    }

    /// Has another identity of that name and life, and says so.
    pub(crate) fn offer(&self, name: &str, lifetime: Duration) {
        let request = Request {
            issuer: "fake".parse().unwrap(),
            directory: None,
            names: vec![name.parse().unwrap()],
            lifetime,
            key_type: KeyType::default(),
            usages: Usages::default(),
        };
        let key = PrivateKey::generate(request.key_type).unwrap();
        let csr = key.request(&request).unwrap();
        let answer = self.sign(Order {
            certificate: &"c0".parse().unwrap(),
            request: &request,
            csr: &csr,
            replaces: None,
            identity: None,
        });
        self.lock().offer = Some((key.pem(), answer));
        self.tell_news();
    }

    /// Says that something has changed.
    pub(crate) fn tell_news(&self) {
        self.lock().news.send_modify(|count| *count += 1);
    }

    /// From now on it stands for another root.
    pub(crate) fn change_root(&self) {
        self.lock().root = Arc::new(root(None));
    }

    /// From now on it stands for another root, too, and goes on signing with the one that it has.
    pub(crate) fn announce_a_root(&self) {
        self.lock().announced = Some(root(None).der().clone());
    }

    /// From now on it stands for another root, which ends then.
    pub(crate) fn change_root_for_one_that_ends(&self, end: Timestamp) {
        self.lock().root = Arc::new(root(Some(end)));
    }
}
