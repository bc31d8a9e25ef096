//! Fresh handshakes, one after the other: which leaf would a new caller be shown right now?
//!
//! It must never resume a session or keep a connection. Its neighbour is [`super::tally`], which
//! remembers each distinct leaf and when it was first seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, timeout};

use super::Stop;
use super::busy::{DEADLINE, late};
use super::identity::Identity;
use super::tally::Tally;
use super::wire::{Fault, Origin, Protocol, Session};

/// What the handshakes need.
pub(super) struct Fresh {
    pub(super) every: Duration,
    pub(super) origin: Arc<Origin>,
    pub(super) identity: Arc<Identity>,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: Stop,
}

/// Shakes hands until stopped.
pub(super) async fn keep_shaking(mut fresh: Fresh) {
    let mut pace = tokio::time::interval(fresh.every.max(Duration::from_millis(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = fresh.stop.told() => return,
            _ = pace.tick() => {}
        }
        let outcome = timeout(DEADLINE, fresh.once()).await;
        if let Err(fault) = outcome.unwrap_or_else(|_| Err(late("fresh handshake"))) {
            fresh
                .tally
                .failed_handshake(&format!("fresh connection: {}", fault.text));
        }
    }
}

impl Fresh {
    /// In TLS 1.3 the client is done before the server has judged its certificate: only an
    /// answered request shows that this caller was let in.
    async fn once(&self) -> Result<(), Fault> {
        let began = Instant::now();
        let mut session = Session::open(&self.origin, &self.identity, Protocol::Http1).await?;
        self.tally.saw_leaf(&session.leaf, began);
        session.get(&self.origin, &self.origin.path, || ()).await?;
        self.tally.answered_fresh();
        session.close().await;
        Ok(())
    }
}
