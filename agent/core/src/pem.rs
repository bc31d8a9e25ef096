//! PEM text (RFC 7468) out of DER. Owns the encoding; reading is `rustls_pki_types::pem`.
//!
//! Keys pass through here, so the text is appended to a buffer that the caller owns (and wipes), and
//! nothing is kept.

use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

/// The label of an X.509 certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a certificate revocation list.
pub const CRL: &str = "X509 CRL";
/// The label of a PKCS#8 private key.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const LINE: usize = 64;

/// The text of one certificate, with its final newline.
pub fn certificate(der: &[u8]) -> String {
    let mut text = String::with_capacity(encoded_len(CERTIFICATE, der.len()));
    encode_into(&mut text, CERTIFICATE, der);
    text
}

/// Several certificates, one after the other.
pub fn certificates(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| certificate(der)).collect()
}

/// The certificates in a PEM text; everything else in it is passed over.
///
/// # Errors
/// When it is no PEM.
pub fn parse_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect()
}

/// The revocation lists in a PEM text; everything else in it is passed over.
///
/// # Errors
/// When it is no PEM.
pub fn parse_crls(text: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    CertificateRevocationListDer::pem_slice_iter(text.as_bytes()).collect()
}

/// How long the text will be: a buffer of this capacity is never moved, and so leaves no copy behind.
pub fn encoded_len(label: &str, der_len: usize) -> usize {
    let base64 = der_len.div_ceil(3) * 4;
    let frame = "-----BEGIN -----\n".len() + "-----END -----\n".len() + 2 * label.len();
    frame + base64 + base64.div_ceil(LINE)
}

/// Appends the text of one section.
pub fn encode_into(text: &mut String, label: &str, der: &[u8]) {
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    // 48 bytes make a line of 64 characters.
    for line in der.chunks(LINE / 4 * 3) {
        for group in line.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for position in 0..4 {
                if position <= group.len() {
                    let index = (bits >> (18 - 6 * position)) & 0x3f;
                    text.push(char::from(ALPHABET[index as usize]));
                } else {
                    text.push('=');
                }
            }
        }
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_its_length_was_foretold() {
        for len in [0, 1, 2, 3, 47, 48, 49, 95, 96, 97, 1000] {
            let der: Vec<u8> = (0..len).map(|index| (index * 7 + 3) as u8).collect();
            let text = certificate(&der);
            assert_eq!(text.len(), encoded_len(CERTIFICATE, len), "{len}");
            assert!(text.lines().all(|line| line.len() <= LINE));
            let back = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(back.as_ref(), der, "{len}");
        }
    }
}
