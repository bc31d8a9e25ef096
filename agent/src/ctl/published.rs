//! What is published, read from the disk: it outlives the daemon, so it is looked at without asking it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use renewd_core::accept::{End, first_end};
use renewd_core::crl::Crl;
use renewd_core::leaf::LeafFacts;
use renewd_core::names::CertificateName;
use renewd_core::pem;
use rustls_pki_types::CertificateDer;

/// Why what is published cannot be read.
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
    /// It is no certificate, or one of several is none.
    #[error("{} is no certificate", .0.display())]
    Garbage(PathBuf),
}

/// What is published under a name.
pub(super) struct Published {
    pub(super) leaf: LeafFacts,
    /// When it can be used no longer, and by whose end.
    pub(super) end: End,
    /// The revocation lists beside it.
    pub(super) lists: Vec<Crl>,
}

/// The leaf that is published under this name, with what is above it, and the lists. All of one generation; keys are not
/// read.
pub(super) fn published(state: &Path, name: &CertificateName) -> Result<Published, Unreadable> {
    let current = state.join("certs").join(name.as_str()).join("current");
    let current = fs::canonicalize(&current).map_err(|source| unreadable(current, source))?;
    let (path, chain) = certificates(&current, "fullchain.pem")?;
    let (_, anchors) = match certificates(&current, "ca.pem") {
        Err(Unreadable::Nothing) => (PathBuf::new(), Vec::new()),
        anchors => anchors?,
    };
    let lists = match fs::read_to_string(current.join("crl.pem")) {
        Ok(text) => pem::parse_crls(&text).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let lists = lists.into_iter().filter_map(|list| Crl::read(list).ok());
    let facts = chain
        .first()
        .and_then(|leaf| LeafFacts::from_der(leaf).ok());
    match (facts, first_end(&chain, &anchors)) {
        (Some(leaf), Some(end)) => Ok(Published {
            leaf,
            end,
            lists: lists.collect(),
        }),
        _ => Err(Unreadable::Garbage(path)),
    }
}

fn certificates(
    directory: &Path,
    file: &str,
) -> Result<(PathBuf, Vec<CertificateDer<'static>>), Unreadable> {
    let path = directory.join(file);
    let text = fs::read_to_string(&path).map_err(|source| unreadable(path.clone(), source))?;
    match pem::parse_certificates(&text) {
        Ok(certificates) => Ok((path, certificates)),
        Err(_) => Err(Unreadable::Garbage(path)),
    }
}

fn unreadable(path: PathBuf, source: io::Error) -> Unreadable {
    match source.kind() {
        io::ErrorKind::NotFound => Unreadable::Nothing,
        _ => Unreadable::File { path, source },
    }
}
