//! When a token that was handed to us is looked at again.

use std::time::Duration;

/// After the first failure; doubled with each further one.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(3600);
/// By what share of a wait many hosts are spread.
const SPREAD: f64 = 0.125;

/// The time between looks at one token.
pub(super) struct Pace {
    usual: Duration,
    failures: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            usual: LONGEST * 2,
            failures: 0,
        }
    }

    pub(super) fn after_a_look(&mut self, usual: Duration) -> Duration {
        *self = Self { usual, failures: 0 };
        usual
    }

    /// `chance` is in 0..1. A token that ends soon is tried again while it lasts.
    pub(super) fn after_a_failure(&mut self, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let most = (self.usual / 2).clamp(FIRST, LONGEST);
        let wait = FIRST.saturating_mul(doubled).min(most);
        wait + wait.mul_f64(SPREAD * chance)
    }
}

/// A random number in 0..1; without randomness there is no connection either.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_asked_ever_more_rarely_and_a_token_that_ends_soon_more_often() {
        let secs = Duration::from_secs;
        for (usual, expected) in [
            (None, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]),
            (
                Some(secs(1200)),
                [15, 30, 60, 120, 240, 480, 600, 600, 600, 600],
            ),
            (Some(secs(1)), [15; 10]),
        ] {
            let mut pace = Pace::new();
            for _ in 0..2 {
                if let Some(usual) = usual {
                    assert_eq!(pace.after_a_look(usual), usual);
                }
                let waits = expected.map(|_| pace.after_a_failure(0.0));
                assert_eq!(waits, expected.map(secs));
                pace.failures = 0;
            }
            pace.failures = u32::MAX;
            let most = pace.after_a_failure(1.0);
            assert_eq!(most, secs(expected[9]).mul_f64(1.125));
        }
        assert!((0.0..1.0).contains(&chance()));
    }
}
