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
use super::{Ends, Plan, Stop};

/// An answer that is later than this has failed; a slow one has its own duration besides.
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
    /// Slow answers of so many seconds, one after the other.
    Stream(u64),
}

/// The streams are spread over both protocols, from the last slot backwards.
pub(super) fn task_of(slot: usize, plan: &Plan) -> Task {
    if slot + plan.streams >= plan.connections {
        return Task::Stream(plan.stream_seconds);
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
    pub(super) ends: Ends,
    pub(super) origin: Arc<Origin>,
    pub(super) identity: Arc<Identity>,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: Stop,
}

/// How the use of a connection came to its end.
enum Used {
    /// Stopped or lost; what there was to tell has been told.
    Up,
    /// Closed by a server that may do so. A request that it left unserved began then, and is to be asked again.
    Closed(Option<Instant>),
}

/// Keeps one connection busy until stopped; opens a new one for each that is lost.
pub(super) async fn keep_busy(mut connection: Connection) {
    let mut stop = connection.stop.clone();
    let mut owed = None;
    loop {
        match connection.open().await {
            Ok(session) => {
                if let Used::Closed(unserved) = connection.use_up(session, owed.take()).await {
                    owed = unserved;
                    continue;
                }
            }
            Err(fault) => {
                owed = None;
                connection.tally.failed(&fault.text);
            }
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

    /// Asks until stopped (then closes) or until the connection or a request is lost; first of all what another
    /// connection has left unserved.
    async fn use_up(&mut self, mut session: Session, mut owed: Option<Instant>) -> Used {
        let may_end = self.ends == Ends::InGoodOrder;
        let mut due = Instant::now() + self.offset();
        let (path, within) = self.question();
        loop {
            let again = owed.is_some();
            let began = match owed.take() {
                Some(began) => began,
                None => tokio::select! {
                    biased;
                    () = self.stop.told() => {
                        session.close().await;
                        return Used::Up;
                    }
                    end = session.ended() => return self.told(end),
                    began = reached(due) => began,
                },
            };
            let epoch = self.tally.epoch();
            if let Err(fault) = self.ask(&mut session, &path, within).await {
                let end = timeout(FAREWELL, session.ended()).await;
                let in_good_order = match &end {
                    Ok(Ok(())) => true,
                    Ok(Err(end)) => end.unserved,
                    Err(_) => false,
                };
                // Once only: a server that leaves the same request unserved twice has lost it.
                if may_end && fault.unserved && in_good_order && !again {
                    self.tally.ended();
                    self.tally.asked_again();
                    return Used::Closed(Some(began));
                }
                self.tally.failed(&fault.text);
                return end.map_or(Used::Up, |end| self.told(end));
            }
            match self.task {
                Task::Ask(every) => {
                    self.tally.answered(self.slot, began.elapsed(), epoch);
                    due += every;
                    if every.is_zero() {
                        due = Instant::now();
                    }
                }
                Task::Stream(_) => self.tally.streamed(self.slot),
            }
        }
    }

    /// The server has ended the connection, with nothing under way.
    fn told(&self, end: Result<(), Fault>) -> Used {
        match end {
            Ok(()) if self.ends == Ends::InGoodOrder => {
                self.tally.ended();
                return Used::Closed(None);
            }
            Ok(()) => self.tally.dropped(self.slot, "closed by the server"),
            Err(fault) => self.tally.dropped(self.slot, &fault.text),
        }
        Used::Up
    }

    /// What is asked for, and how long the answer may take.
    fn question(&self) -> (String, Duration) {
        match self.task {
            Task::Ask(_) => (self.origin.path.clone(), DEADLINE),
            Task::Stream(seconds) => (
                format!("/stream?seconds={seconds}"),
                DEADLINE + Duration::from_secs(seconds),
            ),
        }
    }

    async fn ask(&self, session: &mut Session, path: &str, within: Duration) -> Result<(), Fault> {
        let answered = session.get(&self.origin, path, || self.tally.begun(self.slot));
        timeout(within, answered)
            .await
            .unwrap_or_else(|_| Err(late("answer")))
    }

    /// Spreads the connections over one interval, so that they do not ask in step.
    fn offset(&self) -> Duration {
        match self.task {
            Task::Ask(every) => {
                let connections = u32::try_from(self.tally.connections()).unwrap_or(u32::MAX);
                every * u32::try_from(self.slot).unwrap_or(0) / connections.max(1)
            }
            Task::Stream(_) => Duration::ZERO,
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
    Fault::because(step, format_args!("none within {DEADLINE:?}"))
}
