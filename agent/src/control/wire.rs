//! The Varlink errors of the two interfaces, and their way from and to [`ControlError`].
//!
//! Neighbours: [`super::service`] sends them, [`super::client`] receives them.

use zlink::{ReplyError, introspect};

use super::report::ControlError;

/// Errors of `io.renewd.Status`.
#[derive(Debug, Clone, PartialEq, Eq, ReplyError, introspect::ReplyError)]
#[zlink(interface = "io.renewd.Status")]
pub enum StatusFault {
    /// There is no certificate of that name.
    NoSuchCertificate {
        /// The name that was asked for.
        name: String,
    },
    /// There is no such issuer, or it has no root to show.
    NoSuchIssuer {
        /// Which, and what to do.
        message: String,
    },
    /// Anything else.
    Failed {
        /// What, where and the remedy.
        message: String,
    },
}

/// Errors of `io.renewd.Control`.
#[derive(Debug, Clone, PartialEq, Eq, ReplyError, introspect::ReplyError)]
#[zlink(interface = "io.renewd.Control")]
pub enum ControlFault {
    /// The caller is neither root, nor the daemon's own user, nor in the administrators' group.
    PermissionDenied,
    /// There is no certificate of that name.
    NoSuchCertificate {
        /// The name that was asked for.
        name: String,
    },
    /// There is no such issuer.
    NoSuchIssuer {
        /// Which, and what to do.
        message: String,
    },
    /// `Forget` of a certificate that is still configured.
    StillConfigured {
        /// The name that was asked for.
        name: String,
    },
    /// The new configuration is not in force; the old one still is.
    ReloadRefused {
        /// Every fault that was found.
        errors: Vec<String>,
    },
    /// The daemon is on its way out.
    Stopping,
    /// Anything else.
    Failed {
        /// What, where and the remedy.
        message: String,
    },
}

impl From<ControlError> for StatusFault {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NoSuchCertificate(name) => Self::NoSuchCertificate { name },
            ControlError::NoSuchIssuer(message) => Self::NoSuchIssuer { message },
            other => Self::Failed {
                message: other.to_string(),
            },
        }
    }
}

impl From<ControlError> for ControlFault {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NoSuchCertificate(name) => Self::NoSuchCertificate { name },
            ControlError::NoSuchIssuer(message) => Self::NoSuchIssuer { message },
            ControlError::StillConfigured(name) => Self::StillConfigured { name },
            ControlError::Stopping => Self::Stopping,
            other => Self::Failed {
                message: other.to_string(),
            },
        }
    }
}
