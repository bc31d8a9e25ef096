//! The certificates in an answer: a CMS message that signs nothing (RFC 7030, section 4.1.3; RFC 5272, section 4.1).

use cms::cert::x509::der::asn1::Any;
use cms::cert::x509::der::{Decode, Tag, TagNumber, Tagged};
use cms::content_info::ContentInfo;
use renewd_core::accept::MAX_CHAIN;
use renewd_core::leaf::{Fingerprint, LeafFacts};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::body;

/// `id-signedData` (RFC 5652, section 5.1).
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
/// What a certificate begins with; other kinds of them (RFC 5652, section 10.2.2) are of no use here.
const SEQUENCE: u8 = 0x30;
const CERTIFICATES: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber::N0,
};
/// Each certificate is compared with each, and each that could be a root is verified.
const MOST_BYTES: usize = 128 * 1024;

/// The certificates of a message, each once and byte by byte as it came: whoever verifies them judges them, so that one
/// that is odd spoils nothing but itself.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read(body: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let ber = body::decode(body).map_err(|error| format!("it is no base64: {error}"))?;
    if ber.len() > MOST_BYTES {
        return Err(format!("it is longer than {MOST_BYTES} bytes"));
    }
    let der = body::definite(&ber).ok_or("it is no PKCS#7")?;
    let message =
        ContentInfo::from_der(&der).map_err(|error| format!("it is no PKCS#7: {error}"))?;
    if message.content_type.to_string() != SIGNED_DATA {
        return Err(format!(
            "it is PKCS#7 of the type {}, not one with certificates",
            message.content_type
        ));
    }
    let unreadable = |error| format!("its PKCS#7 cannot be read: {error}");
    // Version, algorithms, content, certificates, revocation lists, signers (RFC 5652, section 5.1). The library's own
    // type refuses the whole where a certificate stands twice, or is of a kind that it does not know.
    let parts: Vec<Any> = message.content.decode_as().map_err(unreadable)?;
    let content = parts
        .get(2)
        .ok_or("its PKCS#7 cannot be read: it ends early")?;
    let content: Vec<Any> = content.decode_as().map_err(unreadable)?;
    let signed = parts.iter().skip(3);
    let signed = signed.filter(|part| part.tag() == Tag::Set && !part.value().is_empty());
    if content.len() > 1 || signed.count() > 0 {
        return Err("its PKCS#7 has a signed content, and should have certificates alone".into());
    }
    let bag = parts.iter().find(|part| part.tag() == CERTIFICATES);
    let bag = bag.map_or(&[][..], Any::value);
    let all = body::elements(bag).ok_or("its PKCS#7 cannot be read: it ends early")?;
    let all: Vec<&[u8]> = all.into_iter().filter(|one| one[0] == SEQUENCE).collect();
    if all.is_empty() {
        return Err("no certificate is in it".into());
    }
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    for one in all {
        let whole = X509Certificate::from_der(one).is_ok_and(|(rest, _)| rest.is_empty());
        if whole && !certificates.iter().any(|known| **known == *one) {
            certificates.push(CertificateDer::from(one.to_vec()));
        }
    }
    match certificates.is_empty() {
        true => Err("the certificates in it cannot be read".into()),
        false => Ok(certificates),
    }
}

/// Those that are CAs and have signed themselves: anchors. What else a CA sends beside them helps to build chains, as do
/// old and new roots that have signed each other (RFC 7030, section 4.1.3).
pub(super) fn roots(certificates: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let roots = certificates.iter().filter(|der| is_root(der));
    roots.cloned().collect()
}

fn is_root(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.is_ca()
            && certificate.subject().as_raw() == certificate.issuer().as_raw()
            && certificate.verify_signature(None).is_ok()
    })
}

/// The one for that key.
pub(super) fn leaf<'a>(
    certificates: &'a [CertificateDer<'static>],
    key: &Fingerprint,
) -> Option<&'a CertificateDer<'static>> {
    certificates
        .iter()
        .find(|der| LeafFacts::from_der(der).is_ok_and(|facts| facts.key_fingerprint == *key))
}

/// Those that may stand between the leaf and its anchor, nearest first: whoever is named as an issuer, and so on. An
/// answer has the leaf alone (RFC 7030, section 4.2.3), or more than is of use.
pub(super) fn chain(
    leaf: &CertificateDer<'static>,
    pool: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf.clone()];
    let mut at = 0;
    while at < chain.len() && chain.len() <= MAX_CHAIN {
        let above = issuers(&chain[at], pool);
        for der in above {
            if !chain.contains(der) && chain.len() <= MAX_CHAIN {
                chain.push(der.clone());
            }
        }
        at += 1;
    }
    chain.remove(0);
    chain
}

fn issuers<'a>(of: &[u8], pool: &'a [CertificateDer<'static>]) -> Vec<&'a CertificateDer<'static>> {
    let Ok((_, of)) = X509Certificate::from_der(of) else {
        return Vec::new();
    };
    let named = |der: &&CertificateDer<'static>| {
        X509Certificate::from_der(der).is_ok_and(|(_, above)| {
            above.is_ca()
                && above.subject().as_raw() == of.issuer().as_raw()
                && above.subject().as_raw() != above.issuer().as_raw()
        })
    };
    pool.iter().filter(named).collect()
}
