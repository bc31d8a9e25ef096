//! How a connection comes to its end: told, waited for, cut.

use std::time::Duration;

use tokio::time::Instant;

use crate::registry::Seat;
use crate::serve::Phase;

/// How far one connection's end has come.
pub(super) struct End {
    http2: bool,
    drain: Duration,
    /// When it was told to leave.
    pub(super) since: Option<Instant>,
    pub(super) told: bool,
    /// Until then an idle HTTP/1.1 connection is left open, in case a response can still say `Connection: close`, and so
    /// is one of HTTP/2 that waits for its first request.
    patience: Duration,
}

impl End {
    pub(super) fn new(http2: bool, drain: Duration) -> Self {
        Self {
            http2,
            drain,
            since: None,
            told: false,
            patience: drain / 2,
        }
    }

    /// True once, when the connection is to be told. `asked` is whether it ever had a request: a client that has just
    /// connected has its first request under way, and many do not try again on GOAWAY (curl does not).
    pub(super) fn closes_now(&mut self, stopping: Phase, seat: &Seat, asked: bool) -> bool {
        let leaving = seat.leaving();
        if leaving.is_some() && self.since.is_none() {
            self.since = Some(Instant::now());
        }
        let patient = || {
            self.since
                .is_some_and(|since| since.elapsed() < self.patience)
        };
        let now = match (stopping, leaving) {
            (Phase::Closing, _) => true,
            (_, Some(reason)) if reason.bars() => true,
            (_, Some(_)) => (self.http2 && asked) || !patient(),
            (Phase::LastResponses, None) => self.http2 && asked,
            _ => false,
        };
        let first = now && !self.told;
        self.told |= now;
        first
    }

    pub(super) fn next(&self) -> Instant {
        let since = self.since.unwrap_or_else(Instant::now);
        match self.told {
            true => since + self.drain,
            false => since + self.patience,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.since
            .is_some_and(|since| since.elapsed() >= self.drain)
    }
}
