//! Revocation by the account that had the leaf issued (RFC 8555, section 7.6).

use instant_acme::{Error, RevocationReason, RevocationRequest};
use renewd_core::revocation::Reason;

use super::super::Revocation;
use super::error::AcmeError;
use super::{AcmeIssuer, is};

/// Revokes a leaf; one that is revoked already is revoked.
pub(super) async fn revoke(
    issuer: &AcmeIssuer,
    revocation: Revocation<'_>,
) -> Result<(), AcmeError> {
    let transport = issuer.transport()?;
    let account = issuer.accounts.open(issuer, &transport).await?;
    let reason = match revocation.reason {
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
    };
    let request = RevocationRequest {
        certificate: revocation.leaf,
        reason,
    };
    match account.revoke(&request).await {
        Err(Error::Api(problem)) if is(&problem, "alreadyRevoked") => Ok(()),
        answer => answer.map_err(|error| AcmeError::of("the revocation", error, &transport)),
    }
}
