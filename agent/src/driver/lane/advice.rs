//! Asking the issuer when it wants the newest leaf to be renewed (RFC 9773). What it says is in the record; that it
//! could not be asked is no trouble of the certificate's, and only asked again.

use std::time::Duration;

use jiff::Timestamp;
use renewd_core::leaf::Fingerprint;
use renewd_core::record::Event;
use renewd_core::schedule;
use renewd_core::supply::{Advice, ask_for_advice};

use crate::driver::lane::Lane;
use crate::driver::lane::outcome::Outcome;
use crate::driver::sound;
use crate::issuer::Retry;
use crate::journal;

/// How long an issuer that could not be asked is left alone, at first and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(6 * 3600));

/// What of the asking is not in the record.
#[derive(Default)]
pub(super) struct AdviceSought {
    /// The issuer is being asked.
    asking: bool,
    /// The leaf that it had nothing to say of, and until when; `None`: for good.
    silence: Option<(Fingerprint, Option<Timestamp>)>,
    /// How long the last silence was that followed a failure.
    pause: Duration,
}

impl AdviceSought {
    /// Another issuer may be in force, or another time.
    pub(super) fn begin_anew(&mut self) {
        self.silence = None;
        self.pause = Duration::ZERO;
    }
}

impl Lane {
    /// Asks when it is time; returns when that is.
    pub(super) fn seek_advice(&mut self, now: Timestamp) -> Option<Timestamp> {
        let (newest, mut at) = ask_for_advice(&self.record, now)?;
        // It may be a stand-in's.
        let issuer = newest.issuer.as_ref();
        let issuer = issuer.unwrap_or(&self.settings.request.issuer);
        let issuer = self.world.issuers.borrow().get(issuer).cloned()?;
        if self.advice.asking || !issuer.advises() {
            return None;
        }
        let fingerprint = newest.leaf.fingerprint;
        if let Some((_, until)) = self.advice.silence.filter(|(of, _)| *of == fingerprint) {
            let until = until?;
            if !schedule::reached(until, ASK_AGAIN.1, now) {
                at = at.max(until);
            }
        }
        if at > now {
            return Some(at);
        }
        // Of one that is lost nothing needs to be known.
        let leaf = sound::leaf(&self.world.store, &self.settings.name, newest);
        let leaf = leaf.ok()?;
        self.advice.asking = true;
        self.begin(async move {
            let told = issuer.advice(&leaf).await;
            let told = told.map_err(|error| match error.retry() {
                Retry::After(asked) => asked,
                _ => Duration::ZERO,
            });
            Outcome::Advice(fingerprint, told)
        });
        None
    }

    /// Where the issuer could not be asked, `told` says how long it wants to be left alone.
    pub(super) fn advised(&mut self, leaf: Fingerprint, told: Result<Option<Advice>, Duration>) {
        self.advice.asking = false;
        let advice = match told {
            Ok(Some(advice)) => advice,
            Ok(None) => {
                self.advice.silence = Some((leaf, None));
                return;
            }
            Err(asked) => {
                let (first, longest) = ASK_AGAIN;
                let pause = (self.advice.pause * 2).max(first).max(asked).min(longest);
                let until = schedule::after(self.world.now(), pause);
                self.advice.pause = pause;
                self.advice.silence = Some((leaf, Some(until)));
                return;
            }
        };
        self.advice.pause = Duration::ZERO;
        let told = |lane: &Self| {
            let known = lane.record.renewal.clone();
            known.map(|known| (known.leaf, known.from, known.until, known.explanation))
        };
        let before = told(self);
        self.fold(Event::RenewalAdvised { leaf, advice });
        if let Some(advised) = self.record.renewal.as_ref()
            && told(self) != before
        {
            journal::emit(&journal::Event::RenewalAdvised {
                certificate: self.settings.name.clone(),
                from: advised.from,
                until: advised.until,
                explanation: advised.explanation.clone(),
            });
        }
    }
}
