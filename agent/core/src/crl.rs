//! Certificate revocation lists (RFC 5280, section 5): which of them may stand beside the CA certificates.
//!
//! Owns what makes a list one that a verifier can use, whose it is, and when another takes its place. A list comes over
//! ways that prove nothing, so nothing is believed but the signature of a CA that is trusted or stands below one
//! that is. It is never taken back to an older one. Its neighbour is [`crate::trust`], which holds what passed.

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::OwnedCertRevocationList;
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::leaf::Fingerprint;
use crate::schedule;

/// The most bytes of one list: some twenty-five thousand entries. Of certificates that live shortly, few are revoked and have
/// not ended.
pub const MAX_CRL_BYTES: usize = 1024 * 1024;
/// The most bytes of all lists of a bundle: it is read, judged and written whole, for each certificate.
pub const MAX_CRLS_BYTES: usize = 2 * MAX_CRL_BYTES;
/// The most lists of a bundle.
pub const MAX_CRLS: usize = 64;
/// Clocks differ by as much.
const SKEW: Duration = Duration::from_secs(60);

/// The most letters of an issuer's name that are shown.
const LONGEST_NAME: usize = 200;

/// A list in DER. Several certificates may have the same: nobody holds it twice.
pub type CrlDer = Rc<CertificateRevocationListDer<'static>>;

/// One list that verifiers can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: CrlDer,
    /// Who issued it, as people read it.
    issuer: String,
    /// `thisUpdate`.
    from: Timestamp,
    /// `nextUpdate`.
    until: Option<Timestamp>,
    /// Its number, without leading zeros.
    number: Vec<u8>,
    about: About,
    /// The digest of the serial numbers in it.
    revoked: Fingerprint,
}

/// Whose certificates a list is about. One list takes the place of another that is about the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// The issuer's name in DER.
    issuer: Vec<u8>,
    /// Which key of the issuer's signed it (RFC 5280, section 5.2.1).
    key: Vec<u8>,
    /// Which of the issuer's certificates, where not all (section 5.2.5).
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
        "the revocation list of {issuer} is of no CA that is trusted or stands below one that is, as far as this issuer \
         tells, or is not signed by it"
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
    #[error(
        "the revocation lists are too many: of a certificate there may be {MAX_CRLS}, and together {MAX_CRLS_BYTES} bytes"
    )]
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
    pub fn read(der: impl Into<CrlDer>) -> Result<Self, CrlError> {
        let der = der.into();
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
        let extension = |oid: &Oid<'_>| {
            let found = list.tbs_cert_list.find_extension(oid);
            found.map(|found| found.value.to_vec()).unwrap_or_default()
        };
        let about = About {
            issuer: list.issuer().as_raw().to_vec(),
            key: extension(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER),
            scope: extension(&OID_X509_EXT_ISSUER_DISTRIBUTION_POINT),
        };
        let mut serials: Vec<_> = list
            .iter_revoked_certificates()
            .map(|revoked| revoked.raw_serial())
            .collect();
        serials.sort_unstable();
        let mut all = Vec::new();
        for serial in serials {
            all.extend((serial.len() as u64).to_be_bytes());
            all.extend(serial);
        }
        let number = list.crl_number().map(|number| number.to_bytes_be());
        Ok(Self {
            issuer,
            from,
            until,
            number: number.unwrap_or_default(),
            about,
            revoked: Fingerprint::of(&all),
            der: Rc::clone(&der),
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

    /// When half of it is over: from then on one that says the same takes its place.
    fn half_over(&self) -> Option<Timestamp> {
        let life = schedule::between(self.from, self.until?);
        Some(schedule::after(self.from, life / 2))
    }

    /// When to look for a newer one, lest it comes to its end in use: when half of it is over, and from then on whenever half
    /// of the rest is. `None` where it has no end, or that has passed.
    pub fn look_again(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.until.filter(|until| *until > now)?;
        let half = self.half_over().filter(|half| *half > now);
        Some(half.unwrap_or_else(|| schedule::after(now, schedule::between(now, until) / 2)))
    }

    /// Whether it is about the same certificates. Where a list does not tell by which key of its CA's it is signed, one of
    /// these has signed both.
    pub(crate) fn is_about_the_same(
        &self,
        other: &Self,
        authorities: &[CertificateDer<'_>],
    ) -> bool {
        let signed_both = |authority: &CertificateDer<'_>| {
            let authority = std::slice::from_ref(authority);
            [self, other]
                .iter()
                .all(|list| list.is_signed_by_one_of(authority).is_ok())
        };
        self.about == other.about
            && (!self.about.key.is_empty() || authorities.iter().any(signed_both))
    }

    /// The name of the CA that issued it, in DER.
    pub(crate) fn issuer_der(&self) -> &[u8] {
        &self.about.issuer
    }

    /// Whether it may be published from now on: one of these signed it, and it is of today.
    pub(crate) fn judge(
        &self,
        authorities: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), CrlError> {
        self.is_signed_by_one_of(authorities)?;
        let (issuer, from) = (self.issuer.clone(), self.from);
        match self.until {
            _ if from > now => Err(CrlError::Early { issuer, from }),
            Some(until) if until <= now => Err(CrlError::Ended { issuer, until }),
            _ => Ok(()),
        }
    }

    /// Whether it should be published instead of one about the same. One that names nobody else is left until that one is
    /// half over: each new list makes services reload.
    pub(crate) fn takes_the_place_of(&self, held: &Self, now: Timestamp) -> bool {
        let number = |list: &Self| (list.number.len(), list.number.clone());
        if (self.from, number(self)) <= (held.from, number(held)) {
            return false;
        }
        self.revoked != held.revoked || held.half_over().is_some_and(|half| half < now)
    }

    fn is_signed_by_one_of(&self, authorities: &[CertificateDer<'_>]) -> Result<(), CrlError> {
        let issuer = self.issuer.clone();
        let mut refused = CrlError::Foreign {
            issuer: issuer.clone(),
        };
        let (_, list) = CertificateRevocationList::from_der(&self.der)
            .map_err(|error| CrlError::Malformed(error.to_string()))?;
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
                return Ok(());
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
    // Nor may it turn the line around or break it in other ways.
    let breaks = |letter: &char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let printable = name.chars().filter(|letter| !breaks(letter));
    printable.take(LONGEST_NAME).collect()
}
