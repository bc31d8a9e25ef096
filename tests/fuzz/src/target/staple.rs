//! What an OCSP response says, signed by the CA whatever it is: what would be sent is about our certificate, and ends when it
//! says so.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::digest;
use renewd_sample_api::leaf::rfc3339;
use renewd_sample_api::staple;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::der::{self, CA, Key, STRANGER, tlv};

static CHAIN: LazyLock<[CertificateDer<'static>; 2]> =
    LazyLock::new(|| [CA.leaf(9, "api.example"), CA.ca()]);

pub(crate) fn run(data: &[u8]) {
    let chain = CHAIN
        .each_ref()
        .map(|der| X509Certificate::from_der(der).expect("ours").1);
    let check = |signer: &Key| staple::check(&response(signer, data), &chain, &[], der::now());
    assert!(check(&STRANGER).is_err(), "it is not signed by the CA");
    let Ok(until) = check(&CA) else { return };
    assert!(until >= der::now());
    let has = |part: &[u8]| data.windows(part.len()).any(|there| there == part);
    // With seconds and without a fraction, as the standard wants it; a fraction is cut off.
    let told = rfc3339(until).replace(['-', ':', 'T', 'Z'], "");
    assert!(has(told.as_bytes()), "{told} is nowhere");
    assert!(has(&[2, 1, 9]), "it is about another certificate");
    let [_, ca] = &chain;
    let key = &ca.public_key().subject_public_key.data;
    let hashes = [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256];
    let of_issuer = hashes.map(|hash| digest::digest(hash, key));
    assert!(of_issuer.iter().any(|hash| has(hash.as_ref())));
    let after = until + Duration::from_secs(1);
    assert!(staple::check(&response(&CA, data), &chain, &[], after).is_err());
}

fn response(signer: &Key, data: &[u8]) -> Vec<u8> {
    const BASIC: [u8; 11] = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let basic = tlv(0x04, &[&signer.sign(data)]);
    let bytes = tlv(0xa0, &[&tlv(0x30, &[&BASIC, &basic])]);
    tlv(0x30, &[&[0x0a, 1, 0], &bytes])
}

/// What is said of one certificate, by its serial.
fn single(sha256: bool, serial: u8, status: &[u8], until: &[u8]) -> Vec<u8> {
    const SHA1: &[u8] = &[0x30, 7, 6, 5, 0x2b, 14, 3, 2, 26];
    const SHA256: &[u8] = &[0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    let (name, algorithm) = match sha256 {
        true => (&digest::SHA256, SHA256),
        false => (&digest::SHA1_FOR_LEGACY_USE_ONLY, SHA1),
    };
    let [leaf, ca] = CHAIN
        .each_ref()
        .map(|der| X509Certificate::from_der(der).expect("ours").1);
    let hash = |bytes: &[u8]| tlv(0x04, &[digest::digest(name, bytes).as_ref()]);
    let id = tlv(
        0x30,
        &[
            algorithm,
            &hash(leaf.issuer().as_raw()),
            &hash(&ca.public_key().subject_public_key.data),
            &[2, 1, serial],
        ],
    );
    let from = tlv(0x18, &[b"20260531000000Z"]);
    tlv(0x30, &[&id, status, &from, until])
}

fn data(singles: &[u8]) -> Vec<u8> {
    let responder = tlv(0xa2, &[&tlv(0x04, &[&[7; 20]])]);
    let produced = tlv(0x18, &[b"20260531000000Z"]);
    tlv(0x30, &[&responder, &produced, &tlv(0x30, &[singles])])
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let until = tlv(0xa0, &[&tlv(0x18, &[b"20260607000000Z"])]);
    let good: &[u8] = &[0x80, 0];
    let revoked = tlv(0xa1, &[&tlv(0x18, &[b"20260530000000Z"])]);
    let both = [
        single(false, 8, &[0x82, 0], &until),
        single(false, 9, good, &until),
    ];
    vec![
        data(&single(false, 9, good, &until)),
        data(&single(true, 9, good, &until)),
        data(&single(false, 9, &revoked, &until)),
        data(&single(false, 9, good, &[])),
        data(&both.concat()),
    ]
}
