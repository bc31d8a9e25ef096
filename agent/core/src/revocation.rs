//! Revocation: why a leaf is no longer to be believed.

/// Why a certificate is revoked: those reasons of RFC 5280, section 5.3.1, that a certificate's holder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// None is given.
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// Another one took its place.
    Superseded,
    /// The service is no more.
    CessationOfOperation,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// As people write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
        }
    }

    /// As the CRL has it.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}
