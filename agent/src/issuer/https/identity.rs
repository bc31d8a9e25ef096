//! What is shown of ourselves to a server that asks: a certificate, and the proof that we have its key.

use std::fmt;
use std::sync::Arc;

use renewd_core::pem;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize;

use super::super::HeldIdentity;
use super::HttpsError;

/// A certificate with its chain and key, for TLS client authentication. Shows nothing of the key.
#[derive(Clone)]
pub struct ClientIdentity(Arc<CertifiedKey>);

impl ClientIdentity {
    /// The identity that a managed certificate's holder has.
    ///
    /// # Errors
    /// When TLS cannot use the key, or it is not the leaf's.
    pub fn held(held: &HeldIdentity) -> Result<Self, HttpsError> {
        let leaf = std::iter::once(&held.leaf);
        let chain = leaf.chain(&held.chain).cloned().collect();
        Self::new(chain, &held.key.pem())
    }

    /// From PEM: a certificate, followed by its chain, and its unencrypted key.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, HttpsError> {
        let chain = pem::parse_certificates(certificates);
        let chain = chain.map_err(|error| {
            HttpsError::Identity(format!("its certificate cannot be read: {error}"))
        })?;
        Self::new(chain, key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: &str) -> Result<Self, HttpsError> {
        let unusable = |why: &str| HttpsError::Identity(why.to_owned());
        if chain.is_empty() {
            return Err(unusable("there is no certificate"));
        }
        // The parser's error may quote the line that it stumbled over.
        let mut der = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| unusable("its key is no unencrypted private key in PEM"))?;
        let key = sign::any_supported_type(&der);
        der.zeroize();
        let key = key.map_err(|_| unusable("its key is of no type that TLS can use"))?;
        let whole = CertifiedKey::new(chain, key);
        whole
            .keys_match()
            .map_err(|_| unusable("its key is not that of its certificate"))?;
        Ok(Self(Arc::new(whole)))
    }

    /// Shown to whoever asks, whatever CAs it names: the server judges, and its answer tells more.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.0)))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIdentity({} certificates)", self.0.cert.len())
    }
}
