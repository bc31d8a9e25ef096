//! The content of a revocation list, signed by the CA whatever it says: what is taken up is of today, and each serial
//! that one parser reads in it is revoked for the other, and refused in a handshake.

use std::time::UNIX_EPOCH;

use renewd_sample_api::crl::{self, CrlError, Found};
use renewd_sample_api::tls;
use renewd_sample_api::trust::{Material, Rules, Trust};
use rustls_pki_types::UnixTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::chain::CLIENTS;
use crate::der::{self, CA, NOW, STRANGER};

pub(crate) fn run(data: &[u8]) {
    let list = |key: &der::Key| Found {
        path: "crl.pem".into(),
        der: key.sign(data),
        published: false,
    };
    let ca = CA.ca();
    let (_, issuer) = X509Certificate::from_der(&ca).expect("ours");
    let issuers = [issuer];
    let by_stranger = crl::check(&[list(&STRANGER)], &issuers, der::now());
    assert!(by_stranger.is_err(), "it is not signed by the CA");
    let found = list(&CA);
    let checked = match crl::check(std::slice::from_ref(&found), &issuers, der::now()) {
        Ok(checked) => checked,
        Err(error) => return assert!(error.to_string().contains("crl.pem"), "{error}"),
    };
    assert!(
        !matches!(
            by_stranger,
            Err(CrlError::Malformed { .. } | CrlError::Foreign { .. })
        ),
        "the same bytes say the same"
    );
    let (_, parsed) = CertificateRevocationList::from_der(&found.der).expect("it was accepted");
    let now = NOW as i64;
    assert!(parsed.last_update().timestamp() <= now);
    let until = parsed.next_update().map(|until| until.timestamp());
    let ended = until.is_some_and(|until| until < now);
    let told = checked
        .until
        .map(|until| until.duration_since(UNIX_EPOCH).unwrap().as_secs());
    assert_eq!(told, until.map(|until| until as u64));
    let usable = &checked.lists[0];
    for entry in parsed.iter_revoked_certificates() {
        let serial = entry.raw_serial();
        let listed = usable.find_serial(serial);
        assert!(
            matches!(listed, Ok(Some(_))),
            "{serial:x?} is listed and not found: {listed:?}"
        );
    }
    let lists = vec![found.clone()];
    let material = Material::new(vec![ca.clone()], &[], lists, Rules::default());
    let algorithms = tls::provider().signature_verification_algorithms;
    let Ok(trust) = Trust::new(material, algorithms, der::now()) else {
        panic!("it was accepted before");
    };
    for (client, serial) in CLIENTS.iter().zip([5, 6]) {
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
        let judged = trust.judge(client, &[], now);
        let revoked = parsed
            .iter_revoked_certificates()
            .any(|entry| entry.raw_serial() == [serial]);
        assert!(
            !((revoked || ended) && judged.is_ok()),
            "serial {serial} is revoked, or nobody could know, and believed"
        );
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let entries = [der::revoked(6), der::revoked(9), der::revoked(5)];
    let reason = der::extension(21, false, &[0x0a, 1, 1]);
    let reasoned = der::tlv(
        0x30,
        &[
            &[2, 1, 6],
            &der::tlv(0x17, &[b"260502000000Z"]),
            &der::tlv(0x30, &[&reason]),
        ],
    );
    let key_id = der::extension(35, false, &der::tlv(0x30, &[&der::tlv(0x80, &[&[7; 20]])]));
    let partial = der::extension(28, true, &der::tlv(0x30, &[&[0x81, 1, 0xff]]));
    let delta = der::extension(27, true, &[2, 1, 6]);
    vec![
        der::list(&entries.concat(), &der::number()),
        der::list(&[], &der::number()),
        der::list(&reasoned, &[key_id, der::number()].concat()),
        der::list(&entries[0], &[partial, der::number()].concat()),
        der::list(&entries[0], &[delta, der::number()].concat()),
        der::list(&entries[0], &[]),
    ]
}
