//! What becomes of a connection over HTTP/1.1 that is between two requests.

use std::time::Duration;

use tokio::time::Instant;

/// After that time without a request, HTTP lets go of the connection and of the buffers that it has for it.
const IDLE: Duration = Duration::from_secs(5);

/// How long one connection has been waiting for a request, found out by looking now and then: requests themselves leave no
/// trace here but their number, and cost nothing. What is found may be late by the time between two looks.
pub(super) struct Rest {
    limit: Duration,
    /// What it was at the last look.
    waiting: bool,
    asked: u64,
    /// The first look that found it so.
    since: Instant,
    next: Instant,
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// There is a request, or there was one a short while ago.
    Busy,
    /// There has been none for a while.
    Idle,
    /// The next one has had its time.
    Late,
}

impl Rest {
    /// It waits for its first request, which may take `limit`.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            waiting: true,
            asked: 0,
            since: now,
            next: now + limit.min(period(limit)),
        }
    }

    /// When to look again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Looks: whether it is waiting now, and how many requests there have been.
    pub(super) fn look(&mut self, now: Instant, waiting: bool, asked: u64) -> Look {
        if !waiting || !self.waiting || asked != self.asked {
            (self.waiting, self.asked, self.since) = (waiting, asked, now);
        }
        self.next = now + period(self.limit);
        if !self.waiting {
            return Look::Busy;
        }
        if self.is_late(now) {
            return Look::Late;
        }
        self.next = self.next.min(self.deadline());
        match now >= self.since + IDLE {
            true => Look::Idle,
            false => Look::Busy,
        }
    }

    /// Until when the next request may come, as of the last look.
    pub(super) fn deadline(&self) -> Instant {
        self.since + self.limit
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline()
    }
}

/// Between two looks.
fn period(limit: Duration) -> Duration {
    IDLE.min(limit / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(75);

    #[test]
    fn a_connection_without_a_request_is_idle_and_then_late() {
        let begun = Instant::now();
        let mut rest = Rest::new(LIMIT, begun);
        let mut found = Vec::new();
        while found.last() != Some(&Look::Late) {
            let now = rest.next();
            assert!(now <= begun + LIMIT);
            found.push(rest.look(now, true, 0));
        }
        assert_eq!(found.len(), 15);
        assert!(found[..14].iter().all(|look| *look == Look::Idle));
    }

    #[test]
    fn whoever_asks_now_and_then_is_neither() {
        let mut rest = Rest::new(LIMIT, Instant::now());
        for asked in 1..100 {
            assert_eq!(rest.look(rest.next(), true, asked), Look::Busy);
        }
        // Between the last request and the first look after it nobody knows when that was.
        let last = rest.next();
        assert_eq!(rest.look(last, true, 99), Look::Idle);
        assert!(rest.deadline() < last + LIMIT);
        assert!(rest.deadline() + period(LIMIT) >= last + LIMIT);
    }

    #[test]
    fn a_response_that_takes_its_time_is_not_waiting() {
        let mut rest = Rest::new(LIMIT, Instant::now());
        for _ in 0..100 {
            assert_eq!(rest.look(rest.next(), false, 1), Look::Busy);
        }
        assert_eq!(rest.look(rest.next(), true, 1), Look::Busy);
        assert_eq!(rest.look(rest.next(), true, 1), Look::Idle);
    }

    #[test]
    fn a_short_limit_is_looked_at_often() {
        let limit = Duration::from_millis(600);
        let begun = Instant::now();
        let mut rest = Rest::new(limit, begun);
        assert_eq!(rest.look(rest.next(), true, 0), Look::Busy);
        assert!(rest.next() <= begun + limit / 2);
        assert_eq!(rest.look(begun + limit, true, 0), Look::Late);
    }
}
