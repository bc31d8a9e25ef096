//! What must be on disk before anything else begins: an accepted identity first, and then the record
//! that names it. A disk that refuses (full, read-only, out of descriptors) stops the lane here; what is
//! published stays as it is, an identity that was paid for is not asked for again, and it goes on when
//! the disk takes it.

use std::time::Duration;

use jiff::Timestamp;
use renewd_core::names::IssuerName;
use renewd_core::record::Event;
use renewd_core::schedule;
use renewd_core::supply::{Again, Failure};
use renewd_store::StoreError;

use crate::driver::asked;
use crate::driver::issue::Issued;
use crate::driver::lane::Lane;
use crate::journal;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is not on disk yet.
pub(super) struct Unkept {
    record: bool,
    identity: Option<(Box<Issued>, Duration)>,
    /// The issuer that was asked with what is to be forgotten as soon as the record is there.
    asked: Option<IssuerName>,
    try_at: Option<Timestamp>,
    pause: Duration,
}

impl Unkept {
    /// A record that was brought to agree with what is published, and has not been saved since.
    pub(super) fn a_record() -> Self {
        Self {
            record: true,
            identity: None,
            asked: None,
            try_at: None,
            pause: FIRST_PAUSE,
        }
    }

    pub(super) fn is_something(&self) -> bool {
        self.record || self.identity.is_some()
    }

    pub(super) fn try_now(&mut self) {
        self.try_at = None;
    }
}

impl Lane {
    /// Keeps what is not on disk yet; returns when to try again where the disk refused.
    pub(super) fn put_on_disk(&mut self, now: Timestamp) -> Option<Timestamp> {
        if !self.unkept.is_something() {
            return None;
        }
        if let Some(at) = self.unkept.try_at
            && !schedule::reached(at, LONGEST_PAUSE, now)
        {
            return Some(at);
        }
        if let Some((issued, took)) = self.unkept.identity.take() {
            self.keep(*issued, took);
        }
        if self.unkept.record {
            self.save(now);
        }
        self.unkept.try_at
    }

    /// Keeps an accepted identity under the number that its generation will have.
    pub(super) fn keep(&mut self, issued: Issued, took: Duration) {
        let now = self.world.now();
        let asked = issued.asked.then(|| issued.new.issuer.clone());
        match self.try_to_keep(&issued) {
            Ok(()) => {
                self.disk_took_it();
                // Not before the record names what came of it: a crash until then leads to the same request again.
                self.unkept.asked = asked;
                self.fold_after(Event::Accepted(Box::new(issued.new)), took);
            }
            Err(error) if issued.new.usable_until <= now => {
                let failure = Failure {
                    text: format!("the certificate expired before it could be kept: {error}"),
                    again: Again::BackOff,
                    answered: true,
                };
                self.forget_asked(asked);
                self.fold_after(Event::IssueFailed(failure), took);
            }
            Err(error) => {
                self.unkept.identity = Some((Box::new(issued), took));
                self.disk_refused(&error, now);
            }
        }
    }

    fn forget_asked(&self, issuer: Option<IssuerName>) {
        if let Some(issuer) = issuer {
            asked::forget(&self.world.store, &self.settings.name, &issuer);
        }
    }

    fn try_to_keep(&self, issued: &Issued) -> Result<(), StoreError> {
        let (store, name) = (&self.world.store, &self.settings.name);
        store.save_trust(name, &issued.new.trust.digest, &issued.bundle_pem)?;
        store.save_identity(name, self.record.next_number(), &issued.identity)
    }

    /// Saves the record.
    pub(super) fn save(&mut self, now: Timestamp) {
        match self.world.store.save_record(&self.record) {
            Ok(()) => {
                self.unkept.record = false;
                let asked = self.unkept.asked.take();
                self.forget_asked(asked);
                self.disk_took_it();
            }
            Err(error) => {
                self.unkept.record = true;
                self.disk_refused(&error, now);
            }
        }
    }

    fn disk_took_it(&mut self) {
        self.unkept.try_at = None;
        // Whoever asked for another try at once has taken the instant of the next one away.
        if self.view.trouble().is_some() {
            journal::emit(&journal::Event::DiskTakes {
                certificate: self.settings.name.clone(),
            });
            self.view.set_trouble(None);
            self.world.changed();
        }
        self.unkept.pause = FIRST_PAUSE;
    }

    fn disk_refused(&mut self, error: &StoreError, now: Timestamp) {
        journal::emit(&journal::Event::DiskRefuses {
            certificate: self.settings.name.clone(),
            error: error.to_string(),
        });
        self.unkept.try_at = Some(schedule::after(now, self.unkept.pause));
        self.unkept.pause = (self.unkept.pause * 2).min(LONGEST_PAUSE);
        self.watchers
            .tell_of_wait(&self.record, &error.to_string(), now);
        self.view.set_trouble(Some(error.to_string()));
        self.world.changed();
    }
}
