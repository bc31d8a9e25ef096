//! Why no answer came from a server: each says from which host, whether to ask again, and what to do.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use rustls::AlertDescription;

use super::super::{IssueError, Retry};

/// What went wrong between us and a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// The anchors cannot be read, or there are none.
    #[error("{}: {why}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host trusts no certificate at all.
    #[error("this host trusts no certificate authority ({0})")]
    NoSystemRoots(String),
    /// The client could not be made.
    #[error("the HTTPS client cannot be made: {0}")]
    Client(String),
    /// What is to be shown of ourselves cannot be.
    #[error("our certificate for the TLS connection cannot be used: {0}")]
    Identity(String),
    /// The server ended the TLS handshake. With TLS 1.3, that is how it refuses a client's certificate after the
    /// client's part is done.
    #[error("{host} ended the TLS handshake: {alert:?}")]
    Alert {
        /// Who.
        host: String,
        /// Its reason (RFC 8446, section 6.2).
        alert: AlertDescription,
    },
    /// The server's certificate was refused.
    #[error("the certificate of {host} was refused: {why}")]
    Untrusted {
        /// Who.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// No connection came about.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// Why not.
        why: String,
    },
    /// It took too long.
    #[error("{host} did not answer in time")]
    Slow {
        /// Who.
        host: String,
    },
    /// The answer broke off, or is no HTTP.
    #[error("the answer of {host} broke off or cannot be read: {why}")]
    Broken {
        /// Who.
        host: String,
        /// What happened.
        why: String,
    },
    /// The answer does not end.
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLong {
        /// Who.
        host: String,
        /// Where reading ended.
        most: usize,
    },
    /// The server sends us elsewhere.
    #[error("{host} redirects to {to}, which is not followed")]
    Redirected {
        /// Who.
        host: String,
        /// Whereto.
        to: String,
    },
    /// A failure without an explanation that could be read.
    #[error("{host} answered {status}{}", shown(.begins))]
    Status {
        /// Who.
        host: String,
        /// With what.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// How its answer begins, without control characters.
        begins: String,
    },
}

fn shown(begins: &str) -> String {
    if begins.is_empty() {
        return String::new();
    }
    format!(" ({begins:?})")
}

/// A redirect to another host.
#[derive(Debug, thiserror::Error)]
#[error("to {0}")]
pub(super) struct Elsewhere(pub(super) String);

/// Redirects without end.
#[derive(Debug, thiserror::Error)]
#[error("to itself, over and over")]
pub(super) struct Circle;

impl HttpsError {
    /// Whether the server refused the certificate that was shown to it, or wanted one. TLS 1.2 has a word that says
    /// no more than that the handshake failed.
    pub fn is_of_our_certificate(&self) -> bool {
        use AlertDescription as Alert;
        let Self::Alert { alert, .. } = self else {
            return false;
        };
        matches!(
            alert,
            Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::CertificateRequired
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::HandshakeFailure
                | Alert::DecryptError
        )
    }

    /// What a client's error means.
    pub(super) fn of(host: &str, error: &reqwest::Error) -> Self {
        let host = host.to_owned();
        if let Some(Elsewhere(to)) = cause(error) {
            return Self::Redirected {
                host,
                to: to.clone(),
            };
        }
        if cause::<Circle>(error).is_some() {
            let to = Circle.to_string();
            return Self::Redirected { host, to };
        }
        if error.is_timeout() {
            return Self::Slow { host };
        }
        if let Some(rustls::Error::InvalidCertificate(why)) = cause(error) {
            let why = format!("{why:?}");
            return Self::Untrusted { host, why };
        }
        if let Some(rustls::Error::AlertReceived(alert)) = cause(error) {
            let alert = *alert;
            return Self::Alert { host, alert };
        }
        let why = deepest(error);
        if error.is_connect() {
            Self::Unreachable { host, why }
        } else {
            Self::Broken { host, why }
        }
    }

    /// A stable word for logs, metrics and the record.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Roots { .. } | Self::NoSystemRoots(_) => "https-roots",
            Self::Client(_) => "https-client",
            Self::Identity(_) => "https-identity",
            Self::Alert { .. } => "https-alert",
            Self::Untrusted { .. } => "https-untrusted",
            Self::Unreachable { .. } => "https-unreachable",
            Self::Slow { .. } => "https-slow",
            Self::Broken { .. } => "https-broken",
            Self::TooLong { .. } => "https-too-long",
            Self::Redirected { .. } => "https-redirected",
            Self::Status { .. } => "https-status",
        }
    }

    /// When to ask again. Networks, name services and servers heal by themselves, and so do files that are
    /// being replaced.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Client(_) | Self::Identity(_) => Retry::Operator,
            Self::Status {
                retry_after: Some(after),
                ..
            } => Retry::After(*after),
            _ => Retry::BackOff,
        }
    }

    /// The operator's next step.
    pub fn remedy(&self) -> String {
        match self {
            Self::Roots { .. } => {
                "put the CA's certificates there, as PEM, readable by renewd".into()
            }
            Self::NoSystemRoots(_) => {
                "install the package ca-certificates, or name the CA's certificate by `ca`".into()
            }
            Self::Client(_) => "correct `proxy`, or report it".into(),
            Self::Identity(_) => {
                "put a certificate there and the unencrypted key that belongs to it, as PEM".into()
            }
            Self::Alert { alert, .. } => match alert {
                AlertDescription::ProtocolVersion => {
                    "let the server speak TLS 1.3; renewd takes less from none but EST servers".into()
                }
                _ => "it is tried again; the server may want a client certificate, or another one: its log has why"
                    .into(),
            },
            Self::Untrusted { host, .. } => format!(
                "if it is the right server, put the CA of its certificate into a file and name that by `ca` \
                 (openssl s_client -showcerts -connect {host} shows it); is the clock right?"
            ),
            Self::Unreachable { .. } => {
                "it is tried again; check the address, the network, name resolution and `proxy`"
                    .into()
            }
            Self::Slow { .. } | Self::Broken { .. } => "it is tried again".into(),
            Self::TooLong { .. } => "check that the address is that of the CA".into(),
            Self::Redirected { .. } => {
                "configure the address that it redirects to, if it is the CA's".into()
            }
            Self::Status { .. } => {
                "it is tried again; if it stays, check the address, and ask whoever runs the server"
                    .into()
            }
        }
    }
}

impl From<HttpsError> for IssueError {
    fn from(error: HttpsError) -> Self {
        Self::new(
            error.label(),
            error.retry(),
            error.to_string(),
            error.remedy(),
        )
    }
}

/// The first cause of that type; those inside of an `io::Error` are no sources of it.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// What is at the bottom of an error, as one line.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let text = chain(error).last().map(ToString::to_string);
    text.unwrap_or_default().escape_debug().collect()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        inner.or_else(|| error.source())
    })
}
