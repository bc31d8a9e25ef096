//! SHA-256 of a certificate: how a trust anchor is named in a policy.
//!
//! Owns: how it is written (64 hex digits). Never does: decide. Neighbours: [`crate::trust`], [`crate::policy`].

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// The SHA-256 of DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of one certificate's DER.
    pub fn of(der: &[u8]) -> Self {
        Self::finish(|context| context.update(der))
    }

    /// Of several as they were sent. With the length of each: what a client sends need not be DER, and where one ends
    /// must not be open.
    pub fn of_all<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::finish(|context| {
            for der in all {
                context.update(&der.len().to_be_bytes());
                context.update(der);
            }
        })
    }

    fn finish(write: impl FnOnce(&mut digest::Context)) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        write(&mut context);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it, with or without colons, in either case.
impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b':')
            .map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()
            .ok_or(NotAFingerprint)?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        match (<[u8; 32]>::try_from(bytes), rest) {
            (Ok(bytes), []) => Ok(Self(bytes)),
            _ => Err(NotAFingerprint),
        }
    }
}

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: 64 hex digits, as `openssl x509 -noout -fingerprint -sha256` prints them")]
pub struct NotAFingerprint;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
