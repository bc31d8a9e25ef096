//! What the operator can do about each error of an EST server.

use super::{EstError, Shown};
use crate::issuer::est::attributes::Unwanted;

impl EstError {
    /// The next step.
    pub(in super::super) fn remedy(&self) -> String {
        match self {
            Self::Https(error) => error.remedy(),
            Self::Secret(error) => error.remedy(),
            Self::Bootstrap { .. } => {
                "put a certificate there, as PEM, readable by renewd, and the key that belongs to it where \
                 bootstrap_key says"
                    .into()
            }
            Self::Kept(_) => {
                "check the disk's space, and the owner and mode of what is named".into()
            }
            Self::Unauthorized {
                challenge: Some(scheme),
                ..
            } if !scheme.eq_ignore_ascii_case("basic") => {
                "let the server take HTTP basic, or configure bootstrap_certificate and bootstrap_key".into()
            }
            Self::Unauthorized { shown, .. } | Self::Forbidden { shown, .. } => match shown {
                Shown::Nothing => "is it an EST server, and \"label\" right?".into(),
                Shown::Password => {
                    "correct username and password, or give this user the right at the CA".into()
                }
                Shown::Bootstrap | Shown::BootstrapAndPassword => {
                    "let the CA accept what was shown, or configure what it accepts".into()
                }
                Shown::Current => "let the CA accept certificates that it issued".into(),
            },
            Self::Certificate { shown, .. } => match shown {
                Shown::Nothing | Shown::Password => {
                    "configure bootstrap_certificate and bootstrap_key, if the server wants a client certificate; \
                     its log has why"
                        .into()
                }
                _ => "let the server trust the CA of that certificate; its log has why".into(),
            },
            Self::NotThere { .. } => {
                "correct \"server\" and \"label\": not every server has labels, and some have nothing without"
                    .into()
            }
            Self::Refused { .. } => {
                "let the CA allow the names, usages and key type of the certificate, or change them; its log has why"
                    .into()
            }
            Self::Pending { .. } => {
                "have it approved at the CA; the same request is brought again, after a restart, too".into()
            }
            Self::Attributes { unwanted, .. } => match unwanted {
                Unwanted::Key { remedy, .. } => {
                    format!("write key_type = {remedy:?} for the certificate")
                }
                Unwanted::Usage(usage) => {
                    format!("add {usage:?} to \"usage\" of the certificate, or have the CA not want it")
                }
            },
            Self::NoRoot { .. } | Self::TooManyRoots { .. } => {
                "name the file with the CA's roots by \"trust\"".into()
            }
            Self::Unrenewed { enrolment, .. } => enrolment.remedy(),
            Self::Answer { .. } | Self::Spent { .. } => {
                "it is tried again; check that \"server\" is an EST server, and nothing before it answers".into()
            }
        }
    }
}
