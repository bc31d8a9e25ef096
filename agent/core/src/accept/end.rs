//! Which certificate of a published chain ends first, of those that peers need.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// The subject of the CA certificate whose end it is; `None`: the leaf's own.
    pub of: Option<String>,
}

/// The first end among a leaf, what is above it, and the anchor that this comes to. Each certificate of `chain` issued the
/// one before it; what is above an anchor is for peers that know only an older one, and does not count. Where there is
/// no anchor, all count. `None`: one of them is no certificate.
pub fn first_end(chain: &[CertificateDer<'_>], anchors: &[CertificateDer<'_>]) -> Option<End> {
    let anchors: Vec<_> = anchors.iter().filter_map(|der| read(der)).collect();
    let (mut so_far, mut anchored) = (None, None::<End>);
    for (position, der) in chain.iter().enumerate() {
        let certificate = read(der)?;
        let own = End {
            of: (position > 0).then(|| subject(&certificate)),
            at: not_after(&certificate),
        };
        let end = earlier(so_far, own);
        let issued = |anchor: &&X509Certificate<'_>| {
            anchor.subject().as_raw() == certificate.issuer().as_raw()
                && certificate
                    .verify_signature(Some(anchor.public_key()))
                    .is_ok()
        };
        let above = anchors.iter().filter(issued);
        if let Some(anchor) = above.max_by_key(|anchor| not_after(anchor)) {
            let anchor = End {
                of: Some(subject(anchor)),
                at: not_after(anchor),
            };
            let end = earlier(Some(end.clone()), anchor);
            // Peers take whichever way lasts.
            if anchored.as_ref().is_none_or(|best| best.at < end.at) {
                anchored = Some(end);
            }
        }
        so_far = Some(end);
    }
    anchored.or(so_far)
}

fn earlier(so_far: Option<End>, end: End) -> End {
    match so_far {
        Some(first) if first.at <= end.at => first,
        _ => end,
    }
}

fn read<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate)
}

fn subject(certificate: &X509Certificate<'_>) -> String {
    super::shown(certificate.subject())
}

fn not_after(certificate: &X509Certificate<'_>) -> Timestamp {
    let end = certificate.validity().not_after.timestamp();
    Timestamp::from_second(end).unwrap_or(Timestamp::MAX)
}
