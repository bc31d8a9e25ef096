//! Renewal information (RFC 9773): when the CA wants a leaf to be renewed.

use std::time::Duration;

use instant_acme::{CertificateIdentifier, RenewalInfo};
use jiff::Timestamp;
use renewd_core::supply::Advice;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use super::AcmeIssuer;
use super::error::AcmeError;

/// How long it holds where the CA does not say so (RFC 9773, section 4.3.3, asks for six hours).
const POLL: Duration = Duration::from_secs(6 * 3600);
/// How long an address of an explanation may be.
const LONGEST: usize = 200;

/// What of a directory is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    renewal_info: Option<String>,
}

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
    // It needs no account, and makes none.
    let directory: Directory = transport
        .get("its directory", &issuer.settings.directory)
        .await?;
    let Some(address) = directory.renewal_info else {
        return Ok(None);
    };
    let info: RenewalInfo = transport
        .get("renewal information", &format!("{address}/{name}"))
        .await?;
    let again = transport.retry_after().unwrap_or(POLL);
    let window = info.suggested_window;
    let instant = |seconds: i64| {
        Timestamp::from_second(seconds)
            .map_err(|error| AcmeError::protocol("renewal information", error))
    };
    Ok(Some(Advice {
        from: instant(window.start.unix_timestamp())?,
        until: instant(window.end.unix_timestamp())?,
        again,
        explanation: info.explanation_url.filter(|url| is_for_people(url)),
    }))
}

/// Whether it is an address that a browser opens, and that can be printed anywhere.
fn is_for_people(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let web = |scheme: &str| {
        ["https", "http"]
            .iter()
            .any(|web| scheme.eq_ignore_ascii_case(web))
    };
    scheme.is_some_and(web)
        && url.len() <= LONGEST
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}
