//! A file with revocation lists, PEM or DER: what is found there is a list at least by its form, or refused by file.

use std::fs;
use std::path::PathBuf;

use renewd_core::pem;
use renewd_sample_api::crl;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::der::{self, CA};

thread_local! {
    static PLACE: TempDir = tempfile::tempdir().expect("a place for files");
}

pub(crate) fn run(data: &[u8]) {
    let path: PathBuf = PLACE.with(|place| place.path().join("lists"));
    fs::write(&path, data).expect("a file");
    let found = crl::find(None, Some(&path));
    let shown = path.display().to_string();
    let found = match found {
        Ok(found) => found,
        Err(error) => return assert!(error.to_string().contains(&shown), "{error}"),
    };
    // Nothing that could name somebody is passed over.
    let marks = data
        .windows(MARK.len())
        .filter(|part| *part == MARK)
        .count();
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|list| list.path == path && !list.der.is_empty())
    );
    assert!(data.first() == Some(&0x30) || found.len() >= usize::from(marks > 0));
    let ca = CA.ca();
    let (_, issuer) = X509Certificate::from_der(&ca).expect("ours");
    if let Err(error) = crl::check(&found, &[issuer], der::now()) {
        assert!(error.to_string().contains(&shown), "{error}");
    }
}

const MARK: &[u8] = b"-----BEGIN X509 CRL-----";

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let list = CA.sign(&der::list(&der::revoked(6), &der::number()));
    let mut pem = String::new();
    pem::encode_into(&mut pem, "X509 CRL", &list);
    let certificate = pem::certificate(&CA.ca());
    vec![
        pem.clone().into_bytes(),
        format!("a list:\r\n{certificate}\n{pem}{pem}").into_bytes(),
        certificate.into_bytes(),
        list,
    ]
}
