//! Why no certificate came of an order: each in a sentence, with when to ask again and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::Problem;

use super::super::https::HttpsError;
use super::super::local::LocalError;
use super::super::{IssueError, Retry, Sent};
use super::challenge::SOCKET_UNIT;
use super::is;
use super::transport::Transport;
use crate::secret::SecretError;

/// How much of what a CA writes is shown.
const SHOWN: usize = 400;

/// When to ask again where time hardly helps.
const SLOWLY: Duration = Duration::from_secs(1800);

/// What went wrong with an ACME CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum AcmeError {
    /// No answer came.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The CA refused.
    #[error("the CA refused {what}: {}", sentence(problem))]
    Refused {
        what: &'static str,
        problem: Problem,
        retry_after: Option<Duration>,
    },
    /// The CA looked for a proof, and did not find it.
    #[error("the CA could not see that {name} is ours: {}", sentence(problem))]
    Unproven { name: String, problem: Problem },
    /// The CA wants another proof than we can give.
    #[error("the CA does not offer http-01 for {name}")]
    NotOffered { name: String },
    /// Nobody would answer the CA.
    #[error(
        "nothing answers http-01 challenges: systemd handed over no socket, and no webroot is configured"
    )]
    NoResponder,
    /// A proof could not be put up.
    #[error("{} cannot be written", path.display())]
    Webroot { path: PathBuf, source: io::Error },
    /// The CA is not done.
    #[error("the CA did not finish the order in time; it is gone on with")]
    Late(Option<Duration>),
    /// The CA's answer makes no sense.
    #[error("the CA's answer about {what} cannot be used: {why}")]
    Protocol { what: &'static str, why: String },
    /// What the CA issued cannot be had, or is nothing.
    #[error("a certificate was issued, and cannot be used: {0}")]
    Spent(String),
    /// The key by which the CA knows us already cannot be read.
    #[error("eab_key cannot be read")]
    Secret(#[source] SecretError),
    /// It is not as CAs hand it out.
    #[error("eab_key = \"{0}\" is no base64url text")]
    BindingKey(String),
    /// What is kept cannot be read or written.
    #[error("what is kept of the account and its orders cannot be used: {0}")]
    Kept(#[source] LocalError),
    /// The account's file is none.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
}

impl AcmeError {
    pub(super) fn protocol(what: &'static str, why: impl ToString) -> Self {
        let why = clipped(&why.to_string());
        Self::Protocol { what, why }
    }

    /// An issuance came to nothing: it counts.
    pub(super) fn spent(self) -> Self {
        Self::Spent(self.to_string())
    }

    /// What the library's error means.
    pub(super) fn of(
        what: &'static str,
        error: instant_acme::Error,
        transport: &Transport,
    ) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Refused {
                what,
                problem,
                retry_after: transport.retry_after(),
            },
            instant_acme::Error::Other(error) => match error.downcast::<HttpsError>() {
                Ok(error) => Self::Https(*error),
                Err(error) => Self::protocol(what, error),
            },
            error => Self::protocol(what, error),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Https(error) => error.label(),
            Self::Refused { .. } => "acme-refused",
            Self::Unproven { .. } => "acme-unproven",
            Self::NotOffered { .. } => "acme-not-offered",
            Self::NoResponder => "acme-no-responder",
            Self::Webroot { .. } => "acme-webroot",
            Self::Late(_) => "acme-late",
            Self::Protocol { .. } => "acme-protocol",
            Self::Spent(_) => "acme-spent",
            Self::Secret(_) | Self::BindingKey(_) => "acme-secret",
            Self::Kept(_) | Self::Damaged(_) => "acme-kept",
        }
    }

    /// When to ask again. What others can mend without us is tried again: name servers, firewalls, the CA. Whatever a
    /// CA says, it may be a mistake of its own: only what is wrong on this host ends the tries.
    fn retry(&self) -> Retry {
        match self {
            Self::Https(error) => error.retry(),
            Self::Refused {
                problem,
                retry_after,
                ..
            } => match retry_after {
                _ if OPERATORS.iter().any(|(kind, _)| is(problem, kind)) => {
                    Retry::After(retry_after.unwrap_or(SLOWLY).max(SLOWLY))
                }
                _ if is(problem, "badNonce") => Retry::Now,
                Some(after) => Retry::After(*after),
                None => Retry::BackOff,
            },
            Self::Late(Some(after)) => Retry::After(*after),
            Self::Kept(error) => error.retry(),
            Self::Secret(SecretError::Io { .. }) => Retry::BackOff,
            Self::NotOffered { .. } => Retry::After(SLOWLY),
            Self::NoResponder | Self::Secret(_) | Self::BindingKey(_) | Self::Damaged(_) => {
                Retry::Operator
            }
            Self::Unproven { .. }
            | Self::Webroot { .. }
            | Self::Late(None)
            | Self::Protocol { .. }
            | Self::Spent(_) => Retry::BackOff,
        }
    }

    /// The operator's next step.
    fn remedy(&self) -> String {
        match self {
            Self::Https(error) => error.remedy(),
            Self::Refused { problem, .. } | Self::Unproven { problem, .. } => {
                let known = OPERATORS.iter().chain(OTHERS);
                let mut known = known.filter(|(kind, _)| is(problem, kind));
                known.next().map_or_else(
                    || "it is tried again; if it stays, ask whoever runs the CA".to_owned(),
                    |(_, remedy)| (*remedy).to_owned(),
                )
            }
            Self::NotOffered { .. } => {
                "take the name out (wildcards need dns-01, which this version does not have), or use another CA".into()
            }
            Self::NoResponder => format!(
                "\"systemctl stop renewd\", \"systemctl enable --now {SOCKET_UNIT}\", \"systemctl start renewd\"; or configure `webroot`"
            ),
            Self::Webroot { .. } => {
                "let renewd write there: a directory of its user, and ReadWritePaths= in a drop-in of renewd.service".into()
            }
            Self::Late(_) => "it is tried again".into(),
            Self::Spent(_) => "it is tried again; if it stays, ask whoever runs the CA".into(),
            Self::Protocol { .. } => {
                "check that `directory` is the address of an ACME directory (RFC 8555)".into()
            }
            Self::Secret(error) => error.remedy(),
            Self::BindingKey(_) => "put the CA's key there as it was given, on one line".into(),
            Self::Kept(_) => "check the disk's space, and the owner and mode of what is named".into(),
            Self::Damaged(path) => format!(
                "restore {} from a backup, or remove it: a new account is made",
                path.display()
            ),
        }
    }
}

impl From<AcmeError> for IssueError {
    fn from(error: AcmeError) -> Self {
        let (label, retry, remedy) = (error.label(), error.retry(), error.remedy());
        let new = Self::new(label, retry, error.to_string(), remedy);
        match error {
            AcmeError::Spent(_) => new.with_the_request(Sent::Spent),
            AcmeError::Webroot { source, .. } => new.caused_by(source),
            AcmeError::Secret(source) => new.caused_by(source),
            _ => new,
        }
    }
}

/// Problems that time hardly heals (RFC 8555, section 6.7), with what the operator does about them.
const OPERATORS: &[(&str, &str)] = &[
    (
        "externalAccountRequired",
        "get a key of the CA, and configure `eab_key_id` and `eab_key`",
    ),
    (
        "agreementRequired",
        "read the CA's terms of service, and write terms_of_service = \"agreed\"",
    ),
    (
        "userActionRequired",
        "read the CA's terms of service, which have changed, and do as it says",
    ),
    ("invalidContact", "correct `contact`"),
    ("unsupportedContact", "correct `contact`"),
    (
        "invalidProfile",
        "correct `profile`: its directory shows which ones the CA has",
    ),
    ("rejectedIdentifier", "use another name, or another CA"),
    ("unsupportedIdentifier", "use another name, or another CA"),
    (
        "badCSR",
        "choose a `key_type` that the CA takes, such as \"ecdsa-p256\"",
    ),
    (
        "badPublicKey",
        "choose a `key_type` that the CA takes, such as \"ecdsa-p256\"",
    ),
];

/// Problems that may go without us.
const OTHERS: &[(&str, &str)] = &[
    (
        "rateLimited",
        "it is tried again when the CA allows it; fewer names or certificates need fewer orders",
    ),
    ("caa", "allow this CA in the name's CAA record (RFC 8659)"),
    (
        "dns",
        "look the name up as the CA does: it must lead to this host",
    ),
    (
        "connection",
        "let the CA reach port 80 of this host under that name",
    ),
    (
        "unauthorized",
        "let port 80 of that name lead to this host: something else answers there",
    ),
    (
        "incorrectResponse",
        "let port 80 of that name lead to this host: something else answers there",
    ),
    (
        "tls",
        "let port 80 of that name lead to this host without TLS",
    ),
    (
        "serverInternal",
        "it is tried again; the CA has trouble of its own",
    ),
];

/// A problem document in a sentence: what it says, for which names, and of which type it is.
fn sentence(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for sub in &problem.subproblems {
        if !text.is_empty() {
            text.push_str("; ");
        }
        if let Some(identifier) = &sub.identifier {
            text.push_str(&format!("{}: ", identifier.authorized(false)));
        }
        text.push_str(sub.detail.as_deref().unwrap_or("no reason given"));
    }
    if text.is_empty() {
        text.push_str("no reason given");
    }
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    format!("{} ({})", clipped(&text), clipped(kind))
}

/// So that it forges no line of a log, moves no cursor and fills no screen.
fn clipped(text: &str) -> String {
    let text = text.trim();
    let short: String = text.chars().take(SHOWN).collect();
    let cut = if short.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", short.escape_debug())
}
