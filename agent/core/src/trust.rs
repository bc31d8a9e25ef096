//! The trust bundle: the CA certificates that peers are verified against, and the revocation lists of these CAs.
//!
//! Owns how a bundle changes: what a CA offers is added at once; what it no longer offers is kept
//! until `keep` has passed *and* no own leaf needs it. It must never be fed from an answer's chain:
//! offers come from the issuer's own list of anchors or from a pin. Its neighbours are
//! [`crate::accept`], which verifies against what is offered, and the record, which keeps the instants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::crl::Crl;
use crate::leaf::Fingerprint;
use crate::pem;
use crate::record::TrustPart;

mod crls;

pub use crls::{OfferedCrls, PublishedTrust};

/// The most anchors in a bundle: several times the public web's.
pub const MAX_ANCHORS: usize = 1024;
/// The most bytes of one anchor.
pub const MAX_ANCHOR_BYTES: usize = 64 * 1024;

/// One CA certificate that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// SHA-256 of the DER.
    pub fingerprint: Fingerprint,
    /// When the CA was first seen to offer it no longer.
    pub dropped_at: Option<Timestamp>,
}

/// The anchors in force, ordered by fingerprint, and the lists, in an order of their own: equal sets are equal
/// bundles, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    anchors: Vec<Anchor>,
    crls: Vec<Crl>,
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
    /// What was kept: certificates, and since when the CA offers some of them no longer. Without lists.
    pub fn kept(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        dropped: &BTreeMap<Fingerprint, Timestamp>,
    ) -> Self {
        let anchor = |der: CertificateDer<'static>| {
            let fingerprint = Fingerprint::of(&der);
            Anchor {
                der,
                fingerprint,
                dropped_at: dropped.get(&fingerprint).copied(),
            }
        };
        let mut bundle = Self {
            anchors: certificates.into_iter().map(anchor).collect(),
            crls: Vec::new(),
        };
        bundle.sort();
        bundle
    }

    /// The anchors, ordered by fingerprint.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Whether nothing is trusted yet.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The bundle as PEM: the certificates, then the lists. [`PublishedTrust`] is what services read of it.
    pub fn pem(&self) -> String {
        let mut text: String = self
            .anchors
            .iter()
            .map(|anchor| pem::certificate(&anchor.der))
            .collect();
        for crl in &self.crls {
            pem::encode_into(&mut text, pem::CRL, crl.der());
        }
        text
    }

    /// What the record keeps of it. The digest, over the PEM, changes when, and only when, what peers are verified
    /// against does.
    pub fn part(&self) -> TrustPart {
        let dropped = |anchor: &Anchor| Some((anchor.fingerprint, anchor.dropped_at?));
        TrustPart {
            digest: Fingerprint::of(self.pem().as_bytes()),
            anchors: self
                .anchors
                .iter()
                .map(|anchor| anchor.fingerprint)
                .collect(),
            dropped: self.anchors.iter().filter_map(dropped).collect(),
        }
    }

    /// The bundle after an issuer said which CA certificates it stands for. `needed` are the anchors that
    /// own leaves (current, previous or quarantined) chain to; `keep` is how long a dropped one stays.
    ///
    /// # Errors
    /// When the offer is empty, too long, or holds no CA certificate; the bundle then stays. What else it holds
    /// beside CA certificates is left out: hosts trust a few that are of no known form.
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
            bundle: Self {
                anchors: Vec::new(),
                crls: self.crls.clone(),
            },
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
    let mut wrong = None;
    for (index, der) in offered.iter().enumerate() {
        match check_anchor(der) {
            Ok(()) => _ = checked.insert(Fingerprint::of(der), der.clone().into_owned()),
            Err(why) => {
                let position = index + 1;
                wrong.get_or_insert(TrustError::NotACa { position, why });
            }
        }
    }
    match wrong {
        Some(error) if checked.is_empty() => Err(error),
        _ => Ok(checked),
    }
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

#[cfg(test)]
mod tests;
