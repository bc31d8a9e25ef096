//! The subject of a certificate that is held, for the request that renews it: a CA may compare the two (RFC 7030,
//! section 4.2.2).

use rcgen::string::{Ia5String, PrintableString};
use rcgen::{DistinguishedName, DnType, DnValue};
use rustls_pki_types::CertificateDer;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

/// The subject of a leaf; empty where it has parts that no request of ours can repeat.
pub(super) fn of(leaf: &CertificateDer<'_>) -> DistinguishedName {
    let read = X509Certificate::from_der(leaf);
    let parts = read.ok().and_then(|(_, leaf)| {
        let each = leaf.subject().iter().map(|rdn| {
            let mut attributes = rdn.iter();
            let (first, more) = (attributes.next()?, attributes.next());
            if more.is_some() {
                return None;
            }
            part(first)
        });
        each.collect::<Option<Vec<_>>>()
    });
    let mut subject = DistinguishedName::new();
    for (kind, value) in parts.unwrap_or_default() {
        // What stands twice, rcgen keeps once, which would be another subject.
        if subject.get(&kind).is_some() {
            return DistinguishedName::new();
        }
        subject.push(kind, value);
    }
    subject
}

fn part(attribute: &AttributeTypeAndValue<'_>) -> Option<(DnType, DnValue)> {
    let kind: Vec<u64> = attribute.attr_type().iter()?.collect();
    let value = attribute.attr_value();
    let text = std::str::from_utf8(value.data).ok()?;
    let value = match value.header.tag() {
        Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
        Tag::PrintableString => DnValue::PrintableString(PrintableString::try_from(text).ok()?),
        Tag::Ia5String => DnValue::Ia5String(Ia5String::try_from(text).ok()?),
        _ => return None,
    };
    Some((DnType::from_oid(&kind), value))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use x509_parser::certification_request::X509CertificationRequest;

    use super::super::PrivateKey;
    use super::*;
    use renewd_core::request::{KeyType, Request, Usages};

    /// The subjects of a leaf and of the request that renews it.
    fn subjects(name: DistinguishedName) -> (Vec<u8>, Vec<u8>) {
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let request = Request {
            issuer: "est".parse().unwrap(),
            directory: None,
            names: vec!["a.test".parse().unwrap()],
            lifetime: std::time::Duration::from_secs(3600),
            key_type: KeyType::default(),
            usages: Usages::default(),
        };
        let key = PrivateKey::generate(KeyType::default()).unwrap();
        let csr = key.request_again(&request, leaf.der()).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&csr).unwrap();
        let (_, leaf) = X509Certificate::from_der(leaf.der()).unwrap();
        (
            leaf.subject().as_raw().to_vec(),
            csr.certification_request_info.subject.as_raw().to_vec(),
        )
    }

    #[test]
    fn a_subject_is_repeated_bit_for_bit_or_left_out() {
        let mut name = DistinguishedName::new();
        name.push(
            DnType::CountryName,
            DnValue::PrintableString("DE".try_into().unwrap()),
        );
        name.push(DnType::OrganizationName, "Ünited");
        name.push(DnType::CommonName, "a.test");
        name.push(
            DnType::from_oid(&[0, 9, 2342, 19200300, 100, 1, 25]),
            DnValue::Ia5String("test".try_into().unwrap()),
        );
        let (held, asked) = subjects(name);
        assert_eq!(held, asked);
        let (held, asked) = subjects(DistinguishedName::new());
        assert_eq!(held, asked);
        // A type of text that we do not write.
        let mut name = DistinguishedName::new();
        name.push(
            DnType::CommonName,
            DnValue::TeletexString("a".try_into().unwrap()),
        );
        let (held, asked) = subjects(name);
        assert!(held.len() > asked.len());
        assert_eq!(asked, [0x30, 0]);
    }
}
