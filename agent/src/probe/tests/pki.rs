//! A root, an intermediate and leaves for the tests.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};

use crate::probe::Expected;

/// A certificate authority of two levels.
pub(super) struct Pki {
    pub(super) root: CertificateDer<'static>,
    pub(super) root_pem: String,
    pub(super) intermediate: CertificateDer<'static>,
    pub(super) intermediate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf with its key.
pub(super) struct Identity {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) leaf_pem: String,
    pub(super) intermediate: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

impl Pki {
    pub(super) fn new() -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            (params, KeyPair::generate().unwrap())
        };
        let (params, key) = authority("Test Root");
        let root = params.self_signed(&key).unwrap();
        let root_issuer = Issuer::new(params, key);
        let (params, key) = authority("Test Intermediate");
        let intermediate = params.signed_by(&key, &root_issuer).unwrap();
        Self {
            root: root.der().clone(),
            root_pem: root.pem(),
            intermediate: intermediate.der().clone(),
            intermediate_pem: intermediate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A new P-256 identity of `api.test`.
    pub(super) fn identity(&self) -> Identity {
        self.identity_of(&["api.test"], &PKCS_ECDSA_P256_SHA256)
    }

    pub(super) fn identity_of(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
    ) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.strip_prefix("spiffe:") {
                Some(_) => SanType::URI((*name).try_into().unwrap()),
                None => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            leaf: leaf.der().clone(),
            leaf_pem: leaf.pem(),
            intermediate: self.intermediate.clone(),
            key,
        }
    }

    /// What the probe should find when this identity is the published one.
    pub(super) fn expect(&self, identity: &Identity) -> Expected {
        let anchors = vec![self.root.clone()];
        Expected::new(identity.leaf.to_vec(), anchors, UnixTime::now()).unwrap()
    }
}

impl Identity {
    /// With its key and its whole chain.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        let chain = vec![self.leaf.clone(), self.intermediate.clone()];
        certified(chain, &self.key)
    }
}

/// Any chain with any key: whether they belong together is not checked.
pub(super) fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<CertifiedKey> {
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = aws_lc_rs::default_provider();
    let signing_key = provider.key_provider.load_private_key(der).unwrap();
    Arc::new(CertifiedKey::new(chain, signing_key))
}

/// An instant at which nothing made here is valid any more.
pub(super) fn far_future() -> UnixTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime::since_unix_epoch(now * 100)
}
