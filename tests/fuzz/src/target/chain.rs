//! What a client shows in its handshake, and when: nobody is believed but those whom our CA has issued a certificate
//! that is of that time and not revoked; what was remembered says the same as verifying again.

use std::sync::{Arc, LazyLock};

use renewd_sample_api::crl::Found;
use renewd_sample_api::tls;
use renewd_sample_api::trust::{Distrust, Material, Rules, Trust, Verifier};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::der::{self, CA, END, NOW, STRANGER};
use crate::split;

/// Serial 5 is good, 6 is revoked.
pub(super) static CLIENTS: LazyLock<[CertificateDer<'static>; 2]> =
    LazyLock::new(|| [CA.leaf(5, "web.example"), CA.leaf(6, "old.example")]);

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier(Arc::new(trust(true))));
static WITHOUT_LISTS: LazyLock<Verifier> = LazyLock::new(|| Verifier(Arc::new(trust(false))));

pub(super) fn trust(lists: bool) -> Trust {
    let der = CA.sign(&der::list(&der::revoked(6), &der::number()));
    let path = "crl.pem".into();
    let lists = lists
        .then_some(Found {
            path,
            der,
            published: false,
        })
        .into_iter()
        .collect();
    let material = Material::new(vec![CA.ca()], &[], lists, Rules::default());
    let algorithms = tls::provider().signature_verification_algorithms;
    Trust::new(material, algorithms, der::now()).expect("the list is of that day")
}

pub(crate) fn run(data: &[u8]) {
    let mut parts = split::counted(data).into_iter();
    // In days from some before to some after the list's life.
    let Some(days) = parts.next().and_then(|part| part.first().copied()) else {
        return;
    };
    let now = NOW + u64::from(days) * 86_400 - 128 * 86_400;
    let now_unix = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    let mut chain = parts.map(|part| CertificateDer::from(part.to_vec()));
    let Some(leaf) = chain.next() else {
        return;
    };
    let above: Vec<_> = chain.collect();
    for verifier in [&*VERIFIER, &*WITHOUT_LISTS] {
        let judged = verifier.0.judge(&leaf, &above, now_unix);
        for _ in 0..2 {
            let verified = verifier.verify_client_cert(&leaf, &above, now_unix);
            assert_eq!(verified.is_ok(), judged.is_ok(), "{judged:?} {verified:?}");
        }
        let known = CLIENTS.iter().position(|client| *client == leaf);
        let lists = verifier.0.lists() > 0;
        let over = verifier
            .0
            .lists_until()
            .is_some_and(|end| end <= std::time::UNIX_EPOCH + std::time::Duration::from_secs(now));
        match (judged, known) {
            (Ok(_), None) => panic!("a certificate that was never issued is believed"),
            (Ok(_), Some(1)) => assert!(!lists, "a revoked client is believed"),
            (Ok(_), Some(_)) => assert!(!over, "a list that has ended is gone by"),
            (Err(why), Some(0)) if !over => {
                // 2026 has begun at day 0 of the certificates.
                assert!(matches!(why, Distrust::NotYet), "{why:?}");
                assert!(now < 1_767_225_600, "{now}");
            }
            (Err(_), _) => {}
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let chain = |day: u8, chain: &[&CertificateDer<'_>]| {
        let mut parts = vec![std::slice::from_ref(&day)];
        parts.extend(chain.iter().map(|der| der.as_ref()));
        split::count(&parts)
    };
    let [good, revoked] = &*CLIENTS;
    let foreign = STRANGER.leaf(5, "web.example");
    // Its own CA, by the name of ours.
    let forged = der::certificate(5, &der::name("end"), &END, &der::usages(), &END);
    vec![
        chain(128, &[good]),
        chain(128, &[good, &CA.ca()]),
        chain(128, &[revoked, &CA.ca(), &STRANGER.ca()]),
        chain(128, &[&foreign, &STRANGER.ca()]),
        chain(128, &[&forged.into(), &CA.ca()]),
        chain(160, &[good]),
        chain(0, &[good]),
    ]
}
