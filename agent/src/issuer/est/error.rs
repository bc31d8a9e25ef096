//! Why an EST server gave no certificate: each says where, when it is worth another try, and what to do.

mod remedy;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use rustls::AlertDescription;

use super::super::https::HttpsError;
use super::super::kept::KeptError;
use super::super::{IssueError, Retry, Sent};
use super::attributes::Unwanted;
use super::enrolment::{ENROLL, REENROLL};
use crate::secret::SecretError;

/// For what somebody has to put right at the CA, of which we hear nothing.
const SLOWLY: Duration = Duration::from_secs(1800);

/// What was shown of ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Password,
    Bootstrap,
    BootstrapAndPassword,
    Current,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Password => "username and password",
            Self::Bootstrap => "the bootstrap certificate",
            Self::BootstrapAndPassword => "the bootstrap certificate, username and password",
            Self::Current => "the current certificate",
        })
    }
}

/// Why there is no certificate. `at` is the address that was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum EstError {
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("the secret of an EST issuer cannot be read")]
    Secret(#[source] SecretError),
    #[error("bootstrap_certificate: {} cannot be used: {why}", path.display())]
    Bootstrap { path: PathBuf, why: String },
    #[error("what is kept of an EST server cannot be used")]
    Kept(#[source] KeptError),
    /// 401.
    #[error("{at} did not accept {shown}{}", wanting(.challenge))]
    Unauthorized {
        at: String,
        shown: Shown,
        /// The scheme that it wants.
        challenge: Option<String>,
    },
    /// 403.
    #[error("{at} knows {shown}, and gives no such certificate to it{}", quoted(.said))]
    Forbidden {
        at: String,
        shown: Shown,
        said: String,
    },
    /// A TLS alert.
    #[error("{at}: the server ended the TLS handshake after {shown} was shown to it: {alert:?}")]
    Certificate {
        at: String,
        shown: Shown,
        alert: AlertDescription,
    },
    /// 404.
    #[error("there is no {at}{}", quoted(.said))]
    NotThere { at: String, said: String },
    /// 400 and the like.
    #[error("{at} refused the certificate request with {status}{}", quoted(.said))]
    Refused {
        at: String,
        status: StatusCode,
        said: String,
    },
    /// 202.
    #[error("{at} has taken the request, and has not decided on it yet")]
    Pending { at: String, after: Option<Duration> },
    /// A renewal that could not be had, and neither could what is tried in its place.
    #[error("{renewal}; and it cannot be enrolled anew: {enrolment}")]
    Unrenewed {
        renewal: Box<EstError>,
        enrolment: Box<EstError>,
    },
    #[error("{at} {}", words(.unwanted))]
    Attributes { at: String, unwanted: Unwanted },
    #[error("{at} has no root: none of its certificates is a CA that has signed itself")]
    NoRoot { at: String },
    #[error("{at} has more roots than are kept ({bytes} bytes of PEM)")]
    TooManyRoots { at: String, bytes: usize },
    /// An answer that is none.
    #[error("the answer of {at} cannot be used: {why}")]
    Answer { at: String, why: String },
    /// The same, after the request was signed.
    #[error("{at} said that it had signed, and its answer cannot be used: {why}")]
    Spent { at: String, why: String },
}

/// What is not to be asked so often, or so slowly.
pub(super) fn is_too_much(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
    )
}

fn quoted(said: &str) -> String {
    if said.is_empty() {
        return String::new();
    }
    format!(": {said:?}")
}

fn wanting(challenge: &Option<String>) -> String {
    challenge
        .as_ref()
        .map_or_else(String::new, |scheme| format!(" (it wants {scheme:?})"))
}

fn words(unwanted: &Unwanted) -> String {
    match unwanted {
        Unwanted::Key { wanted, .. } => {
            format!("wants another key or signature in requests: {wanted}")
        }
        Unwanted::Usage(usage) => {
            format!("wants the usage {usage:?} in requests, and it is not asked for")
        }
    }
}

impl EstError {
    /// Whether the server, or what stands before it, has a trouble of its own with what was asked.
    pub(super) fn is_trouble(&self) -> bool {
        match self {
            Self::Answer { .. } => true,
            Self::Https(HttpsError::Status { status, .. }) => !is_too_much(*status),
            Self::Https(error) => matches!(
                error,
                HttpsError::Alert { .. }
                    | HttpsError::Slow { .. }
                    | HttpsError::Broken { .. }
                    | HttpsError::TooLong { .. }
                    | HttpsError::Redirected { .. }
            ),
            _ => false,
        }
    }

    /// Whether no connection came about, as when a server ends the handshake without an alert.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Https(HttpsError::Unreachable { .. }))
    }

    /// Whether the server refused who we are or what we asked for, and not merely now.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::Certificate { .. }
                | Self::NotThere { .. }
                | Self::Refused { .. }
        )
    }

    /// A stable word for logs, metrics and the record.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Https(error) => error.label(),
            Self::Secret(_) => "est-secret",
            Self::Bootstrap { .. } => "est-bootstrap",
            Self::Kept(_) => "est-kept",
            Self::Unauthorized { .. } => "est-unauthorized",
            Self::Forbidden { .. } => "est-forbidden",
            Self::Certificate { .. } => "est-certificate",
            Self::NotThere { .. } => "est-not-there",
            Self::Refused { .. } => "est-refused",
            Self::Pending { .. } => "est-pending",
            Self::Attributes { .. } => "est-attributes",
            Self::NoRoot { .. } | Self::TooManyRoots { .. } => "est-no-root",
            Self::Unrenewed { enrolment, .. } => enrolment.label(),
            Self::Answer { .. } | Self::Spent { .. } => "est-answer",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Https(error) => error.retry(),
            Self::Kept(error) => error.retry(),
            Self::Secret(SecretError::Io { .. }) => Retry::BackOff,
            Self::Pending {
                after: Some(after), ..
            } => Retry::After(*after),
            Self::Pending { .. } | Self::Answer { .. } | Self::Spent { .. } => Retry::BackOff,
            // The renewal may yet succeed where the enrolment is the operator's, or was refused.
            Self::Unrenewed { renewal, enrolment } => match enrolment.retry() {
                Retry::Operator => renewal.retry(),
                _ if enrolment.is_refusal() => renewal.retry(),
                later => later,
            },
            // A password that is wrong too often locks its user out.
            Self::Unauthorized {
                shown: Shown::Password | Shown::BootstrapAndPassword,
                ..
            }
            | Self::Secret(_)
            | Self::Bootstrap { .. } => Retry::Operator,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Certificate { .. }
            | Self::NotThere { .. }
            | Self::Refused { .. }
            | Self::Attributes { .. }
            | Self::NoRoot { .. }
            | Self::TooManyRoots { .. } => Retry::After(SLOWLY),
        }
    }

    /// A request that somebody is deciding on (202) outlives whatever fails in between: its key is thrown away only
    /// where the server refused the very request.
    fn sent(&self) -> Sent {
        match self {
            Self::Spent { .. } => Sent::Spent,
            Self::Unrenewed { renewal, enrolment } => match enrolment.sent() {
                Sent::Refused => renewal.sent(),
                other => other,
            },
            Self::Unauthorized { at, .. }
            | Self::Forbidden { at, .. }
            | Self::Certificate { at, .. }
            | Self::NotThere { at, .. }
            | Self::Refused { at, .. }
                if [ENROLL, REENROLL]
                    .iter()
                    .any(|operation| at.ends_with(operation)) =>
            {
                Sent::Refused
            }
            _ => Sent::Open,
        }
    }
}

impl From<EstError> for IssueError {
    fn from(error: EstError) -> Self {
        let new = Self::new(
            error.label(),
            error.retry(),
            error.to_string(),
            error.remedy(),
        )
        .with_the_request(error.sent());
        match error {
            EstError::Secret(source) => new.caused_by(source),
            EstError::Kept(source) => new.caused_by(source),
            EstError::Unrenewed { enrolment, .. } => match *enrolment {
                EstError::Secret(source) => new.caused_by(source),
                EstError::Kept(source) => new.caused_by(source),
                _ => new,
            },
            _ => new,
        }
    }
}
