//! The pinned root: read from its file, or fetched once, compared, and kept.

use std::path::Path;

use hyper::Request;
use hyper::body::Bytes;
use renewd_core::leaf::Fingerprint;
use renewd_core::pem;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use super::super::https::{Https, Trust, anchors};
use super::super::kept::{Directory, KeptError, MAX_BYTES};
use super::api;
use super::error::StepError;
use super::{Root, StepIssuer, StepSettings};

const KEPT: &str = "root.pem";
const WHAT: &str = "the root";

#[derive(Deserialize)]
struct RootAnswer {
    ca: String,
}

/// The pinned root, or the roots of the pinned file.
pub(super) async fn pinned(issuer: &StepIssuer) -> Result<Vec<CertificateDer<'static>>, StepError> {
    let fingerprint = match &issuer.settings.root {
        Root::File(path) => return Ok(anchors(&Trust::File(path.clone()))?),
        Root::Fingerprint(fingerprint) => fingerprint,
    };
    let owner = nix::unistd::geteuid().as_raw();
    let directory = Directory::open(&issuer.directory, owner).map_err(StepError::Kept)?;
    // One of another fingerprint is from before the configuration changed.
    if let Some(root) = kept(&directory, fingerprint)? {
        return Ok(vec![root]);
    }
    let root = fetch(&issuer.settings, fingerprint).await?;
    let text = pem::certificate(&root);
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > MAX_BYTES) {
        let why = format!("it has {} bytes, more than are kept", text.len());
        return Err(StepError::protocol(WHAT, why));
    }
    directory.replace(KEPT, &text).map_err(StepError::Kept)?;
    Ok(vec![root])
}

/// The same without asking anybody.
pub(super) fn pem(directory: &Path, settings: &StepSettings) -> Result<String, StepError> {
    let fingerprint = match &settings.root {
        Root::File(path) => return Ok(pem::certificates(&anchors(&Trust::File(path.clone()))?)),
        Root::Fingerprint(fingerprint) => fingerprint,
    };
    let text = std::fs::read_to_string(directory.join(KEPT)).unwrap_or_default();
    let root = only(&text, fingerprint).ok_or(StepError::NotFetched(*fingerprint))?;
    Ok(pem::certificate(&root))
}

fn kept(
    directory: &Directory,
    fingerprint: &Fingerprint,
) -> Result<Option<CertificateDer<'static>>, StepError> {
    let text = match directory.read(KEPT) {
        // It is fetched anew, and has to have the digest.
        Err(KeptError::Damaged { .. }) => None,
        read => read.map_err(StepError::Kept)?,
    };
    Ok(text.and_then(|text| only(&text, fingerprint)))
}

fn only(text: &str, fingerprint: &Fingerprint) -> Option<CertificateDer<'static>> {
    let found = pem::parse_certificates(text).ok()?;
    let mut found = found.into_iter();
    found.find(|root| Fingerprint::of(root) == *fingerprint)
}

/// Whoever answers: what has the fingerprint is the root.
async fn fetch(
    settings: &StepSettings,
    fingerprint: &Fingerprint,
) -> Result<CertificateDer<'static>, StepError> {
    let https = Https::unverified(settings.proxy.as_deref())?;
    let uri = format!("{}/root/{fingerprint}", settings.url);
    let request = Request::get(uri).body(Bytes::new());
    let request = request.map_err(|error| StepError::protocol(WHAT, error))?;
    let found = match api::ask(&https, WHAT, request, None).await {
        Err(error) if error.is_not_there() => None,
        answer => {
            let answer: RootAnswer = answer?;
            only(&answer.ca, fingerprint)
        }
    };
    found.ok_or_else(|| StepError::OtherRoot {
        url: settings.url.clone(),
        pinned: *fingerprint,
    })
}
