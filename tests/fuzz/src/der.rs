//! A small PKI in DER, the same bytes in each run: Ed25519 signs alike each time, and the keys are no secret.
//!
//! Built by hand, so that a target can put anything at all into a certificate that is signed all the same.

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls_pki_types::CertificateDer;

/// When all of this takes place: 2026-06-01T00:00:00Z, in seconds since 1970.
pub const NOW: u64 = 1_780_272_000;

/// [`NOW`] as the system tells it.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// One of the keys.
pub struct Key(u8);

/// The CA's.
pub const CA: Key = Key(1);
/// Of a client and of a server.
pub const END: Key = Key(2);
/// Of a CA and an end that nobody knows.
pub const STRANGER: Key = Key(3);

impl Key {
    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).expect("a seed has 32 bytes")
    }

    /// In PKCS#8.
    pub fn pkcs8(&self) -> Vec<u8> {
        let seed = tlv(0x04, &[&tlv(0x04, &[&[self.0; 32]])]);
        tlv(0x30, &[&[2, 1, 0], &ED25519, &seed])
    }

    /// The subject public key info.
    pub fn public(&self) -> Vec<u8> {
        let key = tlv(0x03, &[&[0], self.pair().public_key().as_ref()]);
        tlv(0x30, &[&ED25519, &key])
    }

    /// What is to be signed, its algorithm and the signature over it: the form of certificates and lists.
    pub fn sign(&self, content: &[u8]) -> Vec<u8> {
        let signature = self.pair().sign(content);
        let signature = tlv(0x03, &[&[0], signature.as_ref()]);
        tlv(0x30, &[content, &ED25519, &signature])
    }
}

/// The algorithm identifier.
pub const ED25519: [u8; 7] = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

/// One element.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    match content.len() {
        short @ ..0x80 => element.push(short as u8),
        byte @ ..0x100 => element.extend([0x81, byte as u8]),
        long => element.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    element.extend(content);
    element
}

/// A name with one common name.
pub fn name(common: &str) -> Vec<u8> {
    let value = tlv(0x0c, &[common.as_bytes()]);
    let pair = tlv(0x30, &[&[6, 3, 0x55, 4, 3], &value]);
    tlv(0x30, &[&tlv(0x31, &[&pair])])
}

/// An extension of `id-ce` by its last number; critical or not.
pub fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(
        0x30,
        &[&[6, 3, 0x55, 0x1d, number], critical, &tlv(0x04, &[value])],
    )
}

/// The subject alternative names: an extension of `GeneralName`s.
pub fn names(general: &[u8]) -> Vec<u8> {
    extension(17, false, &tlv(0x30, &[general]))
}

/// For clients and servers.
pub fn usages() -> Vec<u8> {
    const CLIENT: [u8; 10] = [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
    const SERVER: [u8; 10] = [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    extension(37, false, &tlv(0x30, &[&CLIENT, &SERVER]))
}

/// A certificate of 2026 to 2099; `extensions` one after the other.
pub fn certificate(
    serial: u8,
    subject: &[u8],
    key: &Key,
    extensions: &[u8],
    issuer: &Key,
) -> Vec<u8> {
    let validity = tlv(
        0x30,
        &[
            &tlv(0x17, &[b"260101000000Z"]),
            &tlv(0x18, &[b"20991231235959Z"]),
        ],
    );
    let content = tlv(
        0x30,
        &[
            &[0xa0, 3, 2, 1, 2],
            &[2, 1, serial],
            &ED25519,
            &name(&issuer.named()),
            &validity,
            subject,
            &key.public(),
            &tlv(0xa3, &[&tlv(0x30, &[extensions])]),
        ],
    );
    issuer.sign(&content)
}

impl Key {
    fn named(&self) -> String {
        format!("CA {}", self.0)
    }

    /// The certificate of a CA with this key.
    pub fn ca(&self) -> CertificateDer<'static> {
        let constraints = extension(19, true, &[0x30, 3, 1, 1, 0xff]);
        certificate(1, &name(&self.named()), self, &constraints, self).into()
    }

    /// A leaf with the serial and a DNS name, for [`END`], issued by this key.
    pub fn leaf(&self, serial: u8, dns: &str) -> CertificateDer<'static> {
        let extensions = [names(&tlv(0x82, &[dns.as_bytes()])), usages()].concat();
        certificate(serial, &name("end"), &END, &extensions, self).into()
    }
}

/// The content of a list of [`CA`] that is of [`NOW`], to be signed by it: with these entries and extensions.
pub fn list(revoked: &[u8], extensions: &[u8]) -> Vec<u8> {
    let revoked = match revoked.is_empty() {
        true => Vec::new(),
        false => tlv(0x30, &[revoked]),
    };
    tlv(
        0x30,
        &[
            &[2, 1, 1],
            &ED25519,
            &name(&CA.named()),
            &tlv(0x17, &[b"260501000000Z"]),
            &tlv(0x17, &[b"260701000000Z"]),
            &revoked,
            &tlv(0xa0, &[&tlv(0x30, &[extensions])]),
        ],
    )
}

/// An entry of a list.
pub fn revoked(serial: u8) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, serial], &tlv(0x17, &[b"260502000000Z"])])
}

/// The number that every list must have.
pub fn number() -> Vec<u8> {
    extension(20, false, &[2, 1, 7])
}
