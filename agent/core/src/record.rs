//! The durable record of one certificate: everything that decisions rest on. What is not in the
//! record is not in the state, so a restart continues where the daemon was.
//!
//! `fold(record, event) -> record` is [`Record::fold`]; `next(record, now) -> action` is
//! [`crate::supply::next`] and [`crate::activation::next`].

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::activation::Rollout;
use crate::activation::fold as activation;
use crate::leaf::{Fingerprint, LeafFacts, Serial};
use crate::names::{CertificateName, UnitName};
use crate::proof::{ProbeReport, Proof, Reason, Standing};
use crate::schedule;
use crate::supply::{self, Supply};
use crate::unit::{ActOutcome, Dependent};

/// The version of the record's form. A record of a newer form is never touched.
pub const SCHEMA: u32 = 1;

/// How long a quarantined generation is remembered; its key is wiped afterwards.
pub const QUARANTINE: Duration = Duration::from_secs(7 * 86_400);

/// Numbers of generations only rise; the first is 1.
pub type GenerationNumber = u64;

/// An immutable set of an identity part and a trust part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The generation that this identity (key, leaf, chain) first came in.
    pub identity: GenerationNumber,
    /// The digest of the trust bundle.
    pub trust: Fingerprint,
    /// What the leaf says.
    pub leaf: LeafFacts,
    /// The anchor that the leaf's chain ends in.
    pub anchor: Fingerprint,
    /// The digest of the request that the leaf answers.
    pub request: Fingerprint,
    /// When the identity was accepted. Its usable life begins here.
    pub accepted_at: Timestamp,
    /// What came of it.
    pub verdict: Option<Verdict>,
    /// The private copy of the identity is gone: what is published of it stays in use, but it can
    /// not be published again.
    #[serde(default)]
    pub lost: bool,
}

/// What came of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Verdict {
    /// Every dependent acted and was proven, or does not run.
    Settled,
    /// It was to blame: with the identity before it everything works again. Quarantined.
    Blamed {
        /// What failed.
        cause: Cause,
        /// When it was found.
        at: Timestamp,
    },
    /// Something failed, and the identity before it fails too.
    NotTheCertificate {
        /// What failed.
        cause: Cause,
    },
    /// Something failed, and there is no usable identity to go back to: it stays published.
    HeldForward {
        /// What failed.
        cause: Cause,
    },
    /// Published, and a dependent is still to be proven; going back would not help.
    Unproven {
        /// What failed.
        cause: Cause,
    },
}

/// What failed, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The dependent.
    pub unit: UnitName,
    /// In one word.
    pub reason: Reason,
    /// In a sentence.
    pub detail: String,
}

/// What a dependent still owes for a published generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The generation that was published.
    pub generation: GenerationNumber,
    /// What must be done next.
    pub step: DebtStep,
    /// Failed tries so far.
    pub tries: u32,
    /// Not before this instant.
    pub not_before: Timestamp,
}

/// What must be done next to pay a debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DebtStep {
    /// Tell the unit: reload, restart, start or signal.
    Act,
    /// Probe it.
    Probe,
}

/// What is known of a dependent, and what it owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// What is known.
    pub standing: Standing,
    /// What it owes, if anything.
    pub debt: Option<Debt>,
    /// It was well until our own restart, and is not proven since: found *failed*, it is brought up
    /// again. One that a person stopped is *inactive*, and stays so.
    #[serde(default)]
    pub revive: bool,
}

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
#[serde(deny_unknown_fields)]
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
    /// The dependents.
    pub units: BTreeMap<UnitName, UnitRecord>,
    /// Answers got from the issuer so far.
    pub issuances: u64,
    /// When the last answer came.
    pub last_issuance: Option<Timestamp>,
    /// The operator asked for a renewal that has not begun.
    pub renew_requested: bool,
    /// What went wrong last; cleared when all is well again.
    pub last_error: Option<ErrorNote>,
}

/// An identity that passed `accept()`, with the bundle to be published beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdentity {
    /// What the leaf says.
    pub leaf: LeafFacts,
    /// The anchor that its chain ends in.
    pub anchor: Fingerprint,
    /// The digest of the request.
    pub request: Fingerprint,
    /// The bundle.
    pub trust: TrustPart,
}

/// The digest of a bundle and its anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPart {
    /// Digest over the bundle.
    pub digest: Fingerprint,
    /// SHA-256 of each anchor.
    pub anchors: Vec<Fingerprint>,
}

/// A dependent's condition before publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineFinding {
    /// What holds with the generation that is still published.
    pub proof: Proof,
    /// In words.
    pub detail: String,
}

/// Everything that can happen to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The daemon started, and found this generation published (`None`: nothing, or not intact).
    Recovered {
        /// The intact generation that `current` points to.
        current: Option<GenerationNumber>,
        /// The highest number found on disk.
        highest: GenerationNumber,
    },
    /// The configuration's dependents and the life asked for.
    Configured(Vec<Dependent>),
    /// The operator asked for a renewal.
    RenewRequested,
    /// The clock was set.
    ClockStepped,
    /// The clock stands before our own past; nothing is issued for a while.
    ClockDoubted,
    /// The issuer is being asked.
    IssueStarted,
    /// No certificate came of it.
    IssueFailed(supply::Failure),
    /// A certificate was accepted; it is kept under the record's next number.
    Accepted(NewIdentity),
    /// Another bundle than the published one is to be published.
    TrustChanged(TrustPart),
    /// How the dependents were before publishing.
    BaselineTaken(BTreeMap<UnitName, BaselineFinding>),
    /// The generation is current.
    Published(GenerationNumber),
    /// It could not be published.
    PublishFailed(String),
    /// A unit was told.
    Acted {
        /// Which.
        unit: UnitName,
        /// For which generation.
        generation: GenerationNumber,
        /// What came of it.
        outcome: ActOutcome,
    },
    /// A unit was probed.
    Probed {
        /// Which.
        unit: UnitName,
        /// For which generation.
        generation: GenerationNumber,
        /// What was found.
        report: ProbeReport,
    },
    /// A unit became active.
    UnitActivated(UnitName),
    /// What is published belongs to other users than it should: the same identity and trust are to
    /// go out under a new number.
    Republish,
    /// The private copy of the identity that first came in this generation is gone or damaged.
    IdentityLost(GenerationNumber),
    /// A chance to forget what no longer matters.
    Housekeeping,
}

/// What an event is folded under.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The wall clock.
    pub now: Timestamp,
    /// A random number in 0..1.
    pub chance: f64,
    /// The life that is asked for.
    pub life: Duration,
    /// The dependents in the configuration.
    pub dependents: &'a [Dependent],
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
            units: BTreeMap::new(),
            issuances: 0,
            last_issuance: None,
            renew_requested: false,
            last_error: None,
        }
    }

    /// Folds an event into the record. Total: an event that does not fit the state changes nothing.
    #[must_use]
    pub fn fold(mut self, event: Event, context: Context<'_>) -> Self {
        match event {
            Event::Recovered { current, highest } => {
                self.highest = self.highest.max(highest);
                supply::interrupted(&mut self, context);
                activation::recovered(&mut self, current, context);
            }
            Event::Configured(dependents) => {
                activation::configured(&mut self, &dependents, context)
            }
            Event::RenewRequested => self.renew_requested = true,
            Event::ClockStepped => {
                supply::clock_stepped(&mut self, context);
                activation::hurry(&mut self, context);
            }
            Event::ClockDoubted => supply::clock_doubted(&mut self, context),
            Event::IssueStarted => supply::started(&mut self, context),
            Event::IssueFailed(failure) => supply::failed(&mut self, failure, context),
            Event::Accepted(identity) => supply::accepted(&mut self, identity, context),
            Event::TrustChanged(trust) => activation::trust_changed(&mut self, trust),
            Event::BaselineTaken(findings) => activation::baseline_taken(&mut self, findings),
            Event::Published(generation) => activation::published(&mut self, generation, context),
            Event::PublishFailed(text) => activation::publish_failed(&mut self, text, context),
            Event::Acted {
                unit,
                generation,
                outcome,
            } => {
                activation::acted(&mut self, &unit, generation, outcome, context);
            }
            Event::Probed {
                unit,
                generation,
                report,
            } => {
                activation::probed(&mut self, &unit, generation, report, context);
            }
            Event::UnitActivated(unit) => activation::unit_activated(&mut self, &unit, context),
            Event::Republish => activation::republish(&mut self),
            Event::IdentityLost(identity) => {
                activation::identity_lost(&mut self, identity, context);
                supply::identity_lost(&mut self, context);
            }
            Event::Housekeeping => self.forget_generations(context.now),
        }
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

    /// Whether the identity of `number` can still be used: valid for longer than a reload and its
    /// probes take, not blamed, and chaining to today's bundle.
    pub fn usable(&self, number: GenerationNumber, life: Duration, now: Timestamp) -> bool {
        let margin = (life / 20).min(Duration::from_secs(300));
        self.generations.get(&number).is_some_and(|generation| {
            generation.leaf.not_before <= schedule::after(now, schedule::EARLY)
                && generation.leaf.not_after > schedule::after(now, margin)
                && !generation.lost
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
        match (&self.supply, &self.rollout) {
            (_, Some(rollout)) => rollout.course.label(),
            (Supply::Issuing { .. }, None) => "issuing",
            (Supply::Stopped, None) => "stopped",
            (Supply::BackOff { .. } | Supply::Doubt { .. }, None) => "back-off",
            (Supply::Fresh, None) if self.published.is_none() => "new",
            (Supply::Fresh, None) => {
                let held = matches!(
                    self.published_generation()
                        .and_then(|generation| generation.verdict.as_ref()),
                    Some(Verdict::HeldForward { .. })
                );
                match (held, self.units.values().any(|unit| unit.debt.is_some())) {
                    (true, true) => "held forward",
                    (_, true) => "unproven",
                    _ => "fresh",
                }
            }
        }
    }

    /// Keeps what is published, what was before, what shall be, and what is quarantined.
    fn forget_generations(&mut self, now: Timestamp) {
        let mut keep: Vec<GenerationNumber> = [self.target, self.published, self.previous]
            .into_iter()
            .flatten()
            .collect();
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
