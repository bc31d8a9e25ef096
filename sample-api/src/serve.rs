//! Accepting, and letting everything end well.
//!
//! Owns: the listeners, the bound on connections, and the drain when the server stops.
//! Never does: speak on a connection. Neighbours: [`crate::connection`] does, [`crate::mtls`] starts this.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, unconstrained};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::connection::connection;
use crate::events::tell;
use crate::metrics::{Metrics, Reason};
use crate::shared::Shared;
use crate::workers::Workers;

/// Of the drain, how long idle HTTP/1.1 connections are left open.
///
/// Such a client cannot be told that we are about to close; a request that it sends at that very
/// moment is lost. Those that are busy send one in this time and are answered with `Connection: close`.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

/// When accepting fails (no descriptors left), before it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How long is waited for connections that were cut.
const CUT: Duration = Duration::from_secs(1);

/// How far the server's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It has not begun.
    #[default]
    Serving,
    /// Nothing is accepted any more. HTTP/2 is told to go away, each HTTP/1.1 response says `Connection: close`.
    LastResponses,
    /// Idle connections are closed, busy ones after their response.
    Closing,
}

impl Phase {
    /// From its number.
    pub(crate) fn of(number: u8) -> Self {
        [Self::Serving, Self::LastResponses]
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Self::Closing)
    }
}

/// How the connections ended after the server was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open then.
    pub open: usize,
    /// Of these, how many were cut at the deadline.
    pub forced: usize,
}

/// Serves until `stop` is done, then drains.
pub(crate) async fn serve(
    workers: &Workers,
    listeners: Vec<TcpListener>,
    faces: &Shared,
    router: Router,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut stop = pin!(stop);
    // Once for all: otherwise each request makes its handler into a service anew.
    let router: Router = router.with_state(());
    // Before a client has said whom it means, its connection is nobody's: the room is the listener's.
    let room = Arc::new(Semaphore::new(faces.first().settings().max_connections));
    let mut connections = JoinSet::new();
    let mut turn = 0;
    loop {
        let next = async {
            // Room first: whom we cannot serve waits in the kernel's queue, and is not refused.
            let permit = room.clone().acquire_owned().await;
            (accept(&listeners, &mut turn).await, permit)
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            // Before the next: a flood of those that fail at once would otherwise pile up.
            Some(ended) = connections.join_next(), if !connections.is_empty() => log_end(ended),
            (accepted, permit) = next => match accepted {
                Ok((tcp, address)) => {
                    let (faces, router) = (faces.clone(), router.clone());
                    workers.spawn(&mut connections, tcp, move |tcp| async move {
                        connection(tcp, address, faces, router).await;
                        drop(permit);
                    });
                }
                Err(error) => refused_by_kernel(error).await,
            },
        }
    }
    // The kernel has finished these connections and would reset them with the listener.
    while let Some(accepted) = unconstrained(accept(&listeners, &mut turn)).now_or_never() {
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(_) => break,
        };
        let (faces, router) = (faces.clone(), router.clone());
        workers.spawn(&mut connections, tcp, move |tcp| {
            connection(tcp, address, faces, router)
        });
    }
    drop(listeners);
    drained(connections, faces).await
}

/// The next connection of any listener; each is the first to be asked in its turn.
async fn accept(
    listeners: &[TcpListener],
    turn: &mut usize,
) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        for step in 0..listeners.len() {
            let place = (*turn + step) % listeners.len();
            if let Poll::Ready(accepted) = listeners[place].poll_accept(cx) {
                *turn = place + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

async fn drained(mut connections: JoinSet<()>, faces: &Shared) -> Drained {
    let drain = faces.first().settings().drain;
    let deadline = Instant::now() + drain;
    // Those that have ended already are not open, though nobody has fetched their result.
    while let Some(ended) = connections.try_join_next() {
        log_end(ended);
    }
    let open = connections.len();
    count(faces, open, Metrics::drained);
    enter_phase(faces, Phase::LastResponses);
    let all_ended = async |connections: &mut JoinSet<()>, until| {
        timeout_at(until, async {
            while let Some(ended) = connections.join_next().await {
                log_end(ended);
            }
        })
        .await
        .is_ok()
    };
    let first = (Instant::now() + LAST_RESPONSES).min(Instant::now() + drain / 2);
    if !all_ended(&mut connections, first).await {
        enter_phase(faces, Phase::Closing);
        all_ended(&mut connections, deadline).await;
    }
    let forced = connections.len();
    count(faces, forced, Metrics::forced);
    // One whose handler blocks its thread does not end. The process does, and takes it along.
    let _ = timeout(CUT, connections.shutdown()).await;
    Drained { open, forced }
}

fn enter_phase(faces: &Shared, phase: Phase) {
    for face in faces.faces() {
        face.mtls.enter_phase(phase);
    }
}

/// Counts so many connections, each where it is; those that have not said whom they mean are the first face's.
fn count(faces: &Shared, mut all: usize, add: fn(&Metrics, Reason)) {
    for face in faces.faces().iter().rev() {
        let own = match std::ptr::eq(&face.mtls, faces.first()) {
            true => all,
            false => face.mtls.registry().count().0.min(all),
        };
        all -= own;
        for _ in 0..own {
            add(face.mtls.metrics(), Reason::Stop);
        }
    }
}

async fn refused_by_kernel(error: io::Error) {
    // A client that gave up while it waited is its own business; anything else is ours, and a loop
    // that goes round without a pause would only make it worse.
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tell!(CANNOT_ACCEPT, "cannot accept: {error}");
        sleep(ACCEPT_AGAIN).await;
    }
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(panic) = ended {
        tell!(CONNECTION_FAILED, "a connection ended in a panic: {panic}");
    }
}
