//! What a leaf certificate says, read once and kept in the record.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::names::San;
use crate::request::Usages;

/// A SHA-256 digest, shown in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&digest::digest(&digest::SHA256, bytes))
    }

    pub(crate) fn from_digest(digest: &digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&digest.as_ref()[..32]);
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn hex(bytes: &[u8]) -> String {
    // A record is full of digests: no allocation per byte.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no SHA-256 digest: expected 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A certificate's serial number: the DER integer's bytes in lower-case hex (a leading `00` that only
/// keeps the integer positive is left out).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Serial(String);

impl Serial {
    /// From the bytes of the DER integer.
    pub fn from_der(bytes: &[u8]) -> Self {
        let significant = match bytes {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        Self(hex(significant))
    }

    /// Lower-case hex.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a leaf says, as far as renewd decides by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafFacts {
    /// The serial number.
    pub serial: Serial,
    /// SHA-256 of the DER.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the DER of the subject public key info.
    pub key_fingerprint: Fingerprint,
    /// The first instant of its validity.
    pub not_before: Timestamp,
    /// The last instant of its validity.
    pub not_after: Timestamp,
    /// Its subject alternative names, sorted; those that [`San`] cannot hold as their text.
    pub names: Vec<String>,
    /// Its extended key usages; both when it has no such extension (RFC 5280, section 4.2.1.12).
    pub usages: Usages,
    /// Whether basic constraints say that it is a CA.
    pub is_ca: bool,
}

/// Why a leaf could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not DER of an X.509 certificate.
    #[error("not an X.509 certificate: {0}")]
    NotX509(String),
    /// A date outside what can be handled.
    #[error("the certificate's validity is out of range")]
    Validity,
}

impl LeafFacts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate, or its dates are out of range.
    pub fn from_der(der: &[u8]) -> Result<Self, LeafError> {
        let (rest, certificate) = X509Certificate::from_der(der)
            .map_err(|error| LeafError::NotX509(error.to_string()))?;
        if !rest.is_empty() {
            return Err(LeafError::NotX509("bytes follow the certificate".into()));
        }
        let instant = |seconds| Timestamp::from_second(seconds).map_err(|_| LeafError::Validity);
        let mut names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension
                .value
                .general_names
                .iter()
                .map(name_text)
                .collect(),
            _ => Vec::new(),
        };
        names.sort();
        names.dedup();
        let usages = match certificate.extended_key_usage() {
            Ok(Some(extension)) => Usages {
                server: extension.value.server_auth || extension.value.any,
                client: extension.value.client_auth || extension.value.any,
            },
            _ => Usages {
                server: true,
                client: true,
            },
        };
        Ok(Self {
            serial: Serial::from_der(certificate.raw_serial()),
            fingerprint: Fingerprint::of(der),
            key_fingerprint: Fingerprint::of(certificate.public_key().raw),
            not_before: instant(certificate.validity().not_before.timestamp())?,
            not_after: instant(certificate.validity().not_after.timestamp())?,
            names,
            usages,
            is_ca: certificate.is_ca(),
        })
    }

    /// The first DNS name, or else the first IP address: the server name that a probe asks for.
    pub fn server_name(&self) -> Option<San> {
        let sans = || {
            self.names
                .iter()
                .filter_map(|name| name.parse::<San>().ok())
        };
        sans()
            .find(|san| matches!(san, San::Dns(name) if !name.starts_with('*')))
            .or_else(|| sans().find(|san| matches!(san, San::Ip(_))))
    }
}

fn name_text(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(text) => text.to_ascii_lowercase(),
        GeneralName::URI(text) => (*text).to_owned(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).map(|octets| IpAddr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).map(|octets| IpAddr::from(octets).to_string()),
        }
        .unwrap_or_else(|_| format!("ip:{}", hex(bytes))),
        other => format!("{other:?}"),
    }
}
