//! What an issuer is asked with: a fresh key, and the certificate request that it signed.
//!
//! Where the issuer may sign while we are away, both are on disk from before it is asked until its answer is kept, or was
//! refused. So a crash in between leads to the same request again, and what was signed meanwhile is taken.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::request::Request;
use renewd_core::supply::{Again, Failure};
use renewd_store::{Store, StoreError};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::journal;
use crate::keys::{KeyError, PrivateKey};

/// A key, and the certificate request that it signed.
pub(super) struct Asked {
    request: Fingerprint,
    pub(super) key: PrivateKey,
    pub(super) csr: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    /// The digest of what is wanted.
    request: Fingerprint,
    csr: String,
    /// PEM, in base64 again: a text that is read without a copy of it on the way.
    key: Zeroizing<String>,
}

impl Asked {
    /// Puts it on disk.
    pub(super) fn keep(
        &self,
        store: &Store,
        certificate: &CertificateName,
        issuer: &IssuerName,
    ) -> Result<(), Failure> {
        let kept = Kept {
            issuer: issuer.as_str().to_owned(),
            request: self.request,
            csr: BASE64_STANDARD.encode(&self.csr),
            key: Zeroizing::new(BASE64_STANDARD.encode(self.key.pem().as_bytes())),
        };
        // What grows leaves copies behind.
        let room = kept.key.len() + kept.csr.len() + 1024;
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        let written = serde_json::to_writer(&mut *text, &kept);
        written.map_err(|error| not_kept(&error.to_string()))?;
        let saved = store.save_asked(certificate, issuer, &text);
        saved.map_err(|error| not_kept(&error.to_string()))
    }
}

/// What this issuer was asked with and has not answered, if it is for the same and its key is none of those `in_use`: a
/// crash can leave what is of no use any more. What cannot be read is as good as gone.
pub(super) fn kept(
    store: &Store,
    certificate: &CertificateName,
    issuer: &IssuerName,
    request: Fingerprint,
    in_use: &[Fingerprint],
) -> Option<Asked> {
    let text = store.load_asked(certificate, issuer).ok().flatten()?;
    let (kept, key) = read(&text)?;
    if kept.issuer != issuer.as_str()
        || kept.request != request
        || in_use.contains(&key.fingerprint())
    {
        return None;
    }
    Some(Asked {
        request,
        key,
        csr: BASE64_STANDARD.decode(&kept.csr).ok()?,
    })
}

/// Wipes what nothing comes of any more: what issuers were asked with that are none of `issuers`, and what holds a key of
/// those `in_use`, or none. As long as one of those is there, the record must not let go of it, or it were brought again.
pub(super) fn forget_in_vain(
    store: &Store,
    certificate: &CertificateName,
    issuers: &[&IssuerName],
    in_use: &[Fingerprint],
) -> Result<(), StoreError> {
    for issuer in store.asked_issuers(certificate)? {
        // What cannot be read is brought to nobody.
        let text = store.load_asked(certificate, &issuer).ok().flatten();
        let key = text.and_then(|text| Some(read(&text)?.1.fingerprint()));
        let open = key.is_some_and(|key| !in_use.contains(&key));
        if !open || !issuers.contains(&&issuer) {
            store.forget_asked(certificate, &issuer)?;
        }
    }
    Ok(())
}

fn read(text: &str) -> Option<(Kept, PrivateKey)> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    let pem = Zeroizing::new(BASE64_STANDARD.decode(kept.key.as_bytes()).ok()?);
    let key = PrivateKey::from_pem(std::str::from_utf8(&pem).ok()?).ok()?;
    Some((kept, key))
}

/// Nothing comes of it any more: the next order has another key.
/// A key that cannot be wiped is told, and no reason to throw away what was answered: it is not used again, for the
/// record does not let go of it before it is wiped.
pub(super) fn forget(store: &Store, certificate: &CertificateName, issuer: &IssuerName) {
    if let Err(error) = store.forget_asked(certificate, issuer) {
        journal::emit(&journal::Event::NotTidied {
            certificate: certificate.clone(),
            error: error.to_string(),
        });
    }
}

fn not_kept(why: &str) -> Failure {
    Failure {
        text: format!("what the issuer is asked with cannot be kept: {why}"),
        again: Again::BackOff,
        answered: false,
    }
}

/// A key for this certificate alone, and the request that it signs.
pub(super) async fn fresh_key(
    request: &Request,
    renewed: Option<CertificateDer<'static>>,
) -> Result<Asked, Failure> {
    let request = request.clone();
    // RSA takes seconds; the thread goes when it is done.
    let made = tokio::task::spawn_blocking(move || {
        let key = PrivateKey::generate(request.key_type)?;
        let csr = match renewed {
            Some(leaf) => key.request_again(&request, &leaf)?,
            None => key.request(&request)?,
        };
        let request = request.digest();
        Ok::<_, KeyError>(Asked { request, key, csr })
    });
    let failed = |why: String| Failure {
        text: format!("cannot make a key: {why}"),
        again: Again::BackOff,
        answered: false,
    };
    match made.await {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
