//! Names that become paths, unit names, labels or subject alternative names. Each is a newtype that
//! cannot hold a value that would be dangerous in its place.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no such name; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a certificate's (or issuer's) name.
    #[error(
        "{0:?} is no name: expected 1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit"
    )]
    Label(String),
    /// Not a systemd unit's full name.
    #[error("{0:?} is no unit name: expected a full name such as \"nginx.service\"")]
    Unit(String),
    /// Not a systemd credential's name.
    #[error(
        "{0:?} is no credential's name: expected 1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit"
    )]
    Credential(String),
    /// Not a DNS name, IP address or URI.
    #[error("{0:?} is no DNS name, IP address or SPIFFE ID")]
    San(String),
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

fn is_label(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
}

/// The name of a managed certificate: the stem of its file in `certs.d`. Safe as a path component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateName(String);

text_newtype!(CertificateName);

impl FromStr for CertificateName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Label(text.to_owned()))
        }
    }
}

/// The name of a configured issuer. Safe as a path component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerName(String);

text_newtype!(IssuerName);

impl FromStr for IssuerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Label(text.to_owned()))
        }
    }
}

/// The full name of a systemd unit (`systemd.unit(5)`): at most 255 characters of the allowed set,
/// and a known type suffix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

text_newtype!(UnitName);

impl FromStr for UnitName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const SUFFIXES: [&str; 4] = ["service", "socket", "target", "timer"];
        let valid = text.len() <= 255
            && text
                .rsplit_once('.')
                .is_some_and(|(stem, suffix)| !stem.is_empty() && SUFFIXES.contains(&suffix))
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
            && !text.starts_with('@')
            && !text
                .split_once('@')
                .is_some_and(|(_, rest)| rest.starts_with('.'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Unit(text.to_owned()))
        }
    }
}

/// The name of a systemd credential (`systemd.exec(5)`, `LoadCredential=`). Safe as a path component, and
/// narrower than what systemd takes: nothing in it means anything in a unit file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName(String);

text_newtype!(CredentialName);

impl FromStr for CredentialName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Credential(text.to_owned()))
        }
    }
}

/// A subject alternative name: the only names a certificate gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum San {
    /// A DNS name in lower case, a leading `*.` allowed (RFC 5280, section 4.2.1.6; RFC 6125, section 6.4.3).
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// A SPIFFE ID (`spiffe://trust-domain/path`, SPIFFE ID specification, section 2).
    Uri(String),
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl From<San> for String {
    fn from(name: San) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for San {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl FromStr for San {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        if is_spiffe_id(text) {
            return Ok(Self::Uri(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        if is_dns_name(lower.strip_prefix("*.").unwrap_or(&lower)) {
            return Ok(Self::Dns(lower));
        }
        Err(NameError::San(text.to_owned()))
    }
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // An all-numeric last label is an IP address gone wrong, such as 10.0.0.256.
    let numeric_end = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (1..=253).contains(&text.len()) && text.split('.').all(label) && !numeric_end
}

fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else {
        return false;
    };
    let (domain, path) = rest
        .split_once('/')
        .map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let domain_ok = (1..=255).contains(&domain.len())
        && domain.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte)
        });
    let segment_ok = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    text.len() <= 2048 && domain_ok && path.is_none_or(|path| path.split('/').all(segment_ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "-a",
            ".a",
            "a b",
            "ä",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<CertificateName>().is_err(), "{bad:?}");
        }
        for good in ["api", "api.example-1", "A_b", "x@y"] {
            assert!(good.parse::<CertificateName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn unit_names_need_a_stem_and_a_known_suffix() {
        for bad in [
            "nginx",
            ".service",
            "a b.service",
            "x.servic",
            "a/b.service",
            "@x.service",
            "x@.service",
        ] {
            assert!(bad.parse::<UnitName>().is_err(), "{bad:?}");
        }
        for good in [
            "nginx.service",
            "postgresql@15-main.service",
            "a\\x2db.service",
            "x:y.target",
        ] {
            assert!(good.parse::<UnitName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn subject_names_are_dns_names_addresses_or_spiffe_ids() {
        assert_eq!(
            "API.example.Org".parse(),
            Ok(San::Dns("api.example.org".into()))
        );
        assert_eq!(
            "*.example.org".parse(),
            Ok(San::Dns("*.example.org".into()))
        );
        assert_eq!("::1".parse(), Ok(San::Ip("::1".parse().unwrap())));
        assert_eq!(
            "spiffe://td/a/b".parse(),
            Ok(San::Uri("spiffe://td/a/b".into()))
        );
        for bad in [
            "",
            "a..b",
            "-a.b",
            "10.0.0.256",
            "a b",
            "http://x/",
            "spiffe://",
            "spiffe://TD/a",
            "spiffe://td/",
            "spiffe://td/..",
            "*.*.a",
        ] {
            assert!(bad.parse::<San>().is_err(), "{bad:?}");
        }
    }
}
