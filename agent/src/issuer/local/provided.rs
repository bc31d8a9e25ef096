//! An issuing CA that the operator provides instead of the one that is made here: key, certificate, what is
//! above it, and the root, in one PEM text. Read for each use and wiped after, so that no key of it lies in memory
//! for longer, and a renewed one is taken up by itself.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::LocalSettings;
use super::authority::{Authority, Span, is_signed_by, parse, span};
use super::error::LocalError;
use crate::secret::Secret;

/// The provided CA, judged.
pub(super) struct Provided {
    pub(super) issuing: Authority,
    /// What goes out with a leaf: the issuing certificate and those above it, without the root.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// What peers trust.
    pub(super) root: CertificateDer<'static>,
    /// When all of them are valid.
    pub(super) span: Span,
}

impl Provided {
    /// Reads and judges the CA at this place.
    pub(super) fn read(settings: &LocalSettings, place: &Secret) -> Result<Self, LocalError> {
        let text = settings.secrets.read(place)?;
        judge(&text).map_err(|why| LocalError::Provided {
            place: place.to_string(),
            why,
        })
    }

    /// A leaf shows its issuer's name exactly as the issuer's certificate has it, or no peer finds the way up.
    pub(super) fn check_name_in(
        &self,
        leaf: &CertificateDer<'_>,
        place: &Secret,
    ) -> Result<(), LocalError> {
        let wrong = |why| LocalError::Provided {
            place: place.to_string(),
            why,
        };
        let issuing = self.issuing.certificate();
        let (leaf, issuing) = (parse(leaf).map_err(wrong)?, parse(issuing).map_err(wrong)?);
        if leaf.issuer().as_raw() == issuing.subject().as_raw() {
            return Ok(());
        }
        Err(wrong(format!(
            "its subject ({}) cannot be repeated exactly: parts of one kind stand there more than once, as in DC=corp, \
             DC=example",
            issuing.subject()
        )))
    }
}

fn judge(text: &str) -> Result<Provided, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    // The parser's error may quote the line that it stumbled over, which may be a key's.
    let certificates = found.map_err(|_| "it is not PEM".to_owned())?;
    let (Some(first), Some(root)) = (certificates.first(), certificates.last()) else {
        return Err("it holds no certificate".into());
    };
    let issuing = Authority::pair(first.clone(), text)?;
    let ordinal = |index: usize| format!("certificate {} of {}", index + 1, certificates.len());
    for (index, pair) in certificates.windows(2).enumerate() {
        if !is_signed_by(&pair[0], &pair[1])? {
            return Err(format!(
                "{} was not signed by the next one; the order is: key, issuing certificate, those above it, root",
                ordinal(index)
            ));
        }
    }
    if !is_signed_by(root, root)? {
        return Err(
            "the last certificate is no root: append the self-signed one that peers trust".into(),
        );
    }
    let mut common = issuing.span();
    for (index, certificate) in certificates.iter().enumerate() {
        let parsed = parse(certificate)?;
        check_ca(&parsed, index).map_err(|why| format!("{} {why}", ordinal(index)))?;
        let own = span(&parsed)?;
        common.from = common.from.max(own.from);
        common.until = common.until.min(own.until);
    }
    Ok(Provided {
        issuing,
        chain: certificates[..certificates.len() - 1].to_vec(),
        root: root.clone(),
        span: common,
    })
}

/// Whether a certificate may have a CA of this depth below it (RFC 5280, section 4.2.1.9).
fn check_ca(
    certificate: &x509_parser::certificate::X509Certificate<'_>,
    below: usize,
) -> Result<(), String> {
    let unclear = |error| format!("cannot be read: {error}");
    let constraints = certificate.basic_constraints().map_err(unclear)?;
    let constraints = constraints.filter(|found| found.value.ca);
    let constraints = constraints.ok_or("is not a CA's")?;
    if let Some(most) = constraints.value.path_len_constraint
        && below > most as usize
    {
        return Err(format!(
            "permits {most} CAs below it, and there are {below}"
        ));
    }
    match certificate.key_usage().map_err(unclear)? {
        Some(usage) if !usage.value.key_cert_sign() => {
            Err("may not sign certificates (key usage)".into())
        }
        _ => Ok(()),
    }
}
