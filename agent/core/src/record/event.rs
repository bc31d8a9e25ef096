//! What can happen to a record, and what it is folded under.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::leaf::{Fingerprint, LeafFacts};
use crate::names::{IssuerName, UnitName};
use crate::proof::{ProbeReport, Proof};
use crate::record::GenerationNumber;
use crate::supply;
use crate::unit::{ActOutcome, Dependent};

/// An identity that passed `accept()`, with the bundle to be published beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdentity {
    /// What the leaf says.
    pub leaf: LeafFacts,
    /// The last instant at which it can be used: the leaf's end, or an earlier one of what is above it.
    pub usable_until: Timestamp,
    /// The anchor that its chain ends in.
    pub anchor: Fingerprint,
    /// The digest of the request.
    pub request: Fingerprint,
    /// Which issuer it is of.
    pub issuer: IssuerName,
    /// The bundle.
    pub trust: TrustPart,
}

/// The digest of a bundle, and its anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPart {
    /// Digest over the bundle.
    pub digest: Fingerprint,
    /// SHA-256 of each anchor.
    pub anchors: Vec<Fingerprint>,
    /// Those of them that the CA stands for no longer, and since when.
    pub dropped: BTreeMap<Fingerprint, Timestamp>,
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
    /// Other issuers have these names now.
    IssuersReplaced(Vec<IssuerName>),
    /// The operator asked for a renewal.
    RenewRequested,
    /// The clock was set.
    ClockStepped,
    /// The clock stands before our own past; nothing is issued for a while.
    ClockDoubted,
    /// The issuer is being asked.
    IssueStarted,
    /// An issuer that stands in for the first one failed, and wants to be left alone for so long.
    PutOff {
        /// Which.
        issuer: IssuerName,
        /// What it named.
        asked: Duration,
    },
    /// No certificate came of it.
    IssueFailed(supply::Failure),
    /// A certificate was accepted; it is kept under the record's next number.
    Accepted(Box<NewIdentity>),
    /// The issuer advises when this leaf should be renewed.
    RenewalAdvised {
        /// Which.
        leaf: Fingerprint,
        /// What it said.
        advice: supply::Advice,
    },
    /// An issuer that makes the keys has an identity that was not had yet.
    Offered,
    /// Another bundle than the published one is to be published, or the CA dropped an anchor that is kept.
    TrustChanged(TrustPart),
    /// What this certificate and the others of its issuer have as new roots is known to all their dependents.
    RootsKnown,
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
    /// A unit became active: it read what was published then.
    UnitActivated(UnitName),
    /// A unit was found active, when we began to watch it: just started, or active all along.
    UnitFound(UnitName),
    /// What is published belongs to other users than it should: the same identity and trust are to
    /// go out under a new number.
    Republish,
    /// The private copy of the identity that first came in this generation is gone or damaged.
    IdentityLost(GenerationNumber),
    /// The issuer revoked the leaf of the identity that first came in this generation.
    Revoked(GenerationNumber),
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
