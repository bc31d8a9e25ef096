//! Renewal information (RFC 9773): when the CA wants a leaf to be renewed.

use instant_acme::{CertificateIdentifier, Error};
use jiff::Timestamp;
use renewd_core::supply::Advice;
use rustls_pki_types::CertificateDer;

use super::AcmeIssuer;
use super::error::AcmeError;

/// How long an address of an explanation may be.
const LONGEST: usize = 200;

/// What the CA says of a leaf; `None` where it knows no renewal information.
pub(super) async fn of(
    issuer: &AcmeIssuer,
    leaf: &CertificateDer<'static>,
) -> Result<Option<Advice>, AcmeError> {
    // One without the identifier of its CA's key has no name there.
    let Ok(name) = CertificateIdentifier::try_from(leaf) else {
        return Ok(None);
    };
    let transport = issuer.transport()?;
    let account = issuer.accounts.open(issuer, &transport).await?;
    let (info, again) = match account.renewal_info(&name).await {
        Ok(told) => told,
        Err(Error::Unsupported(_)) => return Ok(None),
        Err(error) => {
            return Err(AcmeError::of("renewal information", error, &transport));
        }
    };
    let window = info.suggested_window;
    let instant = |seconds: i64| {
        Timestamp::from_second(seconds)
            .map_err(|error| AcmeError::protocol("renewal information", error))
    };
    Ok(Some(Advice {
        from: instant(window.start.unix_timestamp())?,
        until: instant(window.end.unix_timestamp())?,
        again,
        explanation: info
            .explanation_url
            .filter(|url| url.len() <= LONGEST && url.bytes().all(|byte| byte.is_ascii_graphic())),
    }))
}
