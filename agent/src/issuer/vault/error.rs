//! Why a Vault gave no certificate: each in a sentence, with when to ask again and what to do.
//!
//! What passes without us is "not now": a seal, a standby, a limit, trouble of the server's own. What the server denies
//! or does not know is the operator's, here or there.

use std::time::Duration;

use hyper::StatusCode;

use super::super::https::HttpsError;
use super::super::{IssueError, Retry, Sent};
use crate::secret::SecretError;

/// How much of what a server writes is shown.
const LONGEST: usize = 400;

/// Why a server that answers does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nobody has given it its key.
    Sealed,
    /// Another one is active.
    Standby,
    /// It has not yet heard of what another one did.
    Behind,
    /// It was asked too much.
    Limited,
}

impl Absent {
    fn words(self) -> &'static str {
        match self {
            Self::Sealed => "is sealed",
            Self::Standby => "is a standby, which does not answer for the active server",
            Self::Behind => "is behind the active server",
            Self::Limited => "is asked too much",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Sealed => {
                "it is tried again; unseal it (\"vault operator unseal\" or \"bao operator unseal\")"
            }
            Self::Standby => {
                "it is tried again; let `address` lead to the active server, or to a load balancer that asks \
                 /v1/sys/health"
            }
            Self::Behind => "it is tried again",
            Self::Limited => {
                "it is tried again; its rate limit quota (sys/quotas/rate-limit) may be too low for this many hosts"
            }
        }
    }
}

/// What went wrong with a Vault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum VaultError {
    /// No answer came, or none of a Vault.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// It sends us elsewhere.
    #[error("{host} redirects to {to}, which is not followed")]
    Redirected { host: String, to: String },
    /// It does not serve, for now.
    #[error("{host} {}", why.words())]
    NotNow {
        host: String,
        why: Absent,
        retry_after: Option<Duration>,
    },
    /// It knows us not, or lets us not.
    #[error("{host} denied {path}: {}", said_by(said))]
    Denied {
        host: String,
        path: String,
        said: String,
    },
    /// A login was refused.
    #[error("{host} refused the login at {path}: {}", said_by(said))]
    NoLogin {
        host: String,
        path: String,
        said: String,
    },
    /// It cannot do what was asked for.
    #[error("{host} refused {path} ({}): {}", status.as_u16(), said_by(said))]
    Refused {
        host: String,
        path: String,
        status: StatusCode,
        said: String,
    },
    /// It failed.
    #[error("{host} failed at {path}: {}", said_by(said))]
    Failed {
        host: String,
        path: String,
        said: String,
    },
    /// Its answer makes no sense.
    #[error("the answer to {path} cannot be used: {why}")]
    Protocol { path: String, why: String },
    /// What it signed is nothing.
    #[error("a certificate was issued, and cannot be used: {0}")]
    Spent(String),
    /// The mount shows no root.
    #[error("{path} shows no root: only certificates that another CA signed")]
    NoRoot { path: String },
    /// It took too long in all.
    #[error("the server did not finish in time")]
    Late,
    /// A secret cannot be read.
    #[error("{key} cannot be read")]
    Secret {
        key: &'static str,
        #[source]
        source: SecretError,
    },
    /// What is configured, or in a secret's place, is not what should be there.
    #[error("{0} is empty, or has what cannot be sent")]
    Unusable(String),
}

/// What a server said, or that it said nothing.
fn said_by(said: &str) -> String {
    match said.trim() {
        "" => "no reason given".to_owned(),
        said => clipped(said, LONGEST),
    }
}

/// On one line, so that it forges no line of a log, moves no cursor and fills no screen.
pub(super) fn clipped(text: &str, most: usize) -> String {
    // Its lists of errors come with bullets on lines of their own.
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let short: String = text.chars().take(most).collect();
    let cut = if short.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", short.escape_debug())
}

/// What is known of a refusal by its words, and what helps.
const KNOWN: &[(&str, &str)] = &[
    (
        "unknown role",
        "make the role at the server, or correct `role`",
    ),
    (
        "no handler for route",
        "mount a PKI secrets engine there, or correct `mount` (and `namespace`, which it is below)",
    ),
    (
        "common_name field is required",
        "set require_cn=false in the role: no name is a DNS name that a common name can be made of",
    ),
    (
        "not allowed by this role",
        "allow the name in the role (allowed_domains with allow_subdomains or allow_bare_domains, allow_ip_sans, \
         allowed_uri_sans), or remove it here",
    ),
    (
        "beyond the expiration of the CA",
        "renew the CA's own certificate, or shorten `lifetime`",
    ),
    (
        "requires keys of type",
        "set key_type=any in the role, or correct `key_type` here",
    ),
    (
        "find PKI issuer",
        "it is tried again; correct `issuer_ref`, or make an issuer in this mount",
    ),
];

fn known(said: &str, otherwise: &str) -> String {
    let known = KNOWN.iter().find(|(words, _)| said.contains(words));
    known.map_or(otherwise, |(_, remedy)| remedy).to_owned()
}

impl VaultError {
    fn label(&self) -> &'static str {
        match self {
            Self::Https(error) => error.label(),
            Self::Redirected { .. } => "vault-redirected",
            Self::NotNow { .. } => "vault-not-now",
            Self::Denied { .. } => "vault-denied",
            Self::NoLogin { .. } => "vault-login",
            Self::Refused { .. } => "vault-refused",
            Self::Failed { .. } => "vault-failed",
            Self::Protocol { .. } => "vault-protocol",
            Self::Spent(_) => "vault-spent",
            Self::NoRoot { .. } => "vault-no-root",
            Self::Late => "vault-late",
            Self::Secret { .. } | Self::Unusable(_) => "vault-secret",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Https(error) => error.retry(),
            Self::NotNow {
                retry_after: Some(after),
                ..
            } => Retry::After(*after),
            Self::Secret {
                source: SecretError::Io { .. },
                ..
            }
            | Self::Redirected { .. }
            | Self::NotNow { .. }
            | Self::Failed { .. }
            | Self::Protocol { .. }
            | Self::Spent(_)
            | Self::Late => Retry::BackOff,
            Self::Denied { .. }
            | Self::NoLogin { .. }
            | Self::Refused { .. }
            | Self::NoRoot { .. }
            | Self::Secret { .. }
            | Self::Unusable(_) => Retry::Operator,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Https(error) => error.remedy(),
            Self::Redirected { .. } => {
                "it is a standby that sends to its api_addr: configure the address of the active server, or let the \
                 servers forward requests (cluster_addr) to each other"
                    .into()
            }
            Self::NotNow { why, .. } => why.remedy().into(),
            Self::Denied { path, .. } => format!(
                "a policy of this login must say path \"{path}\" {{ capabilities = [\"update\"] }}; or the token is \
                 none, or has ended"
            ),
            Self::NoLogin { .. } => {
                "correct what is shown at the login (its secret may be used up or ended), or `auth_mount`".into()
            }
            Self::Refused { said, .. } => {
                known(said, "correct the role at the server, or what is asked of it here")
            }
            Self::Failed { said, .. } => known(said, "it is tried again; its log has more"),
            Self::Protocol { .. } => "check that `address` is that of a Vault or an OpenBao".into(),
            Self::Spent(_) => "it is tried again; if it stays, ask whoever runs the server".into(),
            Self::NoRoot { .. } => {
                "put the root into a file and name that by `trust`, or import it into the mount".into()
            }
            Self::Late => "it is tried again".into(),
            Self::Secret { source, .. } => source.remedy(),
            Self::Unusable(_) => "put the right one there, on one line".into(),
        }
    }
}

impl From<VaultError> for IssueError {
    fn from(error: VaultError) -> Self {
        let (label, retry, remedy) = (error.label(), error.retry(), error.remedy());
        let new = Self::new(label, retry, error.to_string(), remedy);
        match error {
            VaultError::Spent(_) => new.with_the_request(Sent::Spent),
            VaultError::Secret { source, .. } => new.caused_by(source),
            _ => new,
        }
    }
}
