//! When a certificate is due, and how long to wait after a failure. Pure arithmetic over instants.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::leaf::Fingerprint;

/// No back-off is longer than this, so that a host whose network is back is not asleep for long.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(3600);

/// No retry of a reload or a probe waits longer than this.
pub const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// How long a clock that stands before our own past is doubted, at most.
pub const LONGEST_DOUBT: Duration = Duration::from_secs(600);

/// How far in the future `notBefore` may be before the clock (ours or the CA's) counts as wrong.
pub const EARLY: Duration = Duration::from_secs(60);

/// Tries that must still fit between a put-off renewal and the certificate's end.
pub const TRIES_THAT_FIT: u32 = 8;

/// `instant + duration`, at most the last representable instant.
pub fn after(instant: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| instant.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The time from `earlier` to `later`; zero when it is not later.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// The instant at which a certificate is due: two thirds of its usable life, which runs from its
/// acceptance (the CA's back-dating never counts) to `notAfter`, moved by up to a twentieth of the
/// life either way. The jitter is seeded with the leaf's fingerprint: the same after a restart,
/// another on each host, cloned ones too.
pub fn due(accepted_at: Timestamp, not_after: Timestamp, fingerprint: &Fingerprint) -> Timestamp {
    let life = between(accepted_at, not_after);
    let mut seed = [0; 8];
    seed.copy_from_slice(&fingerprint.as_bytes()[..8]);
    // 53 bits: exactly what a double holds.
    let share = (u64::from_be_bytes(seed) >> 11) as f64 / (1_u64 << 53) as f64;
    after(accepted_at, life.mul_f64(2.0 / 3.0 + (share - 0.5) / 10.0))
}

/// The shortest time between two automatic issuances: a tenth of the life, and at least a minute
/// where the life is over ten minutes; never less than a second, whatever life an issuer gives.
pub fn shortest_gap(life: Duration) -> Duration {
    let tenth = life / 10;
    if life > Duration::from_secs(600) {
        tenth.max(Duration::from_secs(60))
    } else {
        tenth.max(Duration::from_secs(1))
    }
}

/// How long to wait after the `failures`-th failed try in a row to get a certificate: exponential
/// with full jitter (`chance` in 0..1), and never so long that fewer than [`TRIES_THAT_FIT`] tries
/// fit into what remains of the certificate in use.
pub fn back_off(
    failures: u32,
    life: Duration,
    remaining: Option<Duration>,
    chance: f64,
) -> Duration {
    let base = (life / 1000).clamp(Duration::from_secs(1), Duration::from_secs(60));
    let ceiling = base.saturating_mul(2_u32.saturating_pow(failures.min(20)));
    let bound = match remaining {
        Some(remaining) if !remaining.is_zero() => remaining / TRIES_THAT_FIT,
        // Nothing usable is published: it is already an outage, so keep asking.
        _ => (life / 100).clamp(Duration::from_secs(1), Duration::from_secs(300)),
    };
    jittered(ceiling.min(bound).min(LONGEST_BACK_OFF), chance)
}

/// How long to wait after the `tries`-th failed reload or probe of a unit.
pub fn retry(tries: u32, life: Duration, chance: f64) -> Duration {
    let longest = (life / 1000).clamp(Duration::from_secs(1), LONGEST_RETRY);
    let ceiling = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(tries.min(10)));
    jittered(ceiling.min(longest), chance)
}

/// Full jitter, but never a hot loop.
fn jittered(longest: Duration, chance: f64) -> Duration {
    longest
        .mul_f64(chance.clamp(0.0, 1.0))
        .max(Duration::from_millis(250))
}

/// Bounds what an issuer asks for ("come back after"): it may put a try off only to the last instant
/// at which [`TRIES_THAT_FIT`] tries, a hundredth of the life each, still fit; beyond that as many into what remains.
pub fn bounded_after(asked: Duration, life: Duration, remaining: Option<Duration>) -> Duration {
    let reserve = (life / 100) * TRIES_THAT_FIT;
    match remaining {
        Some(remaining) if remaining > reserve => asked.min(remaining - reserve),
        Some(remaining) => asked.min(remaining / TRIES_THAT_FIT),
        // An outage: as many tries in a life, and one in an hour.
        None => asked.min((life / TRIES_THAT_FIT).min(LONGEST_BACK_OFF)),
    }
    .max(Duration::from_millis(250))
}

/// How long after a failure that only the operator can mend the issuer is asked again all the same: he may have mended
/// it at the CA, for a whole fleet. `chance` in 0..1 spreads that fleet.
pub fn look_again(life: Duration, chance: f64) -> Duration {
    let longest = (life / TRIES_THAT_FIT).clamp(Duration::from_secs(300), LONGEST_BACK_OFF);
    longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// From when on a certificate that lives from `begin` to `end` should have been renewed long ago: its
/// last sixth. The alarm is then an error.
pub fn overdue(begin: Timestamp, end: Timestamp) -> Timestamp {
    let life = between(begin, end);
    after(begin, life - life / 6)
}

/// Whether a stored deadline has passed. One that lies further ahead than any wait we ever set
/// (`longest`) was written under another clock, and counts as passed.
pub fn reached(deadline: Timestamp, longest: Duration, now: Timestamp) -> bool {
    deadline <= now || between(now, deadline) > longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn due_is_around_two_thirds_and_differs_between_leaves() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let end = after(start, DAY);
        let instants: std::collections::BTreeSet<_> = (0_u32..1000)
            .map(|n| due(start, end, &Fingerprint::of(&n.to_be_bytes())))
            .collect();
        assert!(instants.len() > 990);
        let first = between(start, *instants.first().unwrap()).as_secs_f64() / DAY.as_secs_f64();
        let last = between(start, *instants.last().unwrap()).as_secs_f64() / DAY.as_secs_f64();
        assert!(
            (0.616..0.625).contains(&first) && (0.708..0.717).contains(&last),
            "{first} {last}"
        );
    }

    #[test]
    fn the_gap_is_a_tenth_and_a_minute_for_lives_over_ten_minutes() {
        assert_eq!(
            shortest_gap(Duration::from_secs(30)),
            Duration::from_secs(3)
        );
        assert_eq!(
            shortest_gap(Duration::from_secs(660)),
            Duration::from_secs(66)
        );
        assert_eq!(shortest_gap(DAY), DAY / 10);
    }

    #[test]
    fn a_deadline_written_under_another_clock_counts_as_passed() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert!(!reached(
            after(now, Duration::from_secs(10)),
            LONGEST_RETRY,
            now
        ));
        assert!(reached(after(now, 365 * DAY), LONGEST_RETRY, now));
        assert!(reached(now, LONGEST_RETRY, now));
    }

    proptest! {
        #[test]
        fn eight_tries_always_fit_into_what_remains(failures in 0_u32..64, life in 30_u64..400_000_000, share in 0.0_f64..1.0, chance in 0.0_f64..1.0) {
            let life = Duration::from_secs(life);
            let remaining = life.mul_f64(share);
            prop_assume!(remaining > Duration::from_secs(2));
            let delay = back_off(failures, life, Some(remaining), chance);
            prop_assert!(delay * TRIES_THAT_FIT <= remaining + Duration::from_millis(8));
            prop_assert!(delay >= Duration::from_millis(250) && delay <= LONGEST_BACK_OFF);
        }

        #[test]
        fn an_issuer_cannot_prolong_an_outage_by_more_than_an_eighth_of_a_life_or_an_hour(asked in 0_u64..10_000_000_000, life in 30_u64..400_000_000) {
            let life = Duration::from_secs(life);
            let wait = bounded_after(Duration::from_secs(asked), life, None);
            prop_assert!(wait <= LONGEST_BACK_OFF && wait * TRIES_THAT_FIT <= life);
        }

        #[test]
        fn an_issuer_cannot_put_a_try_off_beyond_the_end(asked in 0_u64..10_000_000, life in 30_u64..4_000_000, share in 0.0_f64..1.0) {
            let life = Duration::from_secs(life);
            let remaining = life.mul_f64(share);
            prop_assume!(remaining > Duration::from_secs(1));
            prop_assert!(bounded_after(Duration::from_secs(asked), life, Some(remaining)) < remaining);
        }
    }
}
