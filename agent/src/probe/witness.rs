//! What one server shows in one handshake, taken down by rustls's own callbacks.
//!
//! The witness lets every certificate pass, so that a wrong leaf is *seen* instead of guessed from an alert.
//! It must never be used where data follows the handshake. Handshake signatures are verified for real: they
//! are the proof that the server holds the leaf's key. `handshake` judges what is taken down here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What was seen in one handshake.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) leaf: Option<CertificateDer<'static>>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    pub(super) signature: Signature,
    /// Whether the server asked for a client certificate.
    pub(super) asked: bool,
}

/// The signature over this handshake, by the key of the leaf shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    #[default]
    Unseen,
    Verified,
    Wrong,
}

/// Takes down what is seen in one handshake; a new one for each.
#[derive(Debug)]
pub(super) struct Witness {
    schemes: Vec<SignatureScheme>,
    algorithms: WebPkiSupportedAlgorithms,
    client: Option<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

impl Witness {
    pub(super) fn new(offer: &Offer, client: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            schemes: offer.schemes.clone(),
            algorithms: offer.provider.signature_verification_algorithms,
            client,
            seen: Mutex::default(),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_down_signature(
        &self,
        scheme: SignatureScheme,
        verdict: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.schemes.contains(&scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.seen().signature = match verdict {
            Ok(_) => Signature::Verified,
            Err(_) => Signature::Wrong,
        };
        verdict
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen();
        seen.leaf = Some(leaf.clone().into_owned());
        seen.intermediates = intermediates
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = verify_tls12_signature(message, leaf, signed, &self.algorithms);
        self.take_down_signature(signed.scheme, verdict)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = verify_tls13_signature(message, leaf, signed, &self.algorithms);
        self.take_down_signature(signed.scheme, verdict)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.seen().asked = true;
        self.client.clone()
    }

    fn has_certs(&self) -> bool {
        self.client.is_some()
    }
}

/// What the client offers: signature schemes, and the cipher suites that go with them.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) schemes: Vec<SignatureScheme>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Offer {
    /// Everything that can be verified.
    pub(super) fn everything() -> Self {
        let provider = aws_lc_rs::default_provider();
        Self {
            schemes: provider
                .signature_verification_algorithms
                .supported_schemes(),
            provider: Arc::new(provider),
        }
    }

    /// Only what the key of this leaf can sign, so that a server with several certificates shows this one.
    /// All curves of ECDSA: in TLS 1.3 the schemes speak of the chain's signatures, too (RFC 8446, section
    /// 4.2.3), and a P-256 leaf under a P-384 CA is common.
    pub(super) fn for_leaf(leaf: &[u8]) -> Self {
        let mut offer = Self::everything();
        let Some(family) = Family::of(leaf) else {
            return offer;
        };
        offer.schemes.retain(|&scheme| family.signs(scheme));
        let mut provider = aws_lc_rs::default_provider();
        // In TLS 1.2 the suite names the kind of certificate as well (RFC 5246, section 7.4.2).
        provider.cipher_suites.retain(|suite| match suite {
            SupportedCipherSuite::Tls12(suite) => {
                suite.sign.iter().any(|&scheme| family.signs(scheme))
            }
            SupportedCipherSuite::Tls13(_) => true,
        });
        offer.provider = Arc::new(provider);
        offer
    }
}

/// A family of keys that servers can hold one certificate each for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ecdsa,
    Rsa,
    Ed25519,
}

impl Family {
    fn of(leaf: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let algorithm = &certificate.public_key().algorithm.algorithm;
        if *algorithm == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
            Some(Self::Ecdsa)
        } else if *algorithm == oid::OID_PKCS1_RSAENCRYPTION {
            Some(Self::Rsa)
        } else if *algorithm == oid::OID_SIG_ED25519 {
            Some(Self::Ed25519)
        } else {
            None
        }
    }

    fn signs(self, scheme: SignatureScheme) -> bool {
        use SignatureScheme as S;
        match scheme {
            S::ECDSA_NISTP256_SHA256 | S::ECDSA_NISTP384_SHA384 | S::ECDSA_NISTP521_SHA512 => {
                self == Self::Ecdsa
            }
            S::RSA_PKCS1_SHA256
            | S::RSA_PKCS1_SHA384
            | S::RSA_PKCS1_SHA512
            | S::RSA_PSS_SHA256
            | S::RSA_PSS_SHA384
            | S::RSA_PSS_SHA512 => self == Self::Rsa,
            S::ED25519 => self == Self::Ed25519,
            _ => false,
        }
    }
}

/// Verifies a chain exactly as it was sent: no intermediate of ours helps out. Names are not judged: the
/// leaf is the published one byte for byte.
pub(super) fn verify_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
) -> Result<(), webpki::Error> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            algorithms.all,
            anchors,
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_| ())
}
