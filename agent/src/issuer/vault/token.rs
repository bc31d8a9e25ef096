//! A token that was handed to us: how long it lasts, and that it lasts longer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::server::{Server, Token};
use crate::secret::Secret;

const LOOKUP: &str = "auth/token/lookup-self";
const RENEW: &str = "auth/token/renew-self";
/// The shortest and the longest time between two looks at a token: its file may have another one.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// What a token is told about itself.
#[derive(Deserialize)]
struct Looked {
    /// What is left of it, in seconds; zero is for ever.
    ttl: u64,
    /// What it was made with.
    #[serde(default)]
    creation_ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Serialize)]
struct Nothing {}

/// How a token stands that was just looked after.
pub(super) struct Tended {
    /// What is left of it; `None` where it does not end.
    left: Option<Duration>,
    life: Duration,
    /// Whether it will last longer when it is asked for.
    renewable: bool,
}

/// Looks at a token, and renews it where more than a third of its life is over.
pub(super) async fn tend(server: &Server, token: &Token) -> Result<Tended, VaultError> {
    let looked: Looked = server.get(LOOKUP, Some(token)).await?;
    let life = Duration::from_secs(looked.creation_ttl.max(looked.ttl));
    let mut tended = Tended {
        left: Some(Duration::from_secs(looked.ttl)).filter(|left| !left.is_zero()),
        life,
        renewable: looked.renewable,
    };
    if tended.left.is_some_and(|left| left < life / 3 * 2) && looked.renewable {
        match server.grant(RENEW, Some(token), None, &Nothing {}).await {
            Ok(granted) => {
                let left = Duration::from_secs(granted.lease_duration);
                tended.left = Some(left);
                // It has come to the longest that it may have.
                tended.renewable = left >= life / 3 * 2;
            }
            Err(VaultError::Denied { .. } | VaultError::Refused { .. }) => {
                tended.renewable = false;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tended)
}

impl Tended {
    /// What should be known of its end where certificates are renewed within `lifetime`.
    pub(super) fn warning(&self, lifetime: Duration, place: &Secret) -> Option<String> {
        let left = self.left.filter(|_| !self.renewable)?;
        (left < lifetime.max(self.life / 3)).then(|| {
            format!(
                "the token of this issuer ends in {} and cannot be renewed any more: put another one into {place} before",
                humantime::format_duration(left)
            )
        })
    }

    /// When to look again: before two thirds of it are over.
    pub(super) fn again(&self) -> Duration {
        let third = self.left.map_or(LOOKS.1, |left| left / 3);
        third.clamp(LOOKS.0, LOOKS.1)
    }
}
