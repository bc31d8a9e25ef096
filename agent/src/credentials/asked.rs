//! What a connection asks for, and why it is refused.

use renewd_core::names::{CertificateName, CredentialName, UnitName};

/// What systemd asks for on behalf of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The unit that starts, by its canonical name.
    pub unit: UnitName,
    /// The credential.
    pub credential: CredentialName,
}

impl Asked {
    /// Reads the peer's abstract address: `RANDOM/unit/UNIT/CREDENTIAL`.
    pub(super) fn parse(address: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(address).ok()?;
        let mut parts = text.split('/');
        let (_random, kind) = (parts.next()?, parts.next()?);
        let (unit, credential) = (parts.next()?, parts.next()?);
        if kind != "unit" || parts.next().is_some() {
            return None;
        }
        Some(Self {
            unit: unit.parse().ok()?,
            credential: credential.parse().ok()?,
        })
    }
}

/// Why nothing was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Anybody can have any abstract address; only systemd's own, as root, means something.
    #[error("a process of user {0} asked; only systemd, as root, is answered")]
    NotRoot(u32),
    /// A process of root that is not systemd on behalf of a unit.
    #[error("a process of root asked, but not from an address as systemd has it for a unit")]
    NoUnit,
    /// No certificate is configured for this unit and credential.
    #[error("no certificate has credential = \"{}\" below [unit.\"{}\"]", .0.credential, .0.unit)]
    NotConfigured(Asked),
    /// The certificate has no generation yet, or its private copy is lost.
    #[error(
        "nothing of certificate {certificate} is published that could be given yet; let the unit wait for it: \
         Wants= and After=renewd-wait@{certificate}.service"
    )]
    Unpublished {
        /// What was asked for.
        asked: Asked,
        /// The certificate that is configured for it.
        certificate: CertificateName,
    },
}

impl Refusal {
    /// What was asked for, where that can be believed.
    pub fn asked(&self) -> Option<&Asked> {
        match self {
            Self::NotConfigured(asked) | Self::Unpublished { asked, .. } => Some(asked),
            Self::NotRoot(_) | Self::NoUnit => None,
        }
    }
}
