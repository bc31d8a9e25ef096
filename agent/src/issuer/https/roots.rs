//! The anchors: of this host, or of one file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use renewd_core::pem;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::{HttpsError, Trust};

/// A bundle of all public authorities has a fifth of it.
const MOST_BYTES: u64 = 2 * 1024 * 1024;

/// The certificates that `trust` stands for now.
///
/// # Errors
/// When they cannot be read, or there are none.
pub fn anchors(trust: &Trust) -> Result<Vec<CertificateDer<'static>>, HttpsError> {
    match trust {
        Trust::System => {
            let mut found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let why = found.errors.pop().map_or_else(
                    || "no certificates were found".to_owned(),
                    |error| error.to_string(),
                );
                return Err(HttpsError::NoSystemRoots(why));
            }
            Ok(found.certs)
        }
        Trust::Certificates(held) => Ok(held.clone()),
        Trust::File(path) => {
            let failed = |why: String| HttpsError::Roots {
                path: path.clone(),
                why,
            };
            let text = read(path).map_err(|error| failed(error.to_string()))?;
            let found =
                pem::parse_certificates(&text).map_err(|error| failed(error.to_string()))?;
            if found.is_empty() {
                return Err(failed("no certificate is in it".into()));
            }
            Ok(found)
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MOST_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Those of them that TLS can use, hosts trust a few that are of no known form; and others beside them.
pub(super) fn store(
    trust: &Trust,
    also: &[CertificateDer<'static>],
) -> Result<RootCertStore, HttpsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(anchors(trust)?);
    store.add_parsable_certificates(also.iter().cloned());
    if store.is_empty() {
        let why = "no certificate in it can be an anchor".to_owned();
        return Err(match trust {
            Trust::System | Trust::Certificates(_) => HttpsError::NoSystemRoots(why),
            Trust::File(path) => HttpsError::Roots {
                path: path.clone(),
                why,
            },
        });
    }
    Ok(store)
}
