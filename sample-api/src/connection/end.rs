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
    /// Until then an idle HTTP/1.1 connection is left open, in case a response can still say `Connection: close`.
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

    /// True once, when the connection is to be told.
    pub(super) fn closes_now(&mut self, stopping: Phase, seat: &Seat) -> bool {
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
            (Phase::LastResponses, _) | (_, Some(_)) if self.http2 => true,
            (_, Some(_)) => !patient(),
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
