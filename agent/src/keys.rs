//! Private keys: made here, kept in memory that is wiped, asked for by a CSR.
//!
//! Owns generation, the PKCS#8 text that the store writes, and the request that an issuer sees. A key
//! must never be logged, printed or sent: the types here show nothing of it, and [`forbid_core_dumps`]
//! keeps it out of what a crash leaves behind. Its neighbours are the store (which takes the PEM) and
//! the issuers (which get a CSR, never a key).

mod subject;

use std::fmt;
use std::io;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PublicKeyData, RsaKeySize, SanType,
};
use renewd_core::leaf::Fingerprint;
use renewd_core::names::San;
use renewd_core::pem;
use renewd_core::request::{KeyType, Request, Usages};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize, Zeroizing};

/// What went wrong with a key or its request; holds nothing secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The cryptographic library refused.
    #[error("no {key_type:?} key could be made: {why}")]
    Generate {
        /// What was asked for.
        key_type: KeyType,
        /// The library's words.
        why: String,
    },
    /// Not a key that we can use.
    #[error("not an unencrypted PKCS#8 private key (\"BEGIN PRIVATE KEY\") of a known type: {why}")]
    Read {
        /// The library's words.
        why: String,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name} cannot stand in a certificate: expected ASCII")]
    Name {
        /// The name.
        name: String,
    },
    /// The request could not be signed.
    #[error("the certificate request could not be made")]
    Request(#[source] rcgen::Error),
}

impl KeyError {
    /// A stable word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Generate { .. } => "key-generation",
            Self::Read { .. } => "key-unreadable",
            Self::Name { .. } => "name",
            Self::Request(_) => "request",
        }
    }
}

/// A private key. Its encoding is wiped when it is dropped; what AWS-LC holds, AWS-LC wipes.
pub struct PrivateKey {
    pair: KeyPair,
}

impl PrivateKey {
    /// Makes a fresh key. **RSA takes up to seconds of one core**: call this on a blocking thread
    /// (`tokio::task::spawn_blocking`); the others take well below a millisecond.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn generate(key_type: KeyType) -> Result<Self, KeyError> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match key_type {
            KeyType::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Ed25519 => ed25519(),
            KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        pair.map(|pair| Self { pair })
            .map_err(|error| KeyError::Generate {
                key_type,
                why: error.to_string(),
            })
    }

    /// Reads a key that [`PrivateKey::pem`] wrote.
    ///
    /// # Errors
    /// When the text holds no PKCS#8 key of a known type. The error says nothing of the text.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
            // The parser's error may quote the line that it stumbled over.
            KeyError::Read {
                why: "no such PEM section".into(),
            }
        })?;
        let key = Self::from_pkcs8(der.secret_pkcs8_der());
        der.zeroize();
        key
    }

    /// Reads a key in DER (PKCS#8) that was made elsewhere.
    ///
    /// # Errors
    /// When it is no PKCS#8 key of a known type. The error says nothing of its content.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(der));
        pair.map(|pair| Self { pair })
            .map_err(|error| KeyError::Read {
                why: error.to_string(),
            })
    }

    /// The key as PKCS#8 PEM (RFC 5958), wiped when it is dropped.
    pub fn pem(&self) -> Zeroizing<String> {
        let der = self.pair.serialized_der();
        // Of the right size from the start, for a buffer that grows leaves copies behind.
        let capacity = pem::encoded_len(pem::PRIVATE_KEY, der.len());
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        pem::encode_into(&mut text, pem::PRIVATE_KEY, der);
        text
    }

    /// SHA-256 of the DER of the subject public key info: what a leaf for this key must show.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.pair.subject_public_key_info())
    }

    /// A certificate request in DER (RFC 2986): an empty subject, the names as subject alternative
    /// names, and the usages asked for.
    ///
    /// # Errors
    /// When a name is not ASCII, or signing fails.
    pub fn request(&self, request: &Request) -> Result<Vec<u8>, KeyError> {
        // rcgen's default has a common name of its own.
        self.request_of(request, DistinguishedName::new())
    }

    /// As [`PrivateKey::request`], with the subject of the certificate that is to be renewed: an empty one where that
    /// cannot be repeated bit for bit.
    ///
    /// # Errors
    /// When a name is not ASCII, or signing fails.
    pub fn request_again(
        &self,
        request: &Request,
        renewed: &CertificateDer<'_>,
    ) -> Result<Vec<u8>, KeyError> {
        self.request_of(request, subject::of(renewed))
    }

    fn request_of(
        &self,
        request: &Request,
        subject: DistinguishedName,
    ) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = request
            .names
            .iter()
            .map(san_type)
            .collect::<Result<_, _>>()?;
        params.key_usages = key_usages(&self.pair);
        params.extended_key_usages = extended_key_usages(request.usages);
        let csr = params
            .serialize_request(&self.pair)
            .map_err(KeyError::Request)?;
        Ok(csr.der().to_vec())
    }

    /// For signing by the embedded CA.
    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(public key {})", self.fingerprint())
    }
}

/// PKCS#8 of version 1: with the public key in it (version 2, rcgen's way), OpenSSL 3.0 cannot read it.
fn ed25519() -> Result<KeyPair, rcgen::Error> {
    let failed = |_| rcgen::Error::RingUnspecified;
    let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?;
    let der = PrivatePkcs8KeyDer::from(document.as_ref());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
}

/// A name as rcgen writes it.
pub(crate) fn san_type(name: &San) -> Result<SanType, KeyError> {
    let text = |text: &str| {
        text.try_into().map_err(|_| KeyError::Name {
            name: text.to_owned(),
        })
    };
    Ok(match name {
        San::Dns(name) => SanType::DnsName(text(name)?),
        San::Uri(name) => SanType::URI(text(name)?),
        San::Ip(address) => SanType::IpAddress(*address),
    })
}

/// Signing; and encryption for RSA, whose key exchange TLS 1.2 clients may still choose
/// (RFC 5246, section 7.4.2).
pub(crate) fn key_usages(key: &impl PublicKeyData) -> Vec<KeyUsagePurpose> {
    let mut usages = vec![KeyUsagePurpose::DigitalSignature];
    if key.algorithm() == &rcgen::PKCS_RSA_SHA256 {
        usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    usages
}

/// The usages asked for, as rcgen writes them.
pub(crate) fn extended_key_usages(usages: Usages) -> Vec<ExtendedKeyUsagePurpose> {
    [
        (usages.server, ExtendedKeyUsagePurpose::ServerAuth),
        (usages.client, ExtendedKeyUsagePurpose::ClientAuth),
    ]
    .into_iter()
    .filter_map(|(asked, purpose)| asked.then_some(purpose))
    .collect()
}

/// Keeps keys out of core dumps, and other processes of the same user out of our memory
/// (`PR_SET_DUMPABLE`, see `prctl(2)`). To be called first of all; children inherit the limit.
///
/// # Errors
/// When the kernel refuses; the daemon then runs on, and says so.
pub fn forbid_core_dumps() -> io::Result<()> {
    // Both, for a core pattern that is a pipe ignores the limit.
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

#[cfg(test)]
mod tests;
