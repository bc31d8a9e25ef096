//! Whether an issuer's answer may be published: the one gate between any CA and any service.
//!
//! Owns every rule by which an answer is refused, and none by which it is asked for. It must never
//! trust what the answer brings: the anchors are those that were held or pinned *before* it came.
//! Its neighbours are the issuers, which make an [`Answer`], and the supply machine, which makes an
//! [`Accepted`] its next target.

mod chain;
mod end;
mod refusal;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::leaf::{Fingerprint, LeafFacts};
use crate::names::San;
use crate::request::{Request, Usages};

pub use end::{End, first_end};
pub use refusal::Refusal;

/// How far ahead of our clock a certificate's validity may begin; it is waited for.
pub const EARLY: SignedDuration = SignedDuration::from_secs(60);
/// The most bytes of leaf and chain: what a TLS peer takes (rustls stops at 64 KiB).
pub const MAX_BYTES: usize = 64 * 1024;
/// The most certificates beside the leaf.
pub const MAX_CHAIN: usize = 10;

/// What an issuer answered: nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The certificate for our key.
    pub leaf: CertificateDer<'static>,
    /// The certificates above it, in any order, with or without the root.
    pub chain: Vec<CertificateDer<'static>>,
}

/// An answer that may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The leaf.
    pub leaf: CertificateDer<'static>,
    /// The intermediates, each issued by the next; no root, no duplicates.
    pub chain: Vec<CertificateDer<'static>>,
    /// What the leaf says.
    pub facts: LeafFacts,
    /// The held anchor that it chains to.
    pub anchor: Fingerprint,
    /// The first instant at which it works: now, or up to [`EARLY`] later.
    pub usable_from: Timestamp,
    /// The last instant at which it works: the earliest end among leaf, chain and anchor.
    pub usable_until: Timestamp,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// Accepted, but not quite what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The usable life is shorter than nine tenths of the life asked for.
    ShorterLife {
        /// What was asked for.
        asked: Duration,
        /// From [`Accepted::usable_from`] to [`Accepted::usable_until`].
        given: Duration,
    },
    /// A certificate above the leaf ends first.
    ChainEndsFirst {
        /// When the chain or its anchor ends.
        chain: Timestamp,
        /// When the leaf would.
        leaf: Timestamp,
    },
}

impl Warning {
    /// A stable word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ShorterLife { .. } => "shorter-life",
            Self::ChainEndsFirst { .. } => "chain-ends-first",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShorterLife { asked, given } => write!(
                f,
                "asked for a life of {} s, got {} s: renewals are planned by the shorter one; \
                 raise the CA's limit or lower `lifetime`",
                asked.as_secs(),
                given.as_secs()
            ),
            Self::ChainEndsFirst { chain, leaf } => write!(
                f,
                "the chain above the leaf ends at {chain}, before the leaf ({leaf}): \
                 the CA's own certificate must be renewed"
            ),
        }
    }
}

/// Judges an answer. `key_fingerprint` is the SHA-256 of our key's subject public key info;
/// `anchors` are the CA certificates held or pinned before the answer came.
///
/// # Errors
/// The first rule that the answer breaks, cheapest rules first; see [`Refusal`].
pub fn accept(
    request: &Request,
    key_fingerprint: &Fingerprint,
    answer: &Answer,
    anchors: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    check_size(answer)?;
    let facts = LeafFacts::from_der(&answer.leaf).map_err(|error| Refusal::Malformed {
        which: "the leaf".into(),
        why: error.to_string(),
    })?;
    let (_, leaf) =
        X509Certificate::from_der(&answer.leaf).map_err(|error| Refusal::Malformed {
            which: "the leaf".into(),
            why: error.to_string(),
        })?;
    if facts.key_fingerprint != *key_fingerprint {
        return Err(Refusal::WrongKey {
            expected: *key_fingerprint,
            found: facts.key_fingerprint,
        });
    }
    if facts.is_ca {
        return Err(Refusal::CaLeaf);
    }
    check_names(request, &leaf)?;
    check_usages(request.usages, &leaf)?;
    let usable_from = check_validity(&facts, now)?;
    let path = chain::verify(answer, request.usages, anchors, usable_from, now)?;
    let usable_until = path.not_after.min(facts.not_after);
    if usable_until <= path.usable_from {
        return Err(Refusal::Expired {
            which: "the chain's usable time",
            not_after: usable_until,
            now,
        });
    }
    Ok(Accepted {
        leaf: answer.leaf.clone(),
        warnings: warnings(request, &facts, &path),
        chain: path.chain,
        anchor: path.anchor,
        usable_from: path.usable_from,
        usable_until,
        facts,
    })
}

fn check_size(answer: &Answer) -> Result<(), Refusal> {
    if answer.chain.len() > MAX_CHAIN {
        return Err(Refusal::LongChain {
            found: answer.chain.len(),
        });
    }
    let bytes = answer.leaf.len() + answer.chain.iter().map(|der| der.len()).sum::<usize>();
    if bytes > MAX_BYTES {
        return Err(Refusal::TooLarge { bytes });
    }
    Ok(())
}

/// Exactly the names asked for, compared as typed sets: the DNS name `10.0.0.1` is not the address.
fn check_names(request: &Request, leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    let mut found = BTreeSet::new();
    let mut foreign = Vec::new();
    let extension = leaf
        .subject_alternative_name()
        .map_err(|error| Refusal::Malformed {
            which: "the leaf's subject alternative name".into(),
            why: error.to_string(),
        })?;
    for name in extension.iter().flat_map(|san| &san.value.general_names) {
        match san_of(name) {
            Some(san) => _ = found.insert(san),
            None => foreign.push(shown(name)),
        }
    }
    let asked: BTreeSet<San> = request.names.iter().cloned().map(lower_case).collect();
    let missing: Vec<String> = asked.difference(&found).map(San::to_string).collect();
    let mut extra: Vec<String> = found.difference(&asked).map(shown).collect();
    extra.extend(foreign);
    if missing.is_empty() && extra.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Names { missing, extra })
    }
}

/// What an answer says, so that it can forge no line of a log and move no cursor.
fn shown(text: &impl fmt::Display) -> String {
    text.to_string().escape_debug().collect()
}

/// A subject alternative name of a certificate or a request, if it is of a form that renewd asks for.
pub fn san_of(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(text) => Some(San::Dns(text.to_ascii_lowercase())),
        GeneralName::URI(text) => Some(San::Uri((*text).to_owned())),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
            _ => None,
        }
        .map(San::Ip),
        _ => None,
    }
}

fn lower_case(name: San) -> San {
    match name {
        San::Dns(text) => San::Dns(text.to_ascii_lowercase()),
        other => other,
    }
}

/// `anyExtendedKeyUsage` does not count: peers that verify with rustls do not take it.
fn check_usages(asked: Usages, leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    let malformed = |error: x509_parser::error::X509Error| Refusal::Malformed {
        which: "the leaf's key usage".into(),
        why: error.to_string(),
    };
    let mut missing = Vec::new();
    if let Some(usage) = leaf.extended_key_usage().map_err(malformed)? {
        if asked.server && !usage.value.server_auth {
            missing.push("serverAuth");
        }
        if asked.client && !usage.value.client_auth {
            missing.push("clientAuth");
        }
    }
    // Every key exchange that signs, and so all of TLS 1.3, needs it (RFC 8446, section 4.4.2.2).
    if let Some(usage) = leaf.key_usage().map_err(malformed)?
        && !usage.value.digital_signature()
    {
        missing.push("digitalSignature");
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Usage { missing })
    }
}

fn check_validity(facts: &LeafFacts, now: Timestamp) -> Result<Timestamp, Refusal> {
    if facts.not_before > now + EARLY {
        return Err(Refusal::NotYetValid {
            which: "the leaf",
            not_before: facts.not_before,
            now,
        });
    }
    if facts.not_after <= now.max(facts.not_before) {
        return Err(Refusal::Expired {
            which: "the leaf",
            not_after: facts.not_after,
            now,
        });
    }
    Ok(now.max(facts.not_before))
}

fn warnings(request: &Request, facts: &LeafFacts, path: &chain::Path) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if path.not_after < facts.not_after {
        warnings.push(Warning::ChainEndsFirst {
            chain: path.not_after,
            leaf: facts.not_after,
        });
    }
    let until = path.not_after.min(facts.not_after);
    let given = Duration::try_from(until.duration_since(path.usable_from)).unwrap_or_default();
    // A tenth is left to the time that the answer was under way and to whole seconds.
    if given < request.lifetime.mul_f64(0.9) {
        warnings.push(Warning::ShorterLife {
            asked: request.lifetime,
            given,
        });
    }
    warnings
}

#[cfg(test)]
mod tests;
