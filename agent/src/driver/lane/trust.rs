//! The certificate's trust, which has a clock of its own: the issuer is asked again and again what it stands for, what
//! is new is published at once, and what is gone is kept for a while. Which of it may be used already is
//! `renewd_core::supply`'s affair.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::crl::Crl;
use renewd_core::names::IssuerName;
use renewd_core::record::Event;
use renewd_core::schedule;

use crate::driver::lane::outcome::Outcome;
use crate::driver::lane::{Lane, Next};
use crate::driver::sound;
use crate::driver::trust::Answered;
use crate::issuer::Issuer;
use crate::journal;

/// How often an issuer is asked, at most and at least.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// What of the asking is not in the record.
#[derive(Default)]
pub(super) struct TrustSought {
    /// The issuers that are being asked; another one may have such a name by the time it answers.
    asking: BTreeMap<IssuerName, Rc<dyn Issuer>>,
    /// When they are asked next.
    asked: Option<Timestamp>,
    /// The first issuer has answered since a certificate is due.
    said: Option<Answered>,
    /// When to look for a newer revocation list, lest one comes to its end in use.
    list_due: Option<Timestamp>,
    /// What was told last of revocation lists that are not the newest.
    crl_trouble: Vec<String>,
}

impl TrustSought {
    /// Another issuer may be in force, or another time.
    pub(super) fn begin_anew(&mut self) {
        self.asked = None;
        self.said = None;
    }

    /// What the first issuer has said for the order that is made now.
    pub(super) fn for_order(&mut self) -> Option<Answered> {
        self.said.take()
    }

    /// Nothing is due.
    pub(super) fn no_order(&mut self) {
        self.said = None;
    }
}

impl Lane {
    /// Asks the issuers what they stand for when it is time; returns when that is.
    pub(super) fn seek_trust(&mut self, now: Timestamp) -> Option<Timestamp> {
        // Before the first certificate there is nothing that it could go with.
        let asking = self.is_asking(&self.settings.request.issuer);
        if asking || self.record.target.is_none() {
            return None;
        }
        if let Some(next) = self.trust.asked
            && !schedule::reached(next, PAUSE.1 * 2, now)
        {
            return Some(next);
        }
        let pause = self.pause();
        // Other lanes may have asked not long ago; or just now, where it is for a list.
        let listed = self.trust.list_due.take().is_some_and(|due| due <= now);
        let long = if listed { PAUSE.0 } else { pause / 2 };
        let lately = |issuer: &&IssuerName| {
            let heard = self.world.hearsay.heard_at(issuer);
            heard.is_some_and(|at| at <= now && schedule::between(at, now) < long)
        };
        let issuers = self.settings.issuers();
        let silent: Vec<_> = issuers.filter(|issuer| !lately(issuer)).cloned().collect();
        self.merge_trust();
        let next = schedule::after(now, pause);
        let soonest = schedule::after(now, PAUSE.0);
        let list = self.trust.list_due.map(|due| due.max(soonest));
        let next = list.map_or(next, |list| next.min(list));
        self.trust.asked = Some(next);
        self.look_at(silent);
        Some(next)
    }

    /// A fortieth of the life, and not all hosts at once.
    fn pause(&self) -> Duration {
        let pause = (self.settings.request.lifetime / 40).clamp(PAUSE.0, PAUSE.1);
        pause.mul_f64(0.75 + self.world.chance() / 2.0)
    }

    /// Asks each issuer what it stands for now; one that stands in for another holds nothing up.
    pub(super) fn look_at_trust(&mut self) {
        self.trust.asked = Some(schedule::after(self.world.now(), self.pause()));
        self.look_at(self.settings.issuers().cloned().collect());
    }

    fn look_at(&mut self, issuers: Vec<IssuerName>) {
        for name in issuers {
            let issuer = self.world.issuers.borrow().get(&name).cloned();
            let Some(issuer) = issuer.filter(|_| !self.is_asking(&name)) else {
                continue;
            };
            self.trust.asking.insert(name.clone(), issuer.clone());
            let answer = self.world.hearsay.ask(&name, issuer.clone());
            self.begin(async move { Outcome::Trust(name, issuer, answer.await) });
        }
    }

    /// Whether the issuer that has this name now is being asked.
    fn is_asking(&self, name: &IssuerName) -> bool {
        let asked = self.trust.asking.get(name);
        asked.is_some_and(|asked| self.is_configured(name, asked))
    }

    /// Whether it has this name still.
    fn is_configured(&self, name: &IssuerName, issuer: &Rc<dyn Issuer>) -> bool {
        let issuers = self.world.issuers.borrow();
        let configured = issuers.get(name);
        configured.is_some_and(|configured| Rc::ptr_eq(configured, issuer))
    }

    /// An issuer's answer; that it could not say is no trouble of the certificate's, and it is only asked again.
    pub(super) fn trust_offered(
        &mut self,
        issuer: &IssuerName,
        asked: &Rc<dyn Issuer>,
        answered: Answered,
    ) {
        // Another one may have taken its place meanwhile, or its name.
        if !self.is_configured(issuer, asked) {
            return;
        }
        self.trust.asking.remove(issuer);
        let still = self.settings.issuers().any(|asked| asked == issuer);
        if !still || self.trust.asked.is_none() {
            return;
        }
        if let Ok(stands) = &answered {
            let now = self.world.now();
            self.world.hearsay.hear(issuer, stands.clone(), now);
            self.merge_trust();
        }
        if *issuer == self.settings.request.issuer {
            self.trust.said = Some(answered);
        }
    }

    /// Brings the bundle up to what the issuers said last, to whichever lane.
    pub(super) fn merge_trust(&mut self) {
        let hearsay = &self.world.hearsay;
        let offered = hearsay.of_all(self.settings.issuers());
        if self.record.target.is_none() {
            return;
        }
        let (held, now) = (self.held_trust(), self.world.now());
        if offered.anchors.is_empty() {
            return self.tell_of_crls(held.bundle.crls(), held.bundle.crls(), Vec::new());
        }
        let mut merged = match held.merged(offered.anchors, offered.complete, now) {
            Ok(merged) => merged,
            Err(error) => return self.trust_refused(error.to_string()),
        };
        let refused = merged.bundle.take_crls(&offered.crls, &held.chain, now);
        let (store, name) = (&self.world.store, &self.settings.name);
        let part = merged.bundle.part();
        let lost = || sound::bundle(store, name, &part.digest).is_err();
        let same = self.record.trust == Some(part.digest);
        if (!same || lost())
            && !self.done_or_said(store.save_trust(name, &part.digest, &merged.bundle.pem()))
        {
            return;
        }
        if !same || self.record.dropped != part.dropped {
            self.fold(Event::TrustChanged(part));
        }
        let refused = refused.iter().map(ToString::to_string);
        self.tell_of_crls(
            held.bundle.crls(),
            merged.bundle.crls(),
            offered.failed.into_iter().chain(refused).collect(),
        );
        if !merged.added.is_empty() || !merged.dropped.is_empty() || !merged.removed.is_empty() {
            journal::emit(&journal::Event::TrustChanged {
                certificate: self.settings.name.clone(),
                added: merged.added,
                dropped: merged.dropped,
                removed: merged.removed,
            });
        }
    }

    /// Of other lists, and once of what keeps them from being the newest.
    fn tell_of_crls(&mut self, held: &[Crl], now_held: &[Crl], mut trouble: Vec<String>) {
        let now = self.world.now();
        for list in now_held.iter().filter(|list| list.is_about_to_end(now)) {
            let ends = if list.has_ended(now) {
                "has ended"
            } else {
                "ends soon"
            };
            trouble.push(format!(
                "that of {} {ends}, and nobody brings a newer one; see that the CA makes one, and that it can be reached",
                list.issuer()
            ));
        }
        let certificate = || self.settings.name.clone();
        let until = now_held.iter().filter_map(Crl::until).min();
        let due = now_held.iter().filter_map(|list| list.look_again(now));
        self.trust.list_due = due.min();
        if held != now_held {
            journal::emit(&journal::Event::CrlsChanged {
                certificate: certificate(),
                of: now_held
                    .iter()
                    .map(|list| list.issuer().to_owned())
                    .collect(),
                until,
            });
        }
        if !trouble.is_empty() && self.trust.crl_trouble != trouble {
            journal::emit(&journal::Event::CrlNotHad {
                certificate: certificate(),
                error: trouble.join("; "),
                until,
            });
        }
        self.trust.crl_trouble = trouble;
    }

    /// It is said by the next order, too.
    fn trust_refused(&self, error: String) {
        journal::emit(&journal::Event::IssuerWarning {
            certificate: self.settings.name.clone(),
            warning: format!("{error}; the trust bundle stays as it is"),
        });
    }

    /// Whether a certificate may be asked for as far as trust goes. If not, the issuer is being asked what it stands
    /// for: what is new of it is to be published first. That it cannot say is told by the order itself.
    pub(super) fn trust_is_fresh(&mut self) -> bool {
        if self.record.target.is_none() || self.trust.said.is_some() {
            return true;
        }
        // Once: a stand-in that answers at once must not be asked again and again until the first one has.
        let first = &self.settings.request.issuer;
        if !self.is_asking(first) {
            self.look_at_trust();
        }
        !self.is_asking(&self.settings.request.issuer)
    }

    /// Whether this lane waits until others have a new root, too.
    pub(super) fn waits_for_others(&self) -> bool {
        let new = self.record.new_roots.as_ref();
        new.is_some_and(|new| new.known_since.is_none())
    }

    /// Sees whether new roots have come to all.
    pub(super) fn compare_trust(&mut self) -> Next {
        let Some(new) = &self.record.new_roots else {
            return Next::Wait(None);
        };
        let issuers = self.settings.issuers();
        if new.known_since.is_some() || !self.world.hearsay.is_known(issuers, &new.roots) {
            return Next::Wait(None);
        }
        self.fold(Event::RootsKnown);
        Next::Again
    }
}
