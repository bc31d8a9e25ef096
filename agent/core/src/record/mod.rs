//! The durable record of one certificate: everything that decisions rest on. What is not in the
//! record is not in the state, so a restart continues where the daemon was.
//!
//! `fold(record, event) -> record` is [`Record::fold`]; `next(record, now) -> action` is
//! [`crate::supply::next`] and [`crate::activation::next`].

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::activation::{Rollout, Stage};
use crate::activation::{fold as activation, units};
use crate::leaf::{Fingerprint, Serial};
use crate::names::{CertificateName, IssuerName, UnitName};
use crate::schedule;
use crate::supply::{Advised, NewRoots, Supply, advice, fold as supply, put_off, roots};

mod event;
mod generation;
mod newest;
mod unit;

pub use event::{BaselineFinding, Context, Event, NewIdentity, TrustPart};
pub use generation::{Cause, Generation, GenerationNumber, Verdict};
pub use unit::{Debt, DebtStep, UnitRecord};

/// The version of the record's form. A record of a newer form is never touched.
pub const SCHEMA: u32 = 1;

/// How long a quarantined generation is remembered at least; its key is wiped afterwards, and when there is a newer one.
pub const QUARANTINE: Duration = Duration::from_secs(7 * 86_400);

/// A larger number on disk is none of ours; the limit is what JSON readers agree on.
const LARGEST_NUMBER: GenerationNumber = 1 << 53;

/// Something that went wrong last, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorNote {
    /// When.
    pub at: Timestamp,
    /// What, with the next step.
    pub text: String,
}

/// The durable record of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// Whose record it is.
    pub certificate: CertificateName,
    /// The supply machine.
    pub supply: Supply,
    /// The rollout under way; `None` when settled.
    pub rollout: Option<Rollout>,
    /// The generations that still matter.
    pub generations: BTreeMap<GenerationNumber, Generation>,
    /// The highest number ever used.
    pub highest: GenerationNumber,
    /// What shall be published.
    pub target: Option<GenerationNumber>,
    /// What is published.
    pub published: Option<GenerationNumber>,
    /// What was published before.
    pub previous: Option<GenerationNumber>,
    /// The digest of the newest trust bundle.
    pub trust: Option<Fingerprint>,
    /// Its anchors.
    pub anchors: Vec<Fingerprint>,
    /// Those of them that the CA stands for no longer, and since when; kept only where there are some, so that a
    /// version that knows of none reads the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<Fingerprint, Timestamp>,
    /// Those that are new; kept only where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_roots: Option<NewRoots>,
    /// The dependents.
    pub units: BTreeMap<UnitName, UnitRecord>,
    /// Answers got from the issuer so far.
    pub issuances: u64,
    /// When the last answer came.
    pub last_issuance: Option<Timestamp>,
    /// The operator asked for a renewal that has not begun.
    pub renew_requested: bool,
    /// The try under way, or the last one that failed, was ordered (a renewal, a revocation, another configuration) before
    /// another issuance had its turn, and has cost none; kept only where it was, so that a version that knows of none
    /// reads the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_turn: bool,
    /// What the issuer advises about the newest leaf; kept only where there is some, so that a version that knows of
    /// none reads the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Advised>,
    /// Until when which stand-ins want to be left alone, and asked for it; see [`crate::supply::put_off()`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put_off: BTreeMap<IssuerName, Timestamp>,
    /// What went wrong last; cleared when all is well again.
    pub last_error: Option<ErrorNote>,
}

impl Record {
    /// The record of a certificate that nothing is known of.
    pub fn new(certificate: CertificateName) -> Self {
        Self {
            schema: SCHEMA,
            certificate,
            supply: Supply::Fresh,
            rollout: None,
            generations: BTreeMap::new(),
            highest: 0,
            target: None,
            published: None,
            previous: None,
            trust: None,
            anchors: Vec::new(),
            dropped: BTreeMap::new(),
            new_roots: None,
            units: BTreeMap::new(),
            issuances: 0,
            last_issuance: None,
            renew_requested: false,
            out_of_turn: false,
            renewal: None,
            put_off: BTreeMap::new(),
            last_error: None,
        }
    }

    /// Folds an event into the record. Total: an event that does not fit the state changes nothing.
    #[must_use]
    pub fn fold(mut self, event: Event, context: Context<'_>) -> Self {
        match event {
            Event::Recovered { current, highest } => {
                let known = self.generations.keys().last().copied().unwrap_or(0);
                self.highest = self.highest.max(highest.min(LARGEST_NUMBER)).max(known);
                supply::interrupted(&mut self, context);
                activation::recovered(&mut self, current, context);
            }
            Event::Configured(dependents) => {
                supply::resumed(&mut self);
                activation::configured(&mut self, &dependents, context);
            }
            Event::IssuersReplaced(names) => put_off::replaced(&mut self, &names),
            Event::RenewRequested => {
                self.renew_requested = true;
                put_off::over(&mut self);
            }
            Event::ClockStepped => {
                put_off::over(&mut self);
                roots::clock_stepped(&mut self, context.now);
                supply::clock_stepped(&mut self, context);
                activation::hurry(&mut self, context);
            }
            Event::ClockDoubted => supply::clock_doubted(&mut self, context),
            Event::IssueStarted => supply::started(&mut self, context),
            Event::PutOff { issuer, asked } => put_off::take_in(&mut self, issuer, asked, context),
            Event::IssueFailed(failure) => supply::failed(&mut self, failure, context),
            Event::Accepted(identity) => supply::accepted(&mut self, *identity, context),
            Event::RenewalAdvised { leaf, advice } => {
                advice::take_in(&mut self, &leaf, &advice, context);
            }
            Event::Offered => supply::offered(&mut self, context),
            Event::TrustChanged(trust) => activation::trust_changed(&mut self, trust, context.now),
            Event::RootsKnown => roots::known(&mut self, context.now),
            Event::BaselineTaken(findings) => {
                activation::baseline_taken(&mut self, findings, context)
            }
            Event::Published(generation) => activation::published(&mut self, generation, context),
            Event::PublishFailed(text) => activation::publish_failed(&mut self, text, context),
            Event::Acted {
                unit,
                generation,
                outcome,
            } => {
                units::acted(&mut self, &unit, generation, outcome, context);
            }
            Event::Probed {
                unit,
                generation,
                report,
            } => {
                units::probed(&mut self, &unit, generation, report, context);
            }
            Event::UnitActivated(unit) => units::activated(&mut self, &unit, true, context),
            Event::UnitFound(unit) => units::activated(&mut self, &unit, false, context),
            Event::Republish => activation::republish(&mut self),
            Event::IdentityLost(identity) => {
                let aim = self.target;
                activation::identity_lost(&mut self, identity, context);
                if aim.is_some() && self.target.is_none() {
                    supply::nothing_to_publish(&mut self, context);
                }
            }
            Event::Revoked(identity) => supply::revoked(&mut self, identity),
            Event::Housekeeping => self.forget_generations(context.now),
        }
        activation::reconsider(&mut self, context);
        self
    }

    /// The generation that shall be published.
    pub fn target_generation(&self) -> Option<&Generation> {
        self.generations.get(&self.target?)
    }

    /// The generation that is published.
    pub fn published_generation(&self) -> Option<&Generation> {
        self.generations.get(&self.published?)
    }

    /// The serial that dependents should serve.
    pub fn published_serial(&self) -> Option<&Serial> {
        self.published_generation()
            .map(|generation| &generation.leaf.serial)
    }

    /// Whether the newest bundle is published, and every dependent has it as far as can be known. Of a certificate
    /// that was never published nobody has any.
    pub fn trust_is_known(&self) -> bool {
        self.published_generation().is_none_or(|published| {
            Some(published.trust) == self.trust
                && self.units.values().all(|unit| unit.debt.is_none())
        })
    }

    /// Whether the identity of `number` can still be used: valid for longer than a reload and its
    /// probes take, not blamed or revoked, and chaining to today's bundle.
    pub fn usable(&self, number: GenerationNumber, life: Duration, now: Timestamp) -> bool {
        self.generations.get(&number).is_some_and(|generation| {
            let granted = schedule::between(generation.accepted_at, generation.end());
            let margin = (life.min(granted) / 20).min(Duration::from_secs(300));
            generation.leaf.not_before <= schedule::after(now, schedule::EARLY)
                && generation.end() > schedule::after(now, margin)
                && !generation.lost
                && !generation.revoked
                && self.anchors.contains(&generation.anchor)
                && !self.identity_blamed(generation.identity)
        })
    }

    /// Whether an identity is quarantined.
    pub fn identity_blamed(&self, identity: GenerationNumber) -> bool {
        self.generations.values().any(|generation| {
            generation.identity == identity
                && matches!(generation.verdict, Some(Verdict::Blamed { .. }))
        })
    }

    /// The number that the next generation gets.
    pub fn next_number(&self) -> GenerationNumber {
        self.highest + 1
    }

    pub(crate) fn add_generation(&mut self, generation: Generation) -> GenerationNumber {
        self.highest += 1;
        self.generations.insert(self.highest, generation);
        self.highest
    }

    pub(crate) fn note_error(&mut self, now: Timestamp, text: String) {
        self.last_error = Some(ErrorNote { at: now, text });
    }

    /// One word for `status`.
    pub fn state(&self) -> &'static str {
        let verdict = self
            .published_generation()
            .and_then(|generation| generation.verdict.as_ref());
        match (&self.supply, &self.rollout) {
            (_, Some(rollout))
                if rollout.stage == Stage::Prove && rollout.course.suspect().is_none() =>
            {
                match verdict {
                    Some(Verdict::Unproven { .. } | Verdict::NotTheCertificate { .. }) => {
                        "unproven"
                    }
                    _ => rollout.course.label(),
                }
            }
            (_, Some(rollout)) => rollout.course.label(),
            (Supply::Issuing { .. }, None) => "issuing",
            (Supply::Stopped { .. }, None) => "stopped",
            (Supply::BackOff { .. } | Supply::Doubt { .. }, None) => "back-off",
            (Supply::Fresh, None) if self.published.is_none() => "new",
            (Supply::Fresh, None) => {
                let held = matches!(verdict, Some(Verdict::HeldForward { .. }));
                match (held, self.units.values().any(|unit| unit.debt.is_some())) {
                    (true, true) => "held forward",
                    (_, true) => "unproven",
                    _ => "fresh",
                }
            }
        }
    }

    /// Keeps what is published, what was before, what shall be, what was issued last, and what is quarantined.
    fn forget_generations(&mut self, now: Timestamp) {
        let mut keep: Vec<GenerationNumber> = [self.target, self.published, self.previous]
            .into_iter()
            .flatten()
            .collect();
        // The next order is to take its place.
        keep.extend(self.newest().map(|(number, _)| *number));
        if let Some(rollout) = &self.rollout {
            keep.push(rollout.generation);
            keep.extend(rollout.from);
            keep.extend(rollout.course.suspect());
        }
        self.generations.retain(|number, generation| {
            keep.contains(number)
                || matches!(&generation.verdict, Some(Verdict::Blamed { at, .. }) if schedule::between(*at, now) < QUARANTINE)
        });
    }
}
