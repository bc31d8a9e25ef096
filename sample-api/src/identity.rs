//! Who the caller is.
//!
//! Owns: the one rule that turns a client certificate into one identity, or refuses it.
//! Never does: verify the certificate (the handshake did), or decide what the identity may do.
//! Neighbours: [`crate::trust`] asks once per handshake, [`crate::access`] refuses who has none.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use x509_parser::asn1_rs::{Any, Class};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fingerprint::Fingerprint;
use crate::leaf::Leaf;

/// Exactly one name, taken from the subject alternative names of a verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The name.
    #[serde(rename = "identity")]
    pub name: String,
    /// What sort of name it is.
    pub kind: Kind,
}

/// The sort of name that an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A URI, such as a SPIFFE ID.
    Uri,
    /// A DNS name, in lower case.
    Dns,
    /// A common name; only where the configuration allows it.
    Cn,
}

/// A client, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is, or why that cannot be said.
    pub identity: Result<Identity, IdentityError>,
    /// The serial of its certificate; empty where that could not be parsed.
    pub serial: String,
    /// The last second in which its certificate is valid.
    pub not_after: SystemTime,
    /// The SHA-256 of its certificate.
    pub fingerprint: Fingerprint,
}

impl Peer {
    /// Reads the client's certificate, which the handshake has verified.
    ///
    /// With `common_name`, a certificate without a URI and a DNS name is known by its one common name.
    pub fn of(certificate: &CertificateDer<'_>, common_name: bool) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Self {
                identity: Err(IdentityError::Malformed),
                serial: String::new(),
                // Nothing is known of its end: it has ended.
                not_after: SystemTime::UNIX_EPOCH,
                fingerprint: Fingerprint::of(certificate),
            };
        };
        let leaf = Leaf::of(&parsed);
        Self {
            identity: identity(&parsed, common_name),
            serial: leaf.serial,
            not_after: leaf.not_after,
            fingerprint: Fingerprint::of(certificate),
        }
    }
}

/// Why a certificate gives no identity. The texts are for the caller: they repeat nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// More than one URI.
    #[error("the client certificate has more than one URI name")]
    ManyUris,
    /// No URI, and more than one DNS name.
    #[error("the client certificate has no URI name and more than one DNS name")]
    ManyDnsNames,
    /// Neither.
    #[error("the client certificate has neither a URI name nor a DNS name")]
    Nameless,
    /// Names count by the common name only, and there is none, or more than one.
    #[error("the client certificate has no URI name, no DNS name and not exactly one common name")]
    CommonNames,
    /// A DNS name with a wildcard stands for many callers.
    #[error("the client certificate's DNS name is a wildcard")]
    Wildcard,
    /// The certificate, its names, or the characters in them.
    #[error("the client certificate's names cannot be read")]
    Malformed,
}

/// Exactly one URI name; with none, exactly one DNS name; with neither, if allowed, exactly one common name;
/// anything else is refused.
///
/// Choosing one of several would let a certificate that was issued for one purpose speak for another.
fn identity(
    certificate: &X509Certificate<'_>,
    common_name: bool,
) -> Result<Identity, IdentityError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Malformed)?
        .map_or(&[][..], |extension| &extension.value.general_names);
    let raw = certificate
        .get_extension_unique(&OID_X509_EXT_SUBJECT_ALT_NAME)
        .map_err(|_| IdentityError::Malformed)?;
    if raw.is_some_and(|extension| !are_names(extension.value)) {
        return Err(IdentityError::Malformed);
    }
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::Invalid(..) => return Err(IdentityError::Malformed),
            _ => {}
        }
    }
    let (name, kind) = match (uris.as_slice(), dns.as_slice()) {
        ([uri], _) => ((*uri).to_owned(), Kind::Uri),
        ([], [name]) if name.contains('*') => return Err(IdentityError::Wildcard),
        ([], [name]) => (name.to_ascii_lowercase(), Kind::Dns),
        ([], []) if common_name => {
            let mut names = certificate.subject().iter_common_name();
            match (names.next(), names.next()) {
                (Some(name), None) => {
                    let name = name.as_str().map_err(|_| IdentityError::Malformed)?;
                    (name.to_owned(), Kind::Cn)
                }
                _ => return Err(IdentityError::CommonNames),
            }
        }
        ([], []) => return Err(IdentityError::Nameless),
        ([], _) => return Err(IdentityError::ManyDnsNames),
        _ => return Err(IdentityError::ManyUris),
    };
    // It goes into log lines and headers: no control characters, no spaces, nothing beyond ASCII. Common names are
    // written for people, with spaces in between.
    let printable = |byte: u8| byte.is_ascii_graphic() || (kind == Kind::Cn && byte == b' ');
    if name.trim() != name || name.is_empty() || !name.bytes().all(printable) {
        return Err(IdentityError::Malformed);
    }
    Ok(Identity { name, kind })
}

/// Whether each name has the form that its kind has in DER (RFC 5280, appendix A.2). The parser takes others as well,
/// and the verifier does not see them.
fn are_names(extension: &[u8]) -> bool {
    let Ok((_, all)) = Any::from_der(extension) else {
        return false;
    };
    let mut rest = all.data;
    while !rest.is_empty() {
        let Ok((after, name)) = Any::from_der(rest) else {
            return false;
        };
        // Other names, X.400 addresses, directory names and EDI parties have parts; the rest is plain.
        let has_parts = matches!(name.tag().0, 0 | 3..=5);
        if name.class() != Class::ContextSpecific || name.header.constructed() != has_parts {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn peer(names: &[&str]) -> Peer {
        let mut params = CertificateParams::default();
        params.serial_number = Some(vec![0x9f, 0x00, 0x0a].into());
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.split_once("//") {
                Some(_) => SanType::URI((*name).try_into().unwrap()),
                None if name.parse::<std::net::IpAddr>().is_ok() => {
                    SanType::IpAddress(name.parse().unwrap())
                }
                None => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Peer::of(certificate.der(), false)
    }

    fn name(names: &[&str]) -> Result<String, IdentityError> {
        peer(names).identity.map(|identity| identity.name)
    }

    #[test]
    fn one_uri_is_the_identity_whatever_else_there_is() {
        let id = "spiffe://example.internal/web";
        assert_eq!(name(&[id]).unwrap(), id);
        assert_eq!(
            name(&["a.example", id, "b.example", "127.0.0.1"]).unwrap(),
            id
        );
    }

    #[test]
    fn without_a_uri_one_dns_name_is_the_identity_in_lower_case() {
        assert_eq!(name(&["Web.Example", "127.0.0.1"]).unwrap(), "web.example");
    }

    #[test]
    fn a_name_in_a_form_that_the_verifier_does_not_read_is_refused() {
        // One URI name, as a context-specific element that claims to have parts, and as one of another class.
        for tag in [0xa6, 0x46, 0x06] {
            let mut params = CertificateParams::default();
            let names = [&[0x30, 14, tag, 12], &b"spiffe://a/b"[..]].concat();
            params
                .custom_extensions
                .push(rcgen::CustomExtension::from_oid_content(
                    &[2, 5, 29, 17],
                    names,
                ));
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let peer = Peer::of(certificate.der(), false);
            assert_eq!(peer.identity, Err(IdentityError::Malformed), "{tag:x}");
        }
    }

    #[test]
    fn two_of_a_kind_are_refused() {
        assert_eq!(
            name(&["spiffe://a/1", "spiffe://a/2"]),
            Err(IdentityError::ManyUris)
        );
        assert_eq!(
            name(&["spiffe://a/1", "spiffe://a/1"]),
            Err(IdentityError::ManyUris)
        );
        assert_eq!(
            name(&["a.example", "b.example"]),
            Err(IdentityError::ManyDnsNames)
        );
    }

    #[test]
    fn no_name_is_refused_and_an_address_or_common_name_is_none() {
        assert_eq!(name(&[]), Err(IdentityError::Nameless));
        assert_eq!(name(&["127.0.0.1"]), Err(IdentityError::Nameless));
    }

    #[test]
    fn wildcards_and_characters_that_forge_log_lines_are_refused() {
        assert_eq!(name(&["*.example"]), Err(IdentityError::Wildcard));
        assert_eq!(
            name(&["spiffe://a/x\nidentity=root"]),
            Err(IdentityError::Malformed)
        );
        assert_eq!(name(&["spiffe://a/x y"]), Err(IdentityError::Malformed));
    }

    #[test]
    fn a_common_name_counts_only_by_setting_alone_and_without_other_names() {
        let known = |names: &[&str], dns: &[&str], setting: bool| {
            let mut params = CertificateParams::new(
                dns.iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            )
            .unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (index, name) in names.iter().enumerate() {
                // rcgen keeps one value per type; the second goes in as the same type by its number.
                let kind = match index {
                    0 => rcgen::DnType::CommonName,
                    _ => rcgen::DnType::CustomDnType(vec![2, 5, 4, 3]),
                };
                params.distinguished_name.push(kind, *name);
            }
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            Peer::of(certificate.der(), setting)
                .identity
                .map(|identity| (identity.name, identity.kind))
        };
        assert_eq!(
            known(&["Old Client"], &[], true),
            Ok(("Old Client".to_owned(), Kind::Cn))
        );
        assert_eq!(
            known(&["Old Client"], &[], false),
            Err(IdentityError::Nameless)
        );
        assert_eq!(
            known(&["x"], &["a.example"], true),
            Ok(("a.example".to_owned(), Kind::Dns))
        );
        assert_eq!(
            known(&["x"], &["a.example", "b.example"], true),
            Err(IdentityError::ManyDnsNames)
        );
        assert_eq!(known(&[], &[], true), Err(IdentityError::CommonNames));
        assert_eq!(
            known(&["a", "b"], &[], true),
            Err(IdentityError::CommonNames)
        );
        assert_eq!(
            known(&["a\nidentity=b"], &[], true),
            Err(IdentityError::Malformed)
        );
        assert_eq!(known(&[" a"], &[], true), Err(IdentityError::Malformed));
    }

    #[test]
    fn garbage_is_refused() {
        let peer = Peer::of(&CertificateDer::from(&b"garbage"[..]), true);
        assert_eq!(peer.identity, Err(IdentityError::Malformed));
    }

    #[test]
    fn the_serial_is_plain_hex() {
        assert_eq!(peer(&["a.example"]).serial, "9f000a");
    }
}
