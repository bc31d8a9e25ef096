//! A token that was handed to us: how long it lasts, and that it lasts longer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::login::{Digest, digest};
use super::server::{Server, Token};
use crate::secret::Secret;

pub(super) const LOOKUP: &str = "auth/token/lookup-self";
const RENEW: &str = "auth/token/renew-self";
/// The shortest and the longest time between two looks at a token: its file may have another one.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// What a token is told about itself.
#[derive(Deserialize)]
struct Looked {
    /// What is left of it, in seconds.
    ttl: u64,
    /// What it was made with.
    #[serde(default)]
    creation_ttl: u64,
    #[serde(default)]
    renewable: bool,
    /// What each renewal grants, where it may be renewed for ever.
    period: Option<u64>,
    expire_time: Option<Timestamp>,
    issue_time: Option<Timestamp>,
    last_renewal: Option<Timestamp>,
}

#[derive(Serialize)]
struct Nothing {}

/// The token whose last renewal came to the longest that it may have.
pub(super) type Final = Mutex<Option<Digest>>;

/// How a token stands that was just looked after.
pub(super) struct Tended {
    /// What is left of it; `None` where it does not end, or cannot be known to.
    left: Option<Duration>,
    life: Duration,
    /// Whether it will last longer when it is asked for.
    renewable: bool,
    /// Whether it may look at itself.
    pub(super) seen: bool,
}

impl Looked {
    fn left(&self) -> Option<Duration> {
        let for_ever = self.ttl == 0 && self.creation_ttl == 0 && self.expire_time.is_none();
        (!for_ever).then(|| Duration::from_secs(self.ttl))
    }

    /// What a renewal grants: its period, or what the last one granted.
    fn life(&self) -> Duration {
        if let Some(period) = self.period.filter(|period| *period > 0) {
            return Duration::from_secs(period);
        }
        let begins = self.last_renewal.or(self.issue_time);
        let granted = self.expire_time.zip(begins);
        let granted =
            granted.and_then(|(ends, begins)| Duration::try_from(ends.duration_since(begins)).ok());
        granted.unwrap_or_else(|| Duration::from_secs(self.creation_ttl.max(self.ttl)))
    }
}

/// Looks at a token, and renews it where more than a third of its life is over.
pub(super) async fn tend(
    server: &Server,
    token: &Token,
    last: &Final,
) -> Result<Tended, VaultError> {
    let looked: Looked = match server.get(LOOKUP, Some(token)).await {
        Ok(looked) => looked,
        Err(denied @ VaultError::Denied { .. }) => return unseen(server, token, denied).await,
        Err(error) => return Err(error),
    };
    let own = digest(["", &token.0]);
    let (life, left) = (looked.life(), looked.left());
    let is_final = || *last.lock().unwrap_or_else(PoisonError::into_inner) == Some(own);
    let mut tended = Tended {
        left,
        life,
        renewable: looked.renewable && !is_final(),
        seen: true,
    };
    if left.is_some_and(|left| left < life / 3 * 2) && looked.renewable {
        match server.grant(RENEW, Some(token), None, &Nothing {}).await {
            Ok(granted) => {
                let left = Duration::from_secs(granted.lease_duration);
                tended.left = Some(left);
                // Less: it has come to the longest that it may have.
                tended.renewable = left >= life / 3 * 2;
            }
            Err(VaultError::Denied { .. } | VaultError::Refused { .. }) => {
                tended.renewable = false;
            }
            Err(error) => return Err(error),
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(own).filter(|_| !tended.renewable);
    }
    Ok(tended)
}

/// Renews a token that may not look at itself: it may have ended, or be without that policy.
async fn unseen(server: &Server, token: &Token, denied: VaultError) -> Result<Tended, VaultError> {
    match server.grant(RENEW, Some(token), None, &Nothing {}).await {
        Ok(granted) => {
            let life = Duration::from_secs(granted.lease_duration);
            Ok(Tended {
                left: Some(life),
                life,
                renewable: true,
                seen: false,
            })
        }
        // The server knows it, for it says that it cannot last longer.
        Err(VaultError::Refused { .. }) => Ok(Tended::unknown()),
        Err(VaultError::Denied { .. }) => Err(denied),
        Err(error) => Err(error),
    }
}

impl Tended {
    /// Of one of which nothing can be known.
    pub(super) fn unknown() -> Self {
        Self {
            left: None,
            life: Duration::ZERO,
            renewable: false,
            seen: false,
        }
    }

    /// What should be known of its end where certificates are renewed within `lifetime`.
    pub(super) fn warning(&self, lifetime: Duration, place: &Secret) -> Option<String> {
        if !self.seen {
            let renewed = if self.renewable {
                "it is renewed all the same"
            } else {
                "it cannot be renewed"
            };
            return Some(format!(
                "the token of this issuer may not look at itself, so its end is told by nobody, and {renewed}: give it \
                 the policy \"default\", or path \"{LOOKUP}\" {{ capabilities = [\"read\"] }}, or put another one into \
                 {place}"
            ));
        }
        let left = self.left.filter(|_| !self.renewable)?;
        (left < lifetime.max(self.life / 3)).then(|| {
            format!(
                "the token of this issuer ends in {} and cannot be renewed any more: put another one into {place} before",
                humantime::format_duration(left)
            )
        })
    }

    /// When to look again: before two thirds of it are over. What has ended is not waited for.
    pub(super) fn again(&self) -> Duration {
        match self.left {
            Some(left) if !left.is_zero() => (left / 3).clamp(LOOKS.0, LOOKS.1),
            _ => LOOKS.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_looked_at_before_two_thirds_of_it_are_over_and_rarely_once_it_has_ended() {
        for (left, again) in [
            (None, 3600),
            (Some(0), 3600),
            (Some(1), 1),
            (Some(90), 30),
            (Some(86_400), 3600),
        ] {
            let tended = Tended {
                left: left.map(Duration::from_secs),
                ..Tended::unknown()
            };
            assert_eq!(tended.again(), Duration::from_secs(again), "{left:?}");
        }
    }
}
