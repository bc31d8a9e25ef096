//! A published generation: what is served is a matching, valid pair with its chain in order, or is refused.

use std::cell::LazyCell;
use std::fs;
use std::os::unix::fs::symlink;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use renewd_core::pem;
use renewd_sample_api::tls::{self, Choices};
use renewd_store::reader;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::der::{self, CA, END, STRANGER};
use crate::split;

thread_local! {
    static PLACE: LazyCell<TempDir> = LazyCell::new(|| {
        let place = tempfile::tempdir().expect("a place for files");
        fs::create_dir(place.path().join(".1")).expect("a directory");
        symlink(".1", place.path().join("current")).expect("a link");
        place
    });
}

pub(crate) fn run(data: &[u8]) {
    let parts = split::texts::<3>(data);
    let snapshot = PLACE.with(|place| {
        for (name, content) in ["key.pem", "fullchain.pem", "ca.pem"].iter().zip(&parts) {
            fs::write(place.path().join(".1").join(name), content).expect("a file");
        }
        reader::read(place.path()).expect("what was written")
    });
    assert_eq!(snapshot.generation, 1);
    let Ok(served) = tls::build(snapshot, Vec::new(), Choices::default(), None, der::now()) else {
        return;
    };
    assert!(served.leaf.is_valid_at(der::now()));
    let [key, chain, anchors] = parts;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .expect("it is served");
    let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("it is served");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is served");
    // All seeds are of this kind, and a mutation makes no other that works.
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()).expect("it is served");
    assert_eq!(
        leaf.public_key().subject_public_key.as_ref(),
        key.public_key().as_ref()
    );
    for pair in chain.windows(2) {
        let [(_, lower), (_, upper)] =
            [&pair[0], &pair[1]].map(|der| X509Certificate::from_der(der).expect("it is served"));
        assert_eq!(lower.issuer().as_raw(), upper.subject().as_raw());
    }
    assert!(CertificateDer::from_pem_slice(anchors.as_bytes()).is_ok());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let key = |key: der::Key| {
        let mut text = String::new();
        pem::encode_into(&mut text, pem::PRIVATE_KEY, &key.pkcs8());
        text
    };
    let leaf = pem::certificate(&CA.leaf(9, "api.example"));
    let (ca, other) = (pem::certificate(&CA.ca()), pem::certificate(&STRANGER.ca()));
    vec![
        split::text(&[&key(END), &leaf, &ca]),
        split::text(&[&key(END), &format!("{leaf}{ca}"), &format!("{ca}{other}")]),
        split::text(&[&key(CA), &ca, &other]),
        split::text(&[&key(STRANGER), &leaf, &ca]),
        split::text(&[&key(END), &format!("{leaf}{other}"), &ca]),
    ]
}
