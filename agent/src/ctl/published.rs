//! What is published, read from the disk: it outlives the daemon, so it is looked at without asking it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use renewd_core::leaf::LeafFacts;
use renewd_core::names::CertificateName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why a published leaf cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Nothing is published yet.
    #[error("nothing is published")]
    Nothing,
    /// The disk or its owner refused.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no certificate.
    #[error("{} is no certificate", .0.display())]
    Garbage(PathBuf),
}

/// The leaf that is published under this name.
pub(super) fn leaf(state: &Path, name: &CertificateName) -> Result<LeafFacts, Unreadable> {
    let directory = state.join("certs").join(name.as_str());
    let path = directory.join("current").join("cert.pem");
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Nothing),
        Err(source) => return Err(Unreadable::File { path, source }),
    };
    let leaf = CertificateDer::from_pem_slice(&pem).ok();
    leaf.and_then(|leaf| LeafFacts::from_der(&leaf).ok())
        .ok_or(Unreadable::Garbage(path))
}
