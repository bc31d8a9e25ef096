//! Who the caller is.
//!
//! Owns: the one rule that turns a client certificate into one identity, or refuses it.
//! Never does: verify the certificate (the handshake did), or decide what the identity may do.
//! Neighbours: [`crate::serve`] asks once per connection, [`crate::routes`] refuses who has none.

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A URI, such as a SPIFFE ID.
    Uri,
    /// A DNS name, in lower case.
    Dns,
}

/// The client of one connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who it is, or why that cannot be said.
    pub identity: Result<Identity, IdentityError>,
    /// The serial of its certificate; empty where that could not be parsed.
    pub serial: String,
    /// The generation of the server's certificate that this connection began with.
    pub generation: u64,
}

impl Peer {
    /// Reads the client's certificate, which the handshake has verified.
    pub fn of(certificate: &CertificateDer<'_>, generation: u64) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Self {
                identity: Err(IdentityError::Malformed),
                serial: String::new(),
                generation,
            };
        };
        Self {
            identity: identity(&parsed),
            serial: Leaf::of(&parsed).serial,
            generation,
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
    /// A DNS name with a wildcard stands for many callers.
    #[error("the client certificate's DNS name is a wildcard")]
    Wildcard,
    /// The certificate, its names, or the characters in them.
    #[error("the client certificate's names cannot be read")]
    Malformed,
}

/// Exactly one URI name; with none, exactly one DNS name; anything else is refused.
///
/// Choosing one of several would let a certificate that was issued for one purpose speak for another.
fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, IdentityError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Malformed)?
        .map_or(&[][..], |extension| &extension.value.general_names);
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
        ([], []) => return Err(IdentityError::Nameless),
        ([], _) => return Err(IdentityError::ManyDnsNames),
        _ => return Err(IdentityError::ManyUris),
    };
    // It goes into log lines and headers: no control characters, no spaces, nothing beyond ASCII.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(IdentityError::Malformed);
    }
    Ok(Identity { name, kind })
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
        Peer::of(certificate.der(), 7)
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
    fn garbage_is_refused() {
        let peer = Peer::of(&CertificateDer::from(&b"garbage"[..]), 7);
        assert_eq!(peer.identity, Err(IdentityError::Malformed));
    }

    #[test]
    fn the_serial_is_plain_hex() {
        assert_eq!(peer(&["a.example"]).serial, "9f000a");
    }
}
