//! Why no certificate came of an order: each in a sentence, with when to ask again and what to do.

mod problems;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::Problem;

use super::super::https::HttpsError;
use super::super::kept::KeptError;
use super::super::program::ProgramError;
use super::super::{IssueError, Retry, Sent};
use super::dns01::UpdateError;
use super::is;
use super::transport::Transport;
use crate::secret::SecretError;
use problems::{LOOKED, OPERATORS, OTHERS, clipped, sentence};

/// When to ask again where time hardly helps.
pub(super) const SLOWLY: Duration = Duration::from_secs(1800);

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
    Unproven {
        name: String,
        problem: Problem,
        challenge: String,
    },
    /// The CA wants another proof than we can give.
    #[error("the CA does not offer {challenge} for {name}")]
    NotOffered { name: String, challenge: String },
    /// Nobody would answer the CA.
    #[error("nothing answers {challenge} challenges: systemd handed over no socket for them")]
    NoResponder {
        challenge: String,
        unit: &'static str,
    },
    /// What the CA is to see could not be made.
    #[error("the certificate that proves a name cannot be made: {0}")]
    Shown(String),
    /// The program that makes records did not.
    #[error("dns_command: {0}")]
    Program(#[from] ProgramError),
    /// The zone was not updated.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The CA names others.
    #[error("the CA has no profile {0:?}")]
    NoProfile(String),
    /// The CA changes no keys.
    #[error("the CA cannot give an account another key (RFC 8555, section 7.3.5)")]
    NoRollover,
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
    Kept(#[source] KeptError),
    /// The account's file is none.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
}

/// What is refused where it is no order.
pub(super) const ACCOUNT: &str = "the account";

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
            Self::NoResponder { .. } => "acme-no-responder",
            Self::NoProfile(_) => "acme-no-profile",
            Self::NoRollover => "acme-no-rollover",
            Self::Shown(_) => "acme-proof",
            Self::Program(_) => "acme-dns-command",
            Self::Update(_) => "acme-dns-update",
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
            Self::NotOffered { .. } | Self::NoProfile(_) => Retry::After(SLOWLY),
            Self::Program(error) => error.retry(),
            Self::Update(error) => error.retry(),
            Self::NoResponder { .. }
            | Self::NoRollover
            | Self::Secret(_)
            | Self::BindingKey(_)
            | Self::Damaged(_) => Retry::Operator,
            Self::Unproven { .. }
            | Self::Webroot { .. }
            | Self::Shown(_)
            | Self::Late(None)
            | Self::Protocol { .. }
            | Self::Spent(_) => Retry::BackOff,
        }
    }

    /// The operator's next step.
    fn remedy(&self) -> String {
        match self {
            Self::Https(error) => error.remedy(),
            Self::Unproven { challenge, name, problem }
                if challenge == "dns-01" && LOOKED.iter().any(|kind| is(problem, kind)) =>
            {
                let name = name.trim_start_matches("*.");
                format!(
                    "look up the TXT records of _acme-challenge.{name} as the CA does; where they come late, raise `dns_wait`"
                )
            }
            Self::Unproven { challenge, problem, .. }
                if challenge == "tls-alpn-01" && LOOKED.iter().any(|kind| is(problem, kind)) =>
            {
                "let port 443 of that name lead to this host, with nothing before it that ends TLS"
                    .into()
            }
            Self::Refused {
                what: ACCOUNT,
                problem,
                ..
            } if is(problem, "unauthorized") => {
                "ask whoever runs the CA whether it has closed the account; without its file (account-….json in \
                 /var/lib/renewd/store/issuer/NAME) another one is made"
                    .into()
            }
            Self::Refused { problem, .. } | Self::Unproven { problem, .. } => {
                let known = OPERATORS.iter().chain(OTHERS);
                let mut known = known.filter(|(kind, _)| is(problem, kind));
                known.next().map_or_else(
                    || "it is tried again; if it stays, ask whoever runs the CA".to_owned(),
                    |(_, remedy)| (*remedy).to_owned(),
                )
            }
            Self::NotOffered { .. } => {
                "configure another `challenge` (wildcards need \"dns-01\"), or take the name out".into()
            }
            Self::NoResponder { unit, .. } => format!(
                "\"systemctl stop renewd\", \"systemctl enable --now {unit}\", \"systemctl start renewd\"; or configure another `challenge` or a `webroot`"
            ),
            Self::NoRollover => {
                "keep the key; or, for another account, remove the account's file while renewd is stopped".into()
            }
            Self::NoProfile(_) => "correct `profile`, or remove it".into(),
            Self::Shown(_) => "it is tried again; if it stays, please report it".into(),
            Self::Program(error) => error.remedy(),
            Self::Update(error) => error.remedy(),
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
            AcmeError::Secret(source) | AcmeError::Update(UpdateError::Secret(source)) => {
                new.caused_by(source)
            }
            AcmeError::Update(UpdateError::Unreachable { source, .. }) => new.caused_by(source),
            _ => new,
        }
    }
}
