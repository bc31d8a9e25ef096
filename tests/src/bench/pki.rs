//! The certificates of a comparison, all P-256, and their publishing the way renewd does it.
//!
//! It owns one CA, one client, and how a new leaf of a server comes to its directory: written aside, then one rename.
//! It must never write into a generation that is published. Its neighbour is [`super::server`], whose programs read them.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::{Failure, Result};
use crate::load::Files;

/// Who the client is.
pub(super) const CLIENT: &str = "spiffe://bench.internal/client";

/// A CA and the client that it vouches for.
pub(super) struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The client's files.
    pub(super) files: Files,
    client: (CertificateDer<'static>, Vec<u8>),
}

/// A generation that is written and not yet published.
pub(super) struct Prepared {
    generation: PathBuf,
    /// Of the leaf, as handshakes show it.
    pub(super) leaf: CertificateDer<'static>,
    /// Chain and key in one.
    pub(super) combined: String,
}

impl Pki {
    /// Makes the CA, and the client's files below `directory`.
    pub(super) fn make(directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()?).map_err(failed)?;
        let own = key()?;
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(CLIENT.try_into().map_err(failed)?)];
        let leaf = params.signed_by(&own, &issuer).map_err(failed)?;
        let files = Files {
            ca: directory.join("ca.pem"),
            certificate: directory.join("client.pem"),
            key: directory.join("client.key"),
        };
        write(&files.ca, &issuer.pem())?;
        write(&files.certificate, &leaf.pem())?;
        write(&files.key, &own.serialize_pem())?;
        Ok(Self {
            issuer,
            files,
            client: (leaf.der().clone(), own.serialize_der()),
        })
    }

    /// Whom the client trusts.
    pub(super) fn anchor(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The client's chain and key.
    pub(super) fn client(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = PrivateKeyDer::try_from(self.client.1.clone()).map_err(failed)?;
        Ok((vec![self.client.0.clone()], key))
    }

    /// Writes generation `number` with a fresh key and leaf into the certificate's directory.
    pub(super) fn prepare(&self, certificate: &Path, number: u64) -> Result<Prepared> {
        let own = key()?;
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().map_err(failed)?),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let leaf = params.signed_by(&own, &self.issuer).map_err(failed)?;
        let generation = certificate.join(format!(".{number}"));
        fs::create_dir_all(&generation).map_err(Failure::io("make", &generation))?;
        let combined = leaf.pem() + &own.serialize_pem();
        write(&generation.join("key.pem"), &own.serialize_pem())?;
        write(&generation.join("fullchain.pem"), &leaf.pem())?;
        write(&generation.join("ca.pem"), &self.issuer.pem())?;
        write(&generation.join("combined.pem"), &combined)?;
        Ok(Prepared {
            generation,
            leaf: leaf.der().clone(),
            combined,
        })
    }
}

impl Prepared {
    /// Makes it the current one.
    pub(super) fn publish(&self) -> Result<()> {
        let (Some(directory), Some(name)) = (self.generation.parent(), self.generation.file_name())
        else {
            unreachable!("a generation is a directory within a directory");
        };
        let aside = directory.join("current.new");
        symlink(name, &aside).map_err(Failure::io("link", &aside))?;
        let current = directory.join("current");
        fs::rename(&aside, &current).map_err(Failure::io("swap", &current))
    }
}

fn key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Failure::io("write", path))
}

fn failed(error: impl Display) -> Failure {
    Failure::Expectation {
        expected: "certificates for the comparison".to_owned(),
        found: error.to_string(),
    }
}
