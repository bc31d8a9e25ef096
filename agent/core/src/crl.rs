//! Certificate revocation lists (RFC 5280, section 5): which of them may stand beside the CA certificates.
//!
//! Owns what makes a list one that a verifier can use, whose it is, and when another takes its place. A list comes over
//! ways that prove nothing, so nothing is believed but the signature of a CA that is trusted or that the own leaf stands
//! below. It is never taken back to an older one. Its neighbour is [`crate::trust`], which holds what passed.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::OwnedCertRevocationList;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::leaf::Fingerprint;
use crate::schedule;

/// The most bytes of one list: some two hundred thousand entries.
pub const MAX_CRL_BYTES: usize = 8 * 1024 * 1024;
/// The most lists of a bundle.
pub const MAX_CRLS: usize = 64;
/// Clocks differ by as much.
const SKEW: Duration = Duration::from_secs(60);

/// The most letters of an issuer's name that are shown.
const LONGEST_NAME: usize = 200;

/// One list that verifiers can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: CertificateRevocationListDer<'static>,
    /// Who issued it, as people read it.
    issuer: String,
    /// `thisUpdate`.
    from: Timestamp,
    /// `nextUpdate`.
    until: Option<Timestamp>,
    /// Which of its issuer's certificates it is about, where not about all (RFC 5280, section 5.2.5).
    scope: Vec<u8>,
    /// The digest of the serial numbers in it.
    revoked: Fingerprint,
}

/// Whose certificates a list is about. One list takes the place of another that is about the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// The digest of the public key that it is signed by.
    signer: Fingerprint,
    scope: Vec<u8>,
}

/// Why a list is not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// It cannot be read.
    #[error("what was to be a revocation list is none: {0}")]
    Malformed(String),
    /// Verifiers would refuse it, and perhaps everybody with it.
    #[error(
        "the revocation list of {issuer} is of a kind that not all verifiers know ({why}); it must be of version 2 with a \
         number, and neither a delta nor indirect"
    )]
    Unsupported {
        /// Who issued it.
        issuer: String,
        /// What the verifier said.
        why: String,
    },
    /// Nobody would ask for it.
    #[error(
        "the revocation list of {issuer} is of a CA that is neither trusted nor in the chain of this certificate, or not \
         signed by it"
    )]
    Foreign {
        /// Who it names.
        issuer: String,
    },
    /// Its CA has no right to it (RFC 5280, section 4.2.1.3).
    #[error(
        "the revocation list of {issuer} does not count: the key usage of that CA does not allow it to sign any"
    )]
    NotAllowed {
        /// Who issued it.
        issuer: String,
    },
    /// It is of tomorrow.
    #[error("the revocation list of {issuer} begins only at {from}: is a clock wrong?")]
    Early {
        /// Who issued it.
        issuer: String,
        /// `thisUpdate`.
        from: Timestamp,
    },
    /// It is of yesterday.
    #[error("the revocation list of {issuer} that was brought has ended at {until}")]
    Ended {
        /// Who issued it.
        issuer: String,
        /// `nextUpdate`.
        until: Timestamp,
    },
    /// More than can be meant.
    #[error("there are more than {MAX_CRLS} revocation lists")]
    TooMany,
}

impl CrlError {
    /// Whether it may be nothing but another clock: a list that begins in a moment is looked at again.
    pub(crate) fn is_skew(&self, now: Timestamp) -> bool {
        matches!(self, Self::Early { from, .. } if schedule::between(now, *from) <= SKEW)
    }
}

impl Crl {
    /// Reads one, and makes sure that verifiers can, too.
    ///
    /// # Errors
    /// When it is no list, or one of a kind that verifiers refuse.
    pub fn read(der: CertificateRevocationListDer<'_>) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL_BYTES {
            let why = format!("{} bytes are too many", der.len());
            return Err(CrlError::Malformed(why));
        }
        let malformed = |why: String| CrlError::Malformed(why);
        let (rest, list) = CertificateRevocationList::from_der(&der)
            .map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the list".into()));
        }
        let issuer = named(&list);
        if let Err(error) = OwnedCertRevocationList::from_der(&der) {
            let why = error.to_string();
            return Err(CrlError::Unsupported { issuer, why });
        }
        let instant = |seconds: i64| {
            Timestamp::from_second(seconds).map_err(|error| malformed(error.to_string()))
        };
        let from = instant(list.last_update().timestamp())?;
        let until = list.next_update().map(|until| until.timestamp());
        let until = until.map(instant).transpose()?;
        let scope = list
            .tbs_cert_list
            .find_extension(&OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        let scope = scope.map(|scope| scope.value.to_vec()).unwrap_or_default();
        let mut serials = Vec::new();
        for revoked in list.iter_revoked_certificates() {
            let serial = revoked.raw_serial();
            serials.extend((serial.len() as u64).to_be_bytes());
            serials.extend(serial);
        }
        Ok(Self {
            issuer,
            from,
            until,
            scope,
            revoked: Fingerprint::of(&serials),
            der: CertificateRevocationListDer::from(der.to_vec()),
        })
    }

    /// The list.
    pub fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.der
    }

    /// Who issued it, as people read it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// When the next one is due: from then on verifiers may refuse whoever it is about. `None`: it says nothing.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether nine tenths of it are over: a CA that is well has brought another one long ago.
    pub fn is_about_to_end(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| {
            schedule::between(now, until) < schedule::between(self.from, until) / 10
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether one of these signed it, and may.
    pub fn is_of(&self, authorities: &[CertificateDer<'_>]) -> bool {
        self.of(authorities).is_ok()
    }

    /// With what it is about, where it may be published now: one of these signed it, and it is of today.
    pub(crate) fn judged(
        self,
        authorities: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(About, Self), CrlError> {
        let about = self.of(authorities)?;
        let (issuer, from) = (self.issuer.clone(), self.from);
        match self.until {
            _ if from > now => Err(CrlError::Early { issuer, from }),
            Some(until) if until <= now => Err(CrlError::Ended { issuer, until }),
            _ => Ok((about, self)),
        }
    }

    /// With what it is about, where one of these signed it.
    pub(crate) fn signed_by(self, authorities: &[CertificateDer<'_>]) -> Option<(About, Self)> {
        let about = self.of(authorities).ok()?;
        Some((about, self))
    }

    /// Whether it should be published instead of one about the same. One that names nobody else is left until that one is
    /// half over: each new list makes services reload.
    pub(crate) fn takes_the_place_of(&self, held: &Self, now: Timestamp) -> bool {
        if self.from < held.from || self.der == held.der {
            return false;
        }
        let half_over = held.until.is_some_and(|until| {
            schedule::between(now, until) < schedule::between(held.from, until) / 2
        });
        self.revoked != held.revoked || half_over
    }

    fn of(&self, authorities: &[CertificateDer<'_>]) -> Result<About, CrlError> {
        let issuer = self.issuer.clone();
        let (_, list) = CertificateRevocationList::from_der(&self.der)
            .map_err(|error| CrlError::Malformed(error.to_string()))?;
        let mut refused = CrlError::Foreign {
            issuer: issuer.clone(),
        };
        for authority in authorities {
            let Ok((_, authority)) = X509Certificate::from_der(authority) else {
                continue;
            };
            if authority.subject().as_raw() != list.issuer().as_raw()
                || list.verify_signature(authority.public_key()).is_err()
            {
                continue;
            }
            let usage = authority.key_usage().ok().flatten();
            if usage.is_none_or(|usage| usage.value.crl_sign()) {
                return Ok(About {
                    signer: Fingerprint::of(authority.public_key().raw),
                    scope: self.scope.clone(),
                });
            }
            refused = CrlError::NotAllowed {
                issuer: issuer.clone(),
            };
        }
        Err(refused)
    }
}

/// The issuer's name, as a line of a log can have it.
fn named(list: &CertificateRevocationList<'_>) -> String {
    let name = list.issuer().to_string();
    let printable = name.chars().filter(|letter| !letter.is_control());
    printable.take(LONGEST_NAME).collect()
}
