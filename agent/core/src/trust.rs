//! The trust bundle: the CA certificates that peers are verified against.
//!
//! Owns how a bundle changes: what a CA offers is added at once; what it no longer offers is kept
//! until `keep` has passed *and* no own leaf needs it. It must never be fed from an answer's chain:
//! offers come from the issuer's own list of anchors or from a pin. Its neighbour is
//! [`crate::accept`], which verifies against what is held here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::leaf::Fingerprint;
use crate::pem;

/// The most anchors in a bundle: several times the public web's.
pub const MAX_ANCHORS: usize = 1024;
/// The most bytes of one anchor.
pub const MAX_ANCHOR_BYTES: usize = 64 * 1024;

/// One CA certificate that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredAnchor", into = "StoredAnchor")]
pub struct Anchor {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// SHA-256 of the DER.
    pub fingerprint: Fingerprint,
    /// When it was first offered.
    pub first_seen: Timestamp,
    /// When the CA was first seen to offer it no longer.
    pub dropped_at: Option<Timestamp>,
}

/// The anchors in force, ordered by fingerprint: equal sets are equal bundles, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Anchor>", into = "Vec<Anchor>")]
pub struct Bundle {
    anchors: Vec<Anchor>,
}

/// What a merge did, beside the new bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The bundle from now on.
    pub bundle: Bundle,
    /// New in it.
    pub added: Vec<Fingerprint>,
    /// No longer offered, and kept for now.
    pub dropped: Vec<Fingerprint>,
    /// No longer in it.
    pub removed: Vec<Fingerprint>,
}

/// Why an offer changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A CA without a certificate is an error of the CA, not a wish to be distrusted.
    #[error("the issuer offers no CA certificate at all; expected at least one")]
    Empty,
    /// More than can be meant.
    #[error("the issuer offers {found} CA certificates; expected at most {MAX_ANCHORS}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Something else than a CA certificate.
    #[error("CA certificate {position} of those offered is none: {why}")]
    NotACa {
        /// Counted from 1.
        position: usize,
        /// What is wrong.
        why: String,
    },
}

impl TrustError {
    /// A stable word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Empty => "no-anchors",
            Self::TooMany { .. } => "too-many-anchors",
            Self::NotACa { .. } => "not-a-ca",
        }
    }
}

impl Bundle {
    /// The anchors, ordered by fingerprint.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Whether nothing is trusted yet.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The certificates, as [`crate::accept::accept`] takes them.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let der = |anchor: &Anchor| anchor.der.clone();
        self.anchors.iter().map(der).collect()
    }

    /// A digest over the certificates: it changes when, and only when, what peers are verified against does.
    pub fn digest(&self) -> Fingerprint {
        let mut context = digest::Context::new(&digest::SHA256);
        for anchor in &self.anchors {
            context.update(anchor.fingerprint.as_bytes());
        }
        Fingerprint::from_digest(&context.finish())
    }

    /// The bundle as PEM: what is published as `ca.pem`.
    pub fn pem(&self) -> String {
        let text = |anchor: &Anchor| pem::certificate(&anchor.der);
        self.anchors.iter().map(text).collect()
    }

    /// The bundle after an issuer said which CA certificates it stands for. `needed` are the anchors that
    /// own leaves (current, previous or quarantined) chain to; `keep` is how long a dropped one stays.
    ///
    /// # Errors
    /// When the offer is empty, too long, or holds anything but CA certificates; the bundle then stays.
    pub fn merge(
        &self,
        offered: &[CertificateDer<'_>],
        needed: &BTreeSet<Fingerprint>,
        keep: Duration,
        now: Timestamp,
    ) -> Result<Merged, TrustError> {
        let offered = check(offered)?;
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let mut merged = Merged {
            bundle: Self::default(),
            added: Vec::new(),
            dropped: Vec::new(),
            removed: Vec::new(),
        };
        for anchor in &self.anchors {
            let mut anchor = anchor.clone();
            if offered.contains_key(&anchor.fingerprint) {
                anchor.dropped_at = None;
            } else if let Some(dropped_at) = anchor.dropped_at {
                // A clock that was set back makes this negative: then it is kept.
                let over = now.duration_since(dropped_at) >= keep;
                if over && !needed.contains(&anchor.fingerprint) {
                    merged.removed.push(anchor.fingerprint);
                    continue;
                }
            } else {
                anchor.dropped_at = Some(now);
                merged.dropped.push(anchor.fingerprint);
            }
            merged.bundle.anchors.push(anchor);
        }
        for (fingerprint, der) in offered {
            if !self.holds(&fingerprint) {
                merged.added.push(fingerprint);
                merged.bundle.anchors.push(Anchor {
                    der,
                    fingerprint,
                    first_seen: now,
                    dropped_at: None,
                });
            }
        }
        merged.bundle.sort();
        Ok(merged)
    }

    fn holds(&self, fingerprint: &Fingerprint) -> bool {
        self.anchors
            .iter()
            .any(|anchor| anchor.fingerprint == *fingerprint)
    }

    fn sort(&mut self) {
        self.anchors.sort_by_key(|anchor| anchor.fingerprint);
        self.anchors.dedup_by_key(|anchor| anchor.fingerprint);
    }
}

type Offer = BTreeMap<Fingerprint, CertificateDer<'static>>;

fn check(offered: &[CertificateDer<'_>]) -> Result<Offer, TrustError> {
    match offered.len() {
        0 => return Err(TrustError::Empty),
        found if found > MAX_ANCHORS => return Err(TrustError::TooMany { found }),
        _ => {}
    }
    let mut checked = BTreeMap::new();
    for (index, der) in offered.iter().enumerate() {
        check_anchor(der).map_err(|why| TrustError::NotACa {
            position: index + 1,
            why,
        })?;
        checked.insert(Fingerprint::of(der), der.clone().into_owned());
    }
    Ok(checked)
}

fn check_anchor(der: &[u8]) -> Result<(), String> {
    if der.len() > MAX_ANCHOR_BYTES {
        return Err(format!("{} bytes are too many", der.len()));
    }
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("bytes follow the certificate".into());
    }
    // Version 1 has no extensions, and old roots are of that kind (RFC 5280, section 4.2.1.9).
    let old_root = certificate.version().0 == 0
        && certificate.subject().as_raw() == certificate.issuer().as_raw();
    if !certificate.is_ca() && !old_root {
        return Err(format!("{} is not a CA", certificate.subject()));
    }
    Ok(())
}

/// An anchor as it is stored: the certificate as PEM, so that a record can be read with common tools.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAnchor {
    pem: String,
    first_seen: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped_at: Option<Timestamp>,
}

impl From<Anchor> for StoredAnchor {
    fn from(anchor: Anchor) -> Self {
        Self {
            pem: pem::certificate(&anchor.der),
            first_seen: anchor.first_seen,
            dropped_at: anchor.dropped_at,
        }
    }
}

impl TryFrom<StoredAnchor> for Anchor {
    type Error = String;

    fn try_from(stored: StoredAnchor) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(stored.pem.as_bytes())
            .map_err(|error| format!("an anchor's PEM cannot be read: {error}"))?;
        check_anchor(&der)?;
        Ok(Self {
            fingerprint: Fingerprint::of(&der),
            der,
            first_seen: stored.first_seen,
            dropped_at: stored.dropped_at,
        })
    }
}

impl From<Vec<Anchor>> for Bundle {
    fn from(anchors: Vec<Anchor>) -> Self {
        let mut bundle = Self { anchors };
        bundle.sort();
        bundle
    }
}

impl From<Bundle> for Vec<Anchor> {
    fn from(bundle: Bundle) -> Self {
        bundle.anchors
    }
}

#[cfg(test)]
mod tests;
