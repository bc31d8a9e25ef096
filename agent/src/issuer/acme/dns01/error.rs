//! Why a server of names did not update its zone.

use std::io;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::tsig::TsigError;

use super::super::super::Retry;
use super::super::error::SLOWLY;
use super::update::meaning;
use crate::secret::SecretError;

/// Why a zone was not updated.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum UpdateError {
    /// The key cannot be read.
    #[error("tsig_key cannot be read")]
    Secret(#[source] SecretError),
    /// It is not as servers write it.
    #[error("tsig_key = \"{0}\" is no base64 text")]
    Key(String),
    /// It cannot be in a zone.
    #[error("{0:?} is no name that a zone can have")]
    Name(String),
    /// No answer came.
    #[error("the server of names {server} cannot be reached")]
    Unreachable { server: String, source: io::Error },
    /// It makes no sense, or somebody else wrote it.
    #[error("the answer of the server of names {server} cannot be used: {why}")]
    Answer { server: String, why: String },
    /// The server does not do it.
    #[error("the server of names {server} refused: {}", said(*code, *tsig))]
    Refused {
        server: String,
        code: ResponseCode,
        tsig: Option<TsigError>,
    },
    /// The server does not say in which zone a name is.
    #[error("the server of names {server} has no zone of {name}")]
    NoZone { server: String, name: String },
    /// It is in another one.
    #[error("{name} is not in dns_zone = \"{zone}\"")]
    NotInZone { zone: String, name: String },
    /// The update was taken, and is not seen.
    #[error("the server of names {server} took a TXT record of {name}, and does not show it")]
    NotShown { server: String, name: String },
}

fn said(code: ResponseCode, tsig: Option<TsigError>) -> String {
    let meaning = tsig.and_then(meaning);
    meaning.map_or_else(|| code.to_string(), str::to_owned)
}

impl UpdateError {
    /// When to ask again: only what is wrong on this host ends the tries.
    pub(in super::super) fn retry(&self) -> Retry {
        match self {
            Self::Secret(SecretError::Io { .. }) => Retry::BackOff,
            Self::Secret(_) | Self::Key(_) | Self::Name(_) | Self::NotInZone { .. } => {
                Retry::Operator
            }
            Self::Refused { .. } | Self::NoZone { .. } => Retry::After(SLOWLY),
            Self::Unreachable { .. } | Self::Answer { .. } | Self::NotShown { .. } => {
                Retry::BackOff
            }
        }
    }

    /// The operator's next step.
    pub(in super::super) fn remedy(&self) -> String {
        match self {
            Self::Secret(error) => error.remedy(),
            Self::Key(_) => {
                "put the key there as the server's configuration has it, on one line".into()
            }
            Self::Name(_) => "correct the name".into(),
            Self::Unreachable { .. } => {
                "check `dns_server`, and that TCP to it gets through".into()
            }
            Self::Answer { .. } => "check `tsig_key`, `tsig_algorithm` and both clocks".into(),
            Self::Refused {
                tsig: Some(TsigError::BadTime),
                ..
            } => "set both clocks".into(),
            Self::Refused { .. } => {
                "check `tsig_key_name`, `tsig_key` and `tsig_algorithm`, and let that key update the TXT records of _acme-challenge there".into()
            }
            Self::NoZone { .. } => {
                "name the primary server of the zone as `dns_server`, or the zone as `dns_zone`"
                    .into()
            }
            Self::NotInZone { .. } => "correct `dns_zone`, or leave it out".into(),
            Self::NotShown { .. } => "see what the server makes of its updates".into(),
        }
    }
}
