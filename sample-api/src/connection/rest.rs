//! What becomes of a connection over HTTP/1.1 that is between two requests.

use std::time::Duration;

use tokio::time::Instant;

/// The time before the first look, and the most between two of them.
const FIRST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(1);

/// How long one connection has been waiting for a request, found out by looking now and then: requests themselves leave no
/// trace here but their number, and cost nothing. A connection that has asked nothing between two looks is idle; the more
/// looks it has had, the more time there is between them.
pub(super) struct Rest {
    limit: Duration,
    between: Duration,
    next: Instant,
    /// What the last look found.
    waiting: bool,
    asked: u64,
    /// The first look that found it so.
    since: Instant,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// There is a request, or there was one since the last look.
    Busy,
    /// There was none.
    Idle,
    /// The next one has had its time.
    Late,
}

impl Rest {
    /// It waits for its first request, which may take `limit`.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        let between = FIRST.min(limit);
        Self {
            limit,
            between,
            next: now + between,
            waiting: true,
            asked: 0,
            since: now,
        }
    }

    /// When to look again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Looks: whether it is waiting now, and how many requests there have been.
    pub(super) fn look(&mut self, now: Instant, waiting: bool, asked: u64) -> Look {
        let changed = waiting != self.waiting || asked != self.asked;
        if changed {
            (self.waiting, self.asked, self.since) = (waiting, asked, now);
        }
        let found = match waiting {
            true if self.is_late(now) => Look::Late,
            true if !changed => Look::Idle,
            _ => Look::Busy,
        };
        // Also where it is idle, since it may have to stay where it is. A fourth of the limit: nobody is late by more.
        self.between = (self.between * 2).min(MOST).min(self.limit / 4);
        self.next = now + self.between;
        if waiting {
            self.next = self.next.min(self.deadline());
        }
        found
    }

    /// Until when the next request may come, as of the last look.
    pub(super) fn deadline(&self) -> Instant {
        self.since + self.limit
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(75);

    /// Looks at the next time for it.
    fn look(rest: &mut Rest, waiting: bool, asked: u64) -> Look {
        rest.look(rest.next(), waiting, asked)
    }

    #[test]
    fn a_connection_without_a_request_is_idle_and_in_the_end_late() {
        let begun = Instant::now();
        let mut rest = Rest::new(LIMIT, begun);
        let mut found = Look::Idle;
        while found == Look::Idle {
            assert!(rest.next() <= begun + LIMIT);
            found = look(&mut rest, true, 0);
        }
        assert_eq!(found, Look::Late);
        assert!(!rest.is_late(begun + LIMIT - Duration::from_millis(1)));
    }

    #[test]
    fn whoever_has_asked_once_is_idle_soon_and_has_the_whole_limit_again() {
        let begun = Instant::now();
        let mut rest = Rest::new(LIMIT, begun);
        assert_eq!(look(&mut rest, true, 1), Look::Busy);
        assert_eq!(look(&mut rest, true, 1), Look::Idle);
        assert!(rest.next() < begun + Duration::from_millis(200));
        assert!(rest.deadline() >= begun + LIMIT);
    }

    #[test]
    fn whoever_asks_again_and_again_is_looked_at_seldom() {
        let mut rest = Rest::new(LIMIT, Instant::now());
        for asked in 1..100 {
            let before = rest.next();
            assert_eq!(look(&mut rest, true, asked), Look::Busy);
            assert!(asked < 10 || rest.next() == before + MOST);
        }
        assert_eq!(look(&mut rest, true, 99), Look::Idle);
    }

    #[test]
    fn a_response_that_takes_its_time_is_not_waiting() {
        let mut rest = Rest::new(LIMIT, Instant::now());
        for _ in 0..200 {
            assert_eq!(look(&mut rest, false, 1), Look::Busy);
        }
        assert_eq!(look(&mut rest, true, 1), Look::Busy);
        assert_eq!(look(&mut rest, true, 1), Look::Idle);
    }

    #[test]
    fn a_short_limit_is_held_to_within_a_fourth() {
        let limit = Duration::from_millis(600);
        let mut rest = Rest::new(limit, Instant::now());
        for asked in 1..20 {
            let before = rest.next();
            assert_eq!(look(&mut rest, true, asked), Look::Busy);
            assert!(rest.next() <= before + limit / 4);
        }
    }
}
