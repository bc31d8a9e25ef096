//! One kept connection: asks at its pace, and tells what became of each request and of itself.
//!
//! It must never end a connection before it is stopped, so that every end is the server's doing.
//! Its neighbour is [`super::wire`], which carries the requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::identity::Identity;
use super::tally::Tally;
use super::wire::{Fault, Origin, Protocol, Session};
use super::{Plan, Stop};

/// Longer than any answer asked for takes; an answer that is later than this has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);
/// How long a connection may take to close, or to turn out closed after a request failed.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// Between two tries to open a connection that was refused or lost.
const RETRY: Duration = Duration::from_millis(100);

/// What one connection does over and over.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Quick requests, one due per interval (zero: at once); latencies are recorded.
    Ask(Duration),
    /// Slow answers, one after the other.
    Stream,
}

/// The streams are spread over both protocols, from the last slot backwards.
pub(super) fn task_of(slot: usize, plan: &Plan) -> Task {
    if slot + plan.streams >= plan.connections {
        return Task::Stream;
    }
    let busy = u32::try_from(plan.connections - plan.streams).unwrap_or(u32::MAX);
    Task::Ask(if plan.rate == 0 {
        Duration::ZERO
    } else {
        Duration::from_secs(1) * busy / plan.rate
    })
}

/// A kept connection's place in the load.
pub(super) struct Connection {
    pub(super) slot: usize,
    pub(super) protocol: Protocol,
    pub(super) task: Task,
    pub(super) origin: Arc<Origin>,
    pub(super) identity: Arc<Identity>,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: Stop,
}

/// Keeps one connection busy until stopped; opens a new one for each that is lost.
pub(super) async fn keep_busy(mut connection: Connection) {
    let mut stop = connection.stop.clone();
    loop {
        match connection.open().await {
            Ok(session) => connection.use_up(session).await,
            Err(fault) => connection.tally.failed(&fault.0),
        }
        // Reached only after a loss or at the stop.
        tokio::select! {
            biased;
            () = stop.told() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

impl Connection {
    async fn open(&self) -> Result<Session, Fault> {
        let open = Session::open(&self.origin, &self.identity, self.protocol);
        timeout(DEADLINE, open)
            .await
            .unwrap_or_else(|_| Err(late("handshake")))
    }

    /// Asks until stopped (then closes) or until the connection or a request is lost.
    async fn use_up(&mut self, mut session: Session) {
        let mut due = Instant::now() + self.offset();
        loop {
            let began = tokio::select! {
                biased;
                () = self.stop.told() => return session.close().await,
                fault = session.ended() => return self.tally.dropped(&fault.0),
                began = reached(due) => began,
            };
            let epoch = self.tally.epoch();
            let answered = timeout(DEADLINE, session.get(&self.origin, self.path())).await;
            if let Err(fault) = answered.unwrap_or_else(|_| Err(late("answer"))) {
                self.tally.failed(&fault.0);
                if let Ok(fault) = timeout(FAREWELL, session.ended()).await {
                    self.tally.dropped(&fault.0);
                }
                return;
            }
            match self.task {
                Task::Ask(every) => {
                    self.tally.answered(self.slot, began.elapsed(), epoch);
                    due += every;
                    if every.is_zero() {
                        due = Instant::now();
                    }
                }
                Task::Stream => self.tally.streamed(self.slot),
            }
        }
    }

    /// Spreads the connections over one interval, so that they do not ask in step.
    fn offset(&self) -> Duration {
        match self.task {
            Task::Ask(every) => {
                let connections = u32::try_from(self.tally.connections()).unwrap_or(u32::MAX);
                every * u32::try_from(self.slot).unwrap_or(0) / connections.max(1)
            }
            Task::Stream => Duration::ZERO,
        }
    }

    fn path(&self) -> &str {
        match self.task {
            Task::Ask(_) => &self.origin.path,
            Task::Stream => "/stream?seconds=1",
        }
    }
}

/// The instant that a request's latency counts from.
///
/// One that was due while the last one was still unanswered counts from when it was due: else a
/// server that stalls would be asked less often, and look fast.
pub(super) async fn reached(due: Instant) -> Instant {
    if Instant::now() >= due {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    Instant::now()
}

pub(super) fn late(step: &str) -> Fault {
    Fault(format!("{step}: none within {DEADLINE:?}"))
}
