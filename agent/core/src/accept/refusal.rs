//! Why an answer is refused: each text says what was expected, what came, and what to do.

use jiff::Timestamp;

use super::{EARLY, MAX_BYTES, MAX_CHAIN};
use crate::leaf::Fingerprint;

/// Why an issuer's answer must not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More bytes than a TLS peer takes.
    #[error("leaf and chain have {bytes} bytes, expected at most {MAX_BYTES}")]
    TooLarge {
        /// The size.
        bytes: usize,
    },
    /// More certificates than a path can have.
    #[error("{found} certificates came with the leaf, expected at most {MAX_CHAIN}")]
    LongChain {
        /// How many.
        found: usize,
    },
    /// Something that is no certificate, or one that contradicts itself.
    #[error("{which} cannot be read: {why}; expected the DER of an X.509 v3 certificate")]
    Malformed {
        /// Which part of the answer.
        which: String,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate for somebody else's key.
    #[error(
        "the leaf is for another key (SHA-256 of its public key {found}), expected ours ({expected})"
    )]
    WrongKey {
        /// Our key's fingerprint.
        expected: Fingerprint,
        /// The fingerprint of the leaf's key.
        found: Fingerprint,
    },
    /// The leaf could sign certificates.
    #[error("the leaf is a CA certificate, expected an end entity's")]
    CaLeaf,
    /// Not exactly the names asked for.
    #[error(
        "the leaf's names differ from those asked for: {}",
        difference(missing, extra)
    )]
    Names {
        /// Asked for and not given.
        missing: Vec<String>,
        /// Given and not asked for.
        extra: Vec<String>,
    },
    /// A usage that was asked for is missing.
    #[error("the leaf lacks {}; expected the usages asked for: change `usage` or the CA's profile", missing.join(", "))]
    Usage {
        /// The missing usages.
        missing: Vec<&'static str>,
    },
    /// It begins too far ahead.
    #[error(
        "{which} is valid only from {not_before}, and it is {now}: expected at most {} s ahead; compare the clocks of this host and of the CA",
        EARLY.as_secs()
    )]
    NotYetValid {
        /// The leaf or its chain.
        which: &'static str,
        /// When it begins.
        not_before: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// It has ended.
    #[error(
        "{which} ended at {not_after}, and it is {now}: expected one that is valid now; compare the clocks of this host and of the CA"
    )]
    Expired {
        /// The leaf or its chain.
        which: &'static str,
        /// When it ended.
        not_after: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// Nothing to verify against.
    #[error(
        "no usable CA certificate was held before the answer came ({expired} have expired): expected at least one"
    )]
    NoAnchors {
        /// How many of those held have expired.
        expired: usize,
    },
    /// It chains to no CA that was held before.
    #[error(
        "no chain leads to a CA that was trusted before the answer came ({held} held): the leaf's issuer is {issuer:?}; expected its intermediates in the answer, and its root pinned or, for a public CA, trust = \"system\""
    )]
    UnknownCa {
        /// The issuer that the leaf names.
        issuer: String,
        /// How many anchors were held.
        held: usize,
    },
    /// The chain leads to a held CA, but breaks a rule on its way.
    #[error("the chain does not verify for {usage}: {why}")]
    Chain {
        /// `serverAuth` or `clientAuth`.
        usage: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl Refusal {
    /// A stable word for logs, metrics and the record.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::LongChain { .. } => "long-chain",
            Self::Malformed { .. } => "malformed",
            Self::WrongKey { .. } => "wrong-key",
            Self::CaLeaf => "ca-leaf",
            Self::Names { .. } => "names",
            Self::Usage { .. } => "usage",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::NoAnchors { .. } => "no-anchors",
            Self::UnknownCa { .. } => "unknown-ca",
            Self::Chain { .. } => "chain",
        }
    }
}

fn difference(missing: &[String], extra: &[String]) -> String {
    let part = |word: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")))
    };
    [part("missing", missing), part("not asked for", extra)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}
