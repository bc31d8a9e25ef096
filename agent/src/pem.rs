//! PEM, where certificates leave or enter as text (RFC 7468).

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error, PemObject};

/// Certificates as PEM, one after the other.
pub fn certificates(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.to_vec()))).collect()
}

/// The certificates in a PEM text.
///
/// # Errors
/// When it is no PEM.
pub fn parse_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect()
}
