//! Every parser of what comes from outside: damaged input is refused, and nothing panics.
//!
//! Policy, configuration and `traceparent` have their properties beside themselves.

use std::time::SystemTime;

use proptest::prelude::*;
use proptest::sample::Index;
use renewd_sample_api::Peer;
use renewd_sample_api::crl::{self, Found};
use renewd_sample_api::fingerprint::Fingerprint;
use renewd_sample_api::keys::{Keys, Source};
use renewd_sample_api::proxy::Upstream;
use renewd_sample_api::tickets::Tickets;
use renewd_sample_api::tls::Choices;
use rustls::server::ProducesTickets;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::site::{Authority, Site, WEB};

/// A few bytes changed, and perhaps the end missing.
fn damaged(sound: &[u8], changes: &[(Index, u8)], end: Option<Index>) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(end) = end {
        bytes.truncate(end.index(bytes.len()));
    }
    bytes
}

fn changes() -> impl Strategy<Value = (Vec<(Index, u8)>, Option<Index>)> {
    (
        proptest::collection::vec(any::<(Index, u8)>(), 0..4),
        any::<Option<Index>>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_damaged_client_certificate_has_one_printable_identity_or_none((changes, end) in changes()) {
        thread_local!(static CERTIFICATE: CertificateDer<'static> = {
            let pair = Authority::new().client(&[WEB, "a.example"]);
            CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap()
        });
        let bytes = CERTIFICATE.with(|sound| damaged(sound, &changes, end));
        for common_name in [false, true] {
            if let Ok(identity) = Peer::of(&CertificateDer::from(bytes.clone()), common_name).identity {
                prop_assert!(identity.name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
                prop_assert!(!identity.name.is_empty());
            }
        }
    }

    #[test]
    fn a_list_with_any_byte_changed_is_refused((changes, end) in changes()) {
        thread_local!(static SOUND: (Vec<u8>, Vec<u8>) = {
            let authority = Authority::new();
            let list = authority.lists(&[&authority.client(&[WEB])]);
            let list = CertificateRevocationListDer::pem_slice_iter(list.as_bytes()).nth(1).unwrap().unwrap();
            let issuer = CertificateDer::from_pem_slice(authority.bundle().as_bytes()).unwrap();
            (list.to_vec(), issuer.to_vec())
        });
        let (list, issuer) = SOUND.with(Clone::clone);
        let (_, issuer) = X509Certificate::from_der(&issuer).unwrap();
        let der = damaged(&list, &changes, end);
        let same = der == list;
        let found = [Found {
            path: "x".into(),
            der,
            published: false,
        }];
        prop_assert_eq!(crl::check(&found, &[issuer], SystemTime::now()).is_ok(), same);
    }

    #[test]
    fn nothing_but_a_ticket_of_ours_is_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Tickets::new(None).unwrap().decrypt(&bytes).is_none());
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written(der in proptest::collection::vec(any::<u8>(), 0..40), text in ".{0,80}") {
        let one = Fingerprint::of(&der);
        prop_assert_eq!(one.to_string().parse(), Ok(one));
        prop_assert_eq!(one.to_string().to_uppercase().parse(), Ok(one));
        if let Ok(read) = text.parse::<Fingerprint>() {
            prop_assert_eq!(read.to_string(), text.replace(':', "").to_lowercase());
        }
    }

    #[test]
    fn any_text_is_an_upstream_or_none(text in "(http://|unix:)?.{0,30}") {
        let _ = text.parse::<Upstream>();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_damaged_generation_is_refused_or_is_the_same(file in 0..4usize, (changes, end) in changes()) {
        let site = Site::empty();
        let (pair, bundle) = (site.authority.server(), site.authority.bundle());
        let mut files = [pair.key.clone(), pair.chain.clone(), bundle, site.authority.lists(&[])];
        let text = damaged(files[file].as_bytes(), &changes, end);
        files[file] = String::from_utf8_lossy(&text).into_owned();
        let [key, chain, bundle, lists] = files;
        site.publish_all(1, &crate::site::Pair { key, chain, serial: 0 }, &bundle, &lists);
        let source = Source { directory: site.directory(), crl: None, choices: Choices::default() };
        if let Ok(keys) = Keys::open(source) {
            // Whatever was damaged was no part of it: a remark, or what was cut was the end of the chain.
            prop_assert_eq!(keys.served().leaf.serial.clone(), format!("{:08x}", pair.serial));
        }
    }
}
