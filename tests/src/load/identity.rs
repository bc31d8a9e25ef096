//! Who the client is and whom it trusts, read again from the files for every new connection.
//!
//! It must never keep an identity that the files no longer hold. Its neighbour is
//! [`super::wire`], which dials with what this hands out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::wire::Protocol;

/// Reads before a pair that does not match is believed to be broken rather than mid-swap.
const READS: usize = 5;

/// The files of a client. Certificate and key may be one file (`combined.pem`), which is read once.
#[derive(Clone, Debug)]
pub struct Files {
    /// PEM certificates to verify the server with.
    pub ca: PathBuf,
    /// PEM chain of the client, leaf first.
    pub certificate: PathBuf,
    /// PEM private key of the client.
    pub key: PathBuf,
}

/// Why the files do not make a client.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not the PEM that it should be.
    #[error("{} holds no usable {wanted}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// Certificate and key were read and make no pair, however often they are read.
    #[error("{} and its key make no client identity", path.display())]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// What the TLS library said.
        #[source]
        source: rustls::Error,
    },
}

/// The files, and the configurations made from what they held last.
#[derive(Debug)]
pub(super) struct Identity {
    files: Files,
    last: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    from: Bytes,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

#[derive(Debug, PartialEq, Eq)]
struct Bytes {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    pub(super) fn new(files: Files) -> Self {
        Self {
            files,
            last: Mutex::new(None),
        }
    }

    /// A configuration without resumption, made from what the files hold now.
    pub(super) fn config(&self, protocol: Protocol) -> Result<Arc<ClientConfig>, IdentityError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reads = 0;
        loop {
            reads += 1;
            let bytes = self.read()?;
            if last.as_ref().is_none_or(|made| made.from != bytes) {
                match self.make(bytes) {
                    Ok(made) => *last = Some(made),
                    // Two paths can meet a swap in between, whoever writes: read both again.
                    Err(IdentityError::Pair { .. }) if reads < READS => continue,
                    Err(error) => return Err(error),
                }
            }
            if let Some(made) = last.as_ref() {
                return Ok(Arc::clone(match protocol {
                    Protocol::Http1 => &made.http1,
                    Protocol::Http2 => &made.http2,
                }));
            }
        }
    }

    fn read(&self) -> Result<Bytes, IdentityError> {
        let certificate = read(&self.files.certificate)?;
        let key = if self.files.key == self.files.certificate {
            certificate.clone()
        } else {
            read(&self.files.key)?
        };
        Ok(Bytes {
            ca: read(&self.files.ca)?,
            certificate,
            key,
        })
    }

    fn make(&self, bytes: Bytes) -> Result<Made, IdentityError> {
        let pair = |source| IdentityError::Pair {
            path: self.files.certificate.clone(),
            source,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&self.files.ca, &bytes.ca)?);
        let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|_| IdentityError::Pem {
            path: self.files.key.clone(),
            wanted: "private key",
        })?;
        let chain = certificates(&self.files.certificate, &bytes.certificate)?;
        let mut http1 =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(pair)?
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)
                .map_err(pair)?;
        // A resumed handshake shows no certificate: it would hide what the server serves.
        http1.resumption = Resumption::disabled();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = http1.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Made {
            from: bytes,
            http1: Arc::new(http1),
            http2: Arc::new(http2),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| IdentityError::Pem {
            path: path.to_owned(),
            wanted: "certificate",
        })
}
