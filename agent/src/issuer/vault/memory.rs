//! What a server refused lately, so that it is not asked over and over: it may lock a login that is refused too often, and
//! keeps what every login leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::VaultError;
use super::login::Digest;

/// How long a refused login is not made again with the same proof.
const REFUSED: Duration = Duration::from_secs(60);
/// How long no login is made for a path that a fresh token was denied.
const DENIED: Duration = Duration::from_secs(3600);

/// A login that came to nothing.
pub(super) struct Failed {
    at: Instant,
    shown: Digest,
    why: Arc<VaultError>,
}

impl Failed {
    pub(super) fn new(at: Instant, shown: Digest, why: VaultError) -> Self {
        let why = Arc::new(why);
        Self { at, shown, why }
    }

    /// Why not, for whoever wants to show the same and has waited since `asked`: it was his login, too. What the server
    /// refused is known for a while.
    pub(super) fn told(&self, shown: &Digest, asked: Instant, now: Instant) -> Option<VaultError> {
        let refused = matches!(*self.why, VaultError::NoLogin { .. });
        let known = asked <= self.at || (refused && now < self.at + REFUSED);
        (self.shown == *shown && known).then(|| self.again())
    }

    pub(super) fn again(&self) -> VaultError {
        VaultError::Same(Arc::clone(&self.why))
    }
}

/// The paths that fresh tokens were denied.
#[derive(Default)]
pub(super) struct Denials(HashMap<String, Instant>);

impl Denials {
    pub(super) fn note(&mut self, path: &str, now: Instant) {
        self.0.insert(path.to_owned(), now);
    }

    /// Whether another login would not help.
    pub(super) fn has(&self, path: &str, now: Instant) -> bool {
        self.0.get(path).is_some_and(|at| now < *at + DENIED)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Helps;
    use super::*;

    #[test]
    fn a_refused_login_is_known_for_a_minute_and_another_failure_to_those_who_waited() {
        let at = Instant::now() + Duration::from_secs(1000);
        let after = |seconds: u64| at + Duration::from_secs(seconds);
        let refused = VaultError::NoLogin {
            host: String::new(),
            path: String::new(),
            said: String::new(),
            helps: Helps::Operator,
        };
        for (why, held) in [(refused, true), (VaultError::Late, false)] {
            let failed = Failed::new(at, [1; 32], why);
            let told = |shown, asked, now| failed.told(&[shown; 32], asked, now).is_some();
            assert!(told(1, at - Duration::from_secs(100), after(1)));
            assert!(!told(2, at - Duration::from_secs(100), after(1)));
            assert_eq!(told(1, after(59), after(59)), held);
            assert!(!told(1, after(60), after(60)));
            assert!(!told(2, after(1), after(1)));
        }
    }

    #[test]
    fn no_login_is_made_for_an_hour_for_a_path_that_a_fresh_token_was_denied() {
        let now = Instant::now();
        let mut denials = Denials::default();
        denials.note("a", now);
        assert!(denials.has("a", now + Duration::from_secs(3599)));
        assert!(!denials.has("a", now + Duration::from_secs(3600)));
        assert!(!denials.has("b", now));
    }
}
