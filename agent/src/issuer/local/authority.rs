//! A CA certificate with its key: how root, issuing intermediate and leaves are made, and how the pair is
//! written and read again. Holds no state and reads no clock.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo,
    date_time_ymd,
};
use renewd_core::pem;
use renewd_core::request::{KeyType, Request};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::super::kept::KeptError;
use super::constraints::Constraints;
use super::error::LocalError;
use crate::keys::{PrivateKey, extended_key_usages, key_usages, san_type};

/// From when to when something is valid, in whole seconds as X.509 has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// A CA certificate with its key.
#[derive(Debug)]
pub(super) struct Authority {
    certificate: CertificateDer<'static>,
    key: PrivateKey,
    span: Span,
}

impl Authority {
    /// A new root: it signs itself, and one level of CAs below it.
    pub(super) fn root(common_name: &str, span: Span) -> Result<Self, LocalError> {
        let key = PrivateKey::generate(KeyType::EcdsaP256)?;
        let params = ca_params(&format!("{common_name} root"), &key, 1, span)?;
        let certificate = params.self_signed(key.pair()).map_err(LocalError::Sign)?;
        Ok(Self::new(&certificate, key, span))
    }

    /// A new issuing intermediate: it signs leaves only, for TLS only, within the constraints.
    pub(super) fn issuing(
        root: &Self,
        common_name: &str,
        constraints: &Constraints,
        span: Span,
    ) -> Result<Self, LocalError> {
        let key = PrivateKey::generate(KeyType::EcdsaP256)?;
        let mut params = ca_params(&format!("{common_name} issuing"), &key, 0, span)?;
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = constraints.extension();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params
            .signed_by(key.pair(), &root.issuer()?)
            .map_err(LocalError::Sign)?;
        Ok(Self::new(&certificate, key, span))
    }

    /// A leaf for a public key, with the names and usages asked for and nothing else: no subject, so the
    /// names are critical (RFC 5280, section 4.2.1.6).
    pub(super) fn leaf(
        &self,
        request: &Request,
        key: &SubjectPublicKeyInfo,
        span: Span,
    ) -> Result<CertificateDer<'static>, LocalError> {
        let mut params = base_params(span)?;
        let mut names = request.names.clone();
        names.sort();
        names.dedup();
        params.subject_alt_names = names.iter().map(san_type).collect::<Result<_, _>>()?;
        params.key_usages = key_usages(key);
        params.extended_key_usages = extended_key_usages(request.usages);
        params.use_authority_key_identifier_extension = true;
        // The explicit form brings the subject key identifier with it.
        params.is_ca = IsCa::ExplicitNoCa;
        let leaf = params
            .signed_by(key, &self.issuer()?)
            .map_err(LocalError::Sign)?;
        Ok(leaf.der().clone())
    }

    /// Key and certificate in one text: one rename, and the pair can never be a mix.
    pub(super) fn pem(&self) -> Zeroizing<String> {
        let key = self.key.pem();
        let length = key.len() + pem::encoded_len(pem::CERTIFICATE, self.certificate.len());
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(&key);
        pem::encode_into(&mut text, pem::CERTIFICATE, &self.certificate);
        text
    }

    /// Reads what [`Authority::pem`] wrote, and believes none of it: the pair must match and be a CA's.
    pub(super) fn from_pem(path: &Path, text: &str) -> Result<Self, KeptError> {
        let certificate = only_certificate(path, text)?;
        Self::pair(certificate, text).map_err(|why| KeptError::Damaged {
            path: path.to_owned(),
            why,
        })
    }

    /// A CA's certificate and the key that stands in `text`.
    pub(super) fn pair(certificate: CertificateDer<'static>, text: &str) -> Result<Self, String> {
        let key = PrivateKey::from_pem(text).map_err(|error| error.to_string())?;
        let parsed = parse(&certificate)?;
        if renewd_core::leaf::Fingerprint::of(parsed.public_key().raw) != key.fingerprint() {
            return Err("its key is not its certificate's".into());
        }
        if !parsed.is_ca() {
            return Err("its certificate is not a CA's".into());
        }
        let span = span(&parsed)?;
        Ok(Self {
            certificate,
            key,
            span,
        })
    }

    /// Checks that `issuer` signed this certificate; for a root, itself.
    pub(super) fn check_signed_by(
        &self,
        issuer: &CertificateDer<'_>,
        path: &Path,
    ) -> Result<(), KeptError> {
        match is_signed_by(&self.certificate, issuer) {
            Ok(true) => Ok(()),
            Ok(false) => Err("its certificate was not signed by the root".to_owned()),
            Err(why) => Err(why),
        }
        .map_err(|why| KeptError::Damaged {
            path: path.to_owned(),
            why,
        })
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn span(&self) -> Span {
        self.span
    }

    fn new(certificate: &Certificate, key: PrivateKey, span: Span) -> Self {
        Self {
            certificate: certificate.der().clone(),
            key,
            span,
        }
    }

    fn issuer(&self) -> Result<Issuer<'static, &rcgen::KeyPair>, LocalError> {
        Issuer::from_ca_cert_der(&self.certificate, self.key.pair()).map_err(LocalError::Sign)
    }
}

pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|error| format!("a certificate cannot be read: {error}"))
}

/// From when to when a certificate is valid.
pub(super) fn span(parsed: &X509Certificate<'_>) -> Result<Span, String> {
    let instant = |seconds| {
        Timestamp::from_second(seconds)
            .map_err(|error| format!("its validity is out of range: {error}"))
    };
    Ok(Span {
        from: instant(parsed.validity().not_before.timestamp())?,
        until: instant(parsed.validity().not_after.timestamp())?,
    })
}

/// Whether `issuer` signed the certificate, by name and by key.
pub(super) fn is_signed_by(
    certificate: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
) -> Result<bool, String> {
    let (own, issuer) = (parse(certificate)?, parse(issuer)?);
    Ok(own.issuer().as_raw() == issuer.subject().as_raw()
        && own.verify_signature(Some(issuer.public_key())).is_ok())
}

/// The one certificate of a text that holds one.
pub(super) fn only_certificate(
    path: &Path,
    text: &str,
) -> Result<CertificateDer<'static>, KeptError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found.as_deref() {
        Ok([certificate]) => Ok(certificate.clone()),
        Ok(certificates) => Err(KeptError::Damaged {
            path: path.to_owned(),
            why: format!("expected one certificate, found {}", certificates.len()),
        }),
        // The parser's error may quote the line that it stumbled over, which may be a key's.
        Err(_) => Err(KeptError::Damaged {
            path: path.to_owned(),
            why: "it is not PEM".into(),
        }),
    }
}

fn ca_params(
    name: &str,
    key: &PrivateKey,
    below: u8,
    span: Span,
) -> Result<CertificateParams, LocalError> {
    let mut params = base_params(span)?;
    // Part of the key's fingerprint tells roots apart whose names would else be the same.
    let id = &key.fingerprint().to_string()[..8];
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{name} {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn base_params(span: Span) -> Result<CertificateParams, LocalError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(serial()?);
    let moment = |at: Timestamp| {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = moment(span.from);
    params.not_after = moment(span.until);
    Ok(params)
}

/// 126 random bits, positive and always 16 bytes long: unguessable and never repeated
/// (RFC 5280, section 4.1.2.2, asks for at most 20).
fn serial() -> Result<SerialNumber, LocalError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| LocalError::Sign(rcgen::Error::RingUnspecified))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
