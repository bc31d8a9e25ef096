//! Generations and what came of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::leaf::{Fingerprint, LeafFacts};
use crate::names::{IssuerName, UnitName};
use crate::proof::Reason;

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
    /// When the chain above the leaf, or its anchor, ends, where that is before the leaf does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_until: Option<Timestamp>,
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
    /// The leaf was revoked on the operator's order: what is published of it stays until there is another, but it is
    /// never published again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// Which issuer the leaf is of; `None` in records of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
}

impl Generation {
    /// The last instant at which it can be used, which the schedule goes by.
    pub fn end(&self) -> Timestamp {
        self.usable_until.unwrap_or(self.leaf.not_after)
    }
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
