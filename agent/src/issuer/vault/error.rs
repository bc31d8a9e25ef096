//! Why a Vault gave no certificate: each in a sentence, with when to ask again and what to do.
//!
//! What passes without us is "not now": a seal, a standby, a limit, trouble of the server's own. What the server denies
//! or does not know is the operator's, here or there.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::super::https::HttpsError;
use super::super::{IssueError, Retry, Sent};
use super::token::LOOKUP;
use super::words::{known, said_by};
use crate::secret::{Secret, SecretError};

/// How long a login is left alone that was denied: the server may have locked it for trying too often, for a quarter of
/// an hour unless it was told otherwise.
const LOCKED: Duration = Duration::from_secs(900);

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

/// What helps after a login that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helps {
    /// Time: it may be locked.
    Time,
    /// Another proof, which somebody puts there anyway.
    NextProof,
    /// The operator.
    Operator,
    /// The operator, at the server: it wants what a service has not.
    OneFactor,
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
        helps: Helps,
    },
    /// What another certificate's login came to, which this one waited for.
    #[error(transparent)]
    Same(Arc<VaultError>),
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
    /// What it signed would be revoked with the token that it was signed by.
    #[error("a certificate was issued with a lease by {path}: it is revoked once our token ends")]
    Leased { path: String },
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
    /// What is in a secret's place is none.
    #[error("{0} is empty, or has what cannot be sent")]
    NoSecret(Secret),
    /// What is configured, or what a login gave, cannot be sent.
    #[error("{0} has what cannot be sent")]
    Unusable(&'static str),
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
            Self::Same(error) => error.label(),
            Self::Spent(_) => "vault-spent",
            Self::Leased { .. } => "vault-leased",
            Self::NoRoot { .. } => "vault-no-root",
            Self::Late => "vault-late",
            Self::Secret { .. } | Self::NoSecret(_) | Self::Unusable(_) => "vault-secret",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // A certificate and its key are replaced one after the other.
            Self::Https(HttpsError::Identity(_)) => Retry::BackOff,
            Self::Https(error) => error.retry(),
            Self::Same(error) => error.retry(),
            Self::NotNow {
                retry_after: Some(after),
                ..
            } => Retry::After(*after),
            Self::NoLogin { helps, .. } => match helps {
                Helps::Time => Retry::After(LOCKED),
                Helps::NextProof => Retry::BackOff,
                Helps::Operator | Helps::OneFactor => Retry::Operator,
            },
            // Files are put there, and replaced, while this runs; a credential is what it was at the start.
            Self::Secret {
                source: SecretError::NotGiven(_),
                ..
            }
            | Self::NoSecret(Secret::Credential(_)) => Retry::Operator,
            Self::Secret { .. }
            | Self::NoSecret(Secret::File(_))
            | Self::Redirected { .. }
            | Self::NotNow { .. }
            | Self::Failed { .. }
            | Self::Protocol { .. }
            | Self::Spent(_)
            | Self::Late => Retry::BackOff,
            Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Leased { .. }
            | Self::NoRoot { .. }
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
            Self::Denied { path, .. } => {
                let capability = if path == LOOKUP { "read" } else { "update" };
                format!(
                    "a policy of this login must say path \"{path}\" {{ capabilities = [\"{capability}\"] }}; or the \
                     token is none, or has ended"
                )
            }
            Self::NoLogin { helps, .. } => match helps {
                Helps::Time => {
                    "it is tried again in a quarter of an hour, for it may be locked after too many refused logins; \
                     correct what is shown at the login, or `auth_mount`"
                }
                Helps::NextProof => {
                    "it is tried again; correct what is shown at the login (it may have ended), `auth_role` or \
                     `auth_mount`"
                }
                Helps::Operator => {
                    "correct what is shown at the login (its secret may be used up or ended), or `auth_mount`"
                }
                Helps::OneFactor => {
                    "exempt this login from it (identity/mfa/login-enforcement), or use another one"
                }
            }
            .into(),
            Self::Same(error) => error.remedy(),
            Self::Refused { said, .. } => {
                known(said, "correct the role at the server, or what is asked of it here")
            }
            Self::Failed { said, .. } => known(said, "it is tried again; its log has more"),
            Self::Protocol { .. } => "check that `address` is that of a Vault or an OpenBao".into(),
            Self::Spent(_) => "it is tried again; if it stays, ask whoever runs the server".into(),
            Self::Leased { .. } => "set generate_lease=false in the role".into(),
            Self::NoRoot { .. } => {
                "put the root into a file and name that by `trust`, or import it into the mount".into()
            }
            Self::Late => "it is tried again".into(),
            Self::Secret { source, .. } => source.remedy(),
            Self::NoSecret(_) => "put the right one there, on one line".into(),
            Self::Unusable(_) => "correct it, or ask whoever runs the server".into(),
        }
    }
}

impl From<VaultError> for IssueError {
    fn from(error: VaultError) -> Self {
        let (label, retry, remedy) = (error.label(), error.retry(), error.remedy());
        let new = Self::new(label, retry, error.to_string(), remedy);
        match error {
            VaultError::Spent(_) | VaultError::Leased { .. } => new.with_the_request(Sent::Spent),
            VaultError::Secret { source, .. } => new.caused_by(source),
            _ => new,
        }
    }
}
