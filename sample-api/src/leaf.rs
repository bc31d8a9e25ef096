//! The facts of one certificate that are shown to people: serial and validity.
//!
//! Owns: how they are written (lower-case hex, RFC 3339), the same everywhere.
//! Never does: judge. Neighbours: [`crate::tls`] and [`crate::identity`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

/// Serial and validity of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Lower-case hex, two digits a byte, without the zero byte that DER puts before a high first bit.
    pub serial: String,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// The last second in which it is valid.
    pub not_after: SystemTime,
}

impl Leaf {
    /// Reads them from a parsed certificate.
    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let serial = certificate.raw_serial();
        let serial = match serial {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        Self {
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            not_before: time(certificate.validity().not_before),
            not_after: time(certificate.validity().not_after),
        }
    }

    /// Whether it is valid at that time.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// A time as RFC 3339 in UTC, to the second.
pub fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .and_then(|time| time.round(jiff::Unit::Second))
        .map_or_else(|_| "out of range".to_owned(), |time| time.to_string())
}

pub(crate) fn time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}
