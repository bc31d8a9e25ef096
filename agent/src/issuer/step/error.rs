//! Why no certificate came of an order: each in a sentence, with when to ask again and what to do.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use renewd_core::leaf::Fingerprint;
use rustls::AlertDescription;

use super::super::https::HttpsError;
use super::super::kept::KeptError;
use super::super::{IssueError, Retry, Sent};
use crate::secret::SecretError;

/// How much of what a CA writes is shown.
const SHOWN: usize = 400;
/// When to ask again where time hardly helps.
const SLOWLY: Duration = Duration::from_secs(1800);

/// What went wrong with a step-ca.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum StepError {
    /// No answer came.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The CA refused.
    #[error("{host} refused {what}: {message} ({status})")]
    Refused {
        what: &'static str,
        host: String,
        status: StatusCode,
        message: String,
        retry_after: Option<Duration>,
    },
    /// The CA would not have a token that the operator provided. `before` is what went wrong when it was brought first, which
    /// may have used it up.
    #[error("the token of {place} was refused: {refusal}{}", earlier(.before))]
    TokenRefused {
        place: String,
        refusal: Arc<StepError>,
        before: Option<String>,
    },
    /// It would not have the certificate in use, and there is no other way in.
    #[error("{refused}; and a new token cannot be had: {admission}")]
    Unrenewed {
        refused: Box<StepError>,
        admission: Box<StepError>,
    },
    /// No token is for these names.
    #[error("{place} holds no token for exactly {names}")]
    NoToken { place: String, names: String },
    /// The one that is has ended.
    #[error("the token of {place} ended at {at}")]
    TokenEnded { place: String, at: Timestamp },
    /// It is none.
    #[error("line {line} of {place} is no token")]
    TokenUnreadable { place: String, line: usize },
    /// The provisioner's key is none.
    #[error("the key of {place} cannot be used: {why}")]
    Key { place: String, why: &'static str },
    /// A secret cannot be read.
    #[error("{key} cannot be read")]
    Secret {
        key: &'static str,
        source: SecretError,
    },
    /// The server's root is not the one that was pinned.
    #[error("{url} has no root with the SHA-256 {pinned}")]
    OtherRoot { url: String, pinned: Fingerprint },
    /// Nobody asked for it yet.
    #[error("the root with the SHA-256 {0} was not fetched yet")]
    NotFetched(Fingerprint),
    /// The CA's answer makes no sense.
    #[error("the CA's answer about {what} cannot be used: {why}")]
    Protocol { what: &'static str, why: String },
    /// A certificate was issued, and nothing came of it.
    #[error("a certificate was issued, and cannot be used: {0}")]
    Spent(Arc<StepError>),
    /// Neither the certificate's key is there, nor a provisioner's.
    #[error("the certificate with the serial number {serial} cannot be revoked from here any more")]
    NothingToRevokeBy { serial: String },
    /// What is kept cannot be read or written.
    #[error("the root that is kept cannot be used: {0}")]
    Kept(#[source] KeptError),
}

impl StepError {
    pub(super) fn protocol(what: &'static str, why: impl ToString) -> Self {
        let why = clipped(&why.to_string());
        Self::Protocol { what, why }
    }

    /// An answer that said yes, and cannot be used, is an issuance that came to nothing.
    pub(super) fn of_a_signature(self) -> Self {
        match self {
            Self::Protocol { .. } | Self::Https(HttpsError::TooLong { .. }) => {
                self.after_an_issuance()
            }
            other => other,
        }
    }

    pub(super) fn after_an_issuance(self) -> Self {
        match self {
            Self::Spent(_) => self,
            other => Self::Spent(Arc::new(other)),
        }
    }

    /// Whether a token that was brought is of no use any more. A CA that has
    /// trouble of its own may have used it up, or not.
    pub(super) fn ends_a_token(&self) -> bool {
        match self {
            Self::Refused { status, .. } => refused_for_long(*status),
            _ => false,
        }
    }

    /// 404.
    pub(super) fn is_not_there(&self) -> bool {
        match self {
            Self::Refused { status, .. } | Self::Https(HttpsError::Status { status, .. }) => {
                *status == StatusCode::NOT_FOUND
            }
            _ => false,
        }
    }

    /// Whether no server lets the certificate in use in: it has ended, by the CA's clock.
    pub(super) fn is_of_the_end(&self) -> bool {
        let ended = AlertDescription::CertificateExpired;
        matches!(self, Self::Https(HttpsError::Alert { alert, .. }) if *alert == ended)
    }

    /// Whether the CA will not have the certificate in use, so that only a new token helps.
    pub(super) fn is_of_the_renewal(&self) -> bool {
        match self {
            Self::Refused { status, .. } => refused_for_long(*status),
            Self::Https(error) => error.is_of_our_certificate(),
            _ => false,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Https(error) => error.label(),
            Self::Refused { .. } => "step-refused",
            Self::Unrenewed { .. } => "step-not-renewed",
            Self::TokenRefused { .. } | Self::TokenEnded { .. } | Self::NoToken { .. } => {
                "step-token"
            }
            Self::TokenUnreadable { .. } | Self::Key { .. } | Self::Secret { .. } => "step-secret",
            Self::OtherRoot { .. } | Self::NotFetched(_) => "step-root",
            Self::Protocol { .. } => "step-protocol",
            Self::Spent(_) => "step-spent",
            Self::NothingToRevokeBy { .. } => "step-revocation",
            Self::Kept(_) => "step-kept",
        }
    }

    /// When to ask again. Whatever the CA says, it may be a mistake of its own: only a token that it will not have, and
    /// what is wrong on this host, are the operator's.
    fn retry(&self) -> Retry {
        match self {
            Self::Https(error) => error.retry(),
            Self::Refused {
                status,
                retry_after,
                ..
            } => match retry_after {
                _ if refused_for_long(*status) => {
                    Retry::After(retry_after.unwrap_or(SLOWLY).max(SLOWLY))
                }
                Some(after) => Retry::After(*after),
                None => Retry::BackOff,
            },
            // The certificate in use may be renewed after all, once the CA has come to its senses.
            Self::Unrenewed { refused, admission } => match (admission.retry(), refused.retry()) {
                (Retry::Operator, Retry::BackOff) => Retry::After(SLOWLY),
                (Retry::Operator, renewal) => renewal,
                (admission, _) => admission,
            },
            Self::Spent(inner) => inner.retry(),
            Self::Kept(error) => error.retry(),
            Self::Secret {
                source: SecretError::Io { .. },
                ..
            } => Retry::BackOff,
            Self::TokenRefused { .. }
            | Self::NoToken { .. }
            | Self::TokenEnded { .. }
            | Self::TokenUnreadable { .. }
            | Self::Key { .. }
            | Self::Secret { .. }
            | Self::NothingToRevokeBy { .. } => Retry::Operator,
            Self::OtherRoot { .. } => Retry::After(SLOWLY),
            Self::NotFetched(_) | Self::Protocol { .. } => Retry::BackOff,
        }
    }

    /// The operator's next step.
    fn remedy(&self) -> String {
        match self {
            Self::Https(HttpsError::Untrusted { .. }) => {
                "if the CA has a new root, pin that one by `fingerprint` or `ca`; is the clock right?".into()
            }
            Self::Https(error) => error.remedy(),
            Self::Refused { status, .. } => because(*status).into(),
            Self::TokenRefused { .. } => format!(
                "a token works once, and for minutes, by the clocks of both hosts: {}",
                fresh("it")
            ),
            Self::TokenEnded { place, .. } | Self::NoToken { place, .. } => fresh(place),
            Self::TokenUnreadable { place, .. } => format!("{}, one a line", fresh(place)),
            Self::Unrenewed { admission, .. } => admission.remedy(),
            Self::Key { .. } => {
                "put the provisioner's decrypted key there, as JWK or PEM, then \"renewctl renew NAME\"".into()
            }
            Self::Secret { source, .. } => {
                format!("{}, then \"renewctl renew NAME\"", source.remedy())
            }
            Self::OtherRoot { .. } => {
                "compare it with \"step certificate fingerprint root_ca.crt\" on the CA, and correct `fingerprint` or `url`".into()
            }
            Self::NotFetched(_) => "start renewd, and look at \"renewctl status\"".into(),
            Self::Protocol { .. } | Self::Spent(_) => {
                "it is tried again; check that the address is that of the CA".into()
            }
            Self::NothingToRevokeBy { serial } => {
                format!("run \"step ca revoke {serial}\" where you are known to the CA")
            }
            Self::Kept(error) => error.remedy(),
        }
    }
}

fn earlier(before: &Option<String>) -> String {
    before.as_ref().map_or_else(String::new, |before| {
        format!(" (when it was brought first: {before})")
    })
}

fn fresh(place: &str) -> String {
    format!(
        "replace {place} by a fresh one (\"step ca token NAME --san NAME …\" with all names of the certificate), restart renewd \
         if it is a credential, then \"renewctl renew NAME\""
    )
}

/// What waiting a little hardly heals.
fn refused_for_long(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

/// What a refusal of that status usually comes of. The CA tells its reasons to its own log only.
fn because(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => {
            "the certificate is revoked or may not be renewed, the provisioner or its key is not the CA's, or the clocks \
             differ: the CA's log has why"
        }
        StatusCode::FORBIDDEN => {
            "the provisioner or the CA's policy does not allow these names, this life or this key: widen it, or ask for \
             something else"
        }
        StatusCode::NOT_FOUND => "check that `url` is the address of a step-ca, without a path",
        StatusCode::TOO_MANY_REQUESTS => "it is tried again when the CA allows it",
        status if status.is_server_error() => "it is tried again; the CA has trouble of its own",
        _ => "it is tried again; if it stays, look into the CA's log",
    }
}

/// What a CA writes, without control characters, and not too much of it.
pub(super) fn clipped(text: &str) -> String {
    text.chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect()
}

impl From<StepError> for IssueError {
    fn from(error: StepError) -> Self {
        let new = Self::new(
            error.label(),
            error.retry(),
            error.to_string(),
            error.remedy(),
        );
        // What came of the second way is what counts.
        let last = match error {
            StepError::Unrenewed { admission, .. } => *admission,
            other => other,
        };
        match last {
            StepError::Spent(_) => new.with_the_request(Sent::Spent),
            StepError::Secret { source, .. } => new.caused_by(source),
            _ => new,
        }
    }
}
