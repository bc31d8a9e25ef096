//! Why a client is not believed, in the verifier's words, ours and the client's.

use std::sync::Arc;

use rustls::{CertificateError, OtherError};

/// Why a client is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Its certificate, or one above it, has ended.
    #[error("the client certificate has expired")]
    Expired,
    /// It has not begun.
    #[error("the client certificate is not valid yet")]
    NotYet,
    /// A list names it, or one above it.
    #[error("the client certificate is revoked")]
    Revoked,
    /// No list says anything about it, or the one that would has ended.
    #[error("nothing recent is known about the revocation of the client certificate")]
    RevocationUnknown,
    /// It leads to no anchor.
    #[error("the client certificate is of a CA that is not trusted")]
    Untrusted,
    /// It is not for clients.
    #[error("the client certificate is not for client authentication")]
    WrongUsage,
    /// Anything else.
    #[error("the client certificate cannot be verified")]
    Unusable(#[source] webpki::Error),
}

impl From<webpki::Error> for Distrust {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYet,
            E::CertRevoked => Self::Revoked,
            E::UnknownRevocationStatus | E::CrlExpired { .. } => Self::RevocationUnknown,
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => Self::Untrusted,
            E::RequiredEkuNotFoundContext(_) | E::CaUsedAsEndEntity => Self::WrongUsage,
            other => Self::Unusable(other),
        }
    }
}

/// Which alert the client is sent.
impl From<Distrust> for CertificateError {
    fn from(why: Distrust) -> Self {
        match why {
            Distrust::Expired => Self::Expired,
            Distrust::NotYet => Self::NotValidYet,
            Distrust::Revoked => Self::Revoked,
            Distrust::RevocationUnknown => Self::UnknownRevocationStatus,
            Distrust::Untrusted => Self::UnknownIssuer,
            Distrust::WrongUsage => Self::InvalidPurpose,
            Distrust::Unusable(webpki::Error::BadDer | webpki::Error::BadDerTime) => {
                Self::BadEncoding
            }
            Distrust::Unusable(other) => Self::Other(OtherError(Arc::new(other))),
        }
    }
}
