//! Whether what was kept is what was accepted: looked at before it is published again, for a disk may
//! return something else. Reads only; what follows is the lane's.

use std::path::PathBuf;

use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;
use renewd_core::pem;
use renewd_core::record::{Generation, GenerationNumber};
use renewd_store::{Identity, Store, StoreError};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::issuer::HeldIdentity;
use crate::keys::PrivateKey;

/// Why something that was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsound {
    /// An identity is not what was accepted.
    #[error("the private copy of generation {identity} is damaged: {why}")]
    Identity {
        identity: GenerationNumber,
        why: String,
    },
    /// A bundle is not what was kept.
    #[error("the trust bundle {0} is not what was kept")]
    Bundle(Fingerprint),
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Unsound {
    /// Whether reading again would be in vain.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Identity { .. } | Self::Bundle(_) => true,
            Self::Store(error) => matches!(error, StoreError::Damaged { .. }),
        }
    }
}

/// The identity of a generation: the leaf that was accepted, its key, and a chain to its anchor.
pub(crate) fn identity(
    store: &Store,
    name: &CertificateName,
    generation: &Generation,
) -> Result<Identity, Unsound> {
    let identity = store.load_identity(name, generation.identity)?;
    let anchors = bundle(store, name, &generation.trust)
        .ok()
        .and_then(|bundle| pem::parse_certificates(&bundle).ok())
        .unwrap_or_default();
    check(&identity, generation, &anchors).map_err(|why| Unsound::Identity {
        identity: generation.identity,
        why,
    })?;
    Ok(identity)
}

/// The identity of a generation, to be shown to its CA.
pub(crate) fn held(
    store: &Store,
    name: &CertificateName,
    generation: &Generation,
) -> Result<HeldIdentity, Unsound> {
    let kept = identity(store, name, generation)?;
    let damaged = |why: String| Unsound::Identity {
        identity: generation.identity,
        why,
    };
    Ok(HeldIdentity {
        leaf: leaf_of(&kept.leaf_pem, generation).map_err(damaged)?,
        chain: pem::parse_certificates(&kept.chain_pem)
            .map_err(|error| damaged(error.to_string()))?,
        key: PrivateKey::from_pem(&kept.key_pem).map_err(|error| damaged(error.to_string()))?,
        not_after: generation.leaf.not_after,
    })
}

fn check(
    identity: &Identity,
    generation: &Generation,
    anchors: &[CertificateDer<'_>],
) -> Result<(), String> {
    let leaf = leaf_of(&identity.leaf_pem, generation)?;
    let key = PrivateKey::from_pem(&identity.key_pem).map_err(|error| error.to_string())?;
    if key.fingerprint() != generation.leaf.key_fingerprint {
        return Err("the key is not the leaf's".into());
    }
    let chain = pem::parse_certificates(&identity.chain_pem).map_err(|error| error.to_string())?;
    let mut below = leaf;
    for above in &chain {
        is_issued_by(&below, above)?;
        below = above.clone();
    }
    let anchor = anchors
        .iter()
        .find(|anchor| Fingerprint::of(anchor) == generation.anchor);
    anchor.map_or(Ok(()), |anchor| is_issued_by(&below, anchor))
}

fn is_issued_by(below: &CertificateDer<'_>, above: &CertificateDer<'_>) -> Result<(), String> {
    let read = |der| X509Certificate::from_der(der).map_err(|error| error.to_string());
    let ((_, below), (_, above)) = (read(below)?, read(above)?);
    if below.issuer().as_raw() == above.subject().as_raw() {
        Ok(())
    } else {
        Err("the chain has a gap".into())
    }
}

fn leaf_of(text: &str, generation: &Generation) -> Result<CertificateDer<'static>, String> {
    let leaf =
        CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    if Fingerprint::of(&leaf) == generation.leaf.fingerprint {
        Ok(leaf)
    } else {
        Err("the leaf is another one".into())
    }
}

/// The leaf of a generation in DER, from what is published or else from the private copy. No key is read
/// where it can be avoided.
pub(crate) fn leaf(
    store: &Store,
    name: &CertificateName,
    generation: &Generation,
) -> Result<CertificateDer<'static>, Unsound> {
    let published = std::fs::read_to_string(current(store, name, "cert.pem"));
    if let Some(leaf) = published
        .ok()
        .and_then(|text| leaf_of(&text, generation).ok())
    {
        return Ok(leaf);
    }
    let identity = store.load_identity(name, generation.identity)?;
    leaf_of(&identity.leaf_pem, generation).map_err(|why| Unsound::Identity {
        identity: generation.identity,
        why,
    })
}

/// A trust bundle, PEM, from the private copy or else from what is published.
pub(crate) fn bundle(
    store: &Store,
    name: &CertificateName,
    digest: &Fingerprint,
) -> Result<String, Unsound> {
    let is_it = |text: &String| Fingerprint::of(text.as_bytes()) == *digest;
    let kept = store.load_trust(name, digest);
    if let Some(text) = kept.as_ref().ok().filter(|text| is_it(text)) {
        return Ok(text.clone());
    }
    let read = |file| std::fs::read_to_string(current(store, name, file));
    // Its lists follow its certificates.
    let published = read("ca.pem").map(|text| text + &read("crl.pem").unwrap_or_default());
    if let Some(text) = published.ok().filter(is_it) {
        return Ok(text);
    }
    kept?;
    Err(Unsound::Bundle(*digest))
}

/// The CA certificates that are published, whichever they are.
pub(crate) fn published_anchors(
    store: &Store,
    name: &CertificateName,
) -> Option<Vec<CertificateDer<'static>>> {
    let text = std::fs::read_to_string(current(store, name, "ca.pem")).ok()?;
    let anchors = pem::parse_certificates(&text).ok()?;
    (!anchors.is_empty()).then_some(anchors)
}

/// The revocation lists that are published, whichever they are.
pub(crate) fn published_crls(
    store: &Store,
    name: &CertificateName,
) -> Vec<CertificateRevocationListDer<'static>> {
    let text = std::fs::read_to_string(current(store, name, "crl.pem"));
    let crls = text.ok().and_then(|text| pem::parse_crls(&text).ok());
    crls.unwrap_or_default()
}

/// What stands between the leaf of a generation and its anchor, as far as it can be read.
pub(crate) fn chain(
    store: &Store,
    name: &CertificateName,
    generation: &Generation,
) -> Vec<CertificateDer<'static>> {
    let text = store.load_chain(name, generation.identity);
    let chain = text
        .ok()
        .and_then(|text| pem::parse_certificates(&text).ok());
    chain.unwrap_or_default()
}

/// The anchor of a generation, from its bundle.
pub(crate) fn anchor(
    store: &Store,
    name: &CertificateName,
    generation: &Generation,
) -> Option<CertificateDer<'static>> {
    let bundle = bundle(store, name, &generation.trust).ok()?;
    let anchors = pem::parse_certificates(&bundle).ok()?;
    let mut anchors = anchors.into_iter();
    anchors.find(|anchor| Fingerprint::of(anchor) == generation.anchor)
}

fn current(store: &Store, name: &CertificateName, file: &str) -> PathBuf {
    let directory = store.certificates().join(name.as_str());
    directory.join("current").join(file)
}
