//! Connections: accepting, shaking hands, serving, and letting them end well.
//!
//! Owns: every TLS connection from accept to close, and the drain.
//! Never does: choose keys or answer requests. Neighbours: [`crate::keys`] and [`crate::routes`].

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;
use tracing::{debug, error, info, warn};

use crate::explain;
use crate::identity::Peer;
use crate::keys::Keys;

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long an HTTP/1.1 connection may take to send the head of its next request, idle time included.
const NEXT_REQUEST: Duration = Duration::from_secs(75);

/// Of the drain, how long idle HTTP/1.1 connections are left open.
///
/// Such a client cannot be told that we are about to close; a request that it sends at that very
/// moment is lost. Those that are busy send one in this time and are answered with `Connection: close`.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

/// When accepting fails (no descriptors left), before it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How far the server's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    Serving,
    /// Nothing is accepted any more. HTTP/2 is told to go away, each HTTP/1.1 response says `Connection: close`.
    LastResponses,
    /// Idle connections are closed, busy ones after their response.
    Closing,
}

/// How the connections ended after the server was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open then.
    pub open: usize,
    /// Of these, how many were cut at the deadline.
    pub forced: usize,
}

/// Serves until `stop` is done, then drains within `drain`.
///
/// `phase` tells the connections (and the health check) how far the end has come.
pub async fn serve(
    listener: TcpListener,
    keys: Arc<Keys>,
    router: Router,
    phase: watch::Sender<Phase>,
    drain: Duration,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut stop = pin!(stop);
    let mut connections = JoinSet::new();
    let spawn = |connections: &mut JoinSet<()>, (tcp, address)| {
        let (keys, router, phase) = (keys.clone(), router.clone(), phase.subscribe());
        connections.spawn(connection(tcp, address, keys, router, phase));
    };
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => spawn(&mut connections, accepted),
                Err(error) => refused_by_kernel(error).await,
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => log_end(ended),
        }
    }
    // The kernel has finished these connections and would reset them with the listener.
    while let Some(Ok(accepted)) = listener.accept().now_or_never() {
        spawn(&mut connections, accepted);
    }
    drop(listener);
    drained(connections, &phase, drain).await
}

async fn drained(
    mut connections: JoinSet<()>,
    phase: &watch::Sender<Phase>,
    drain: Duration,
) -> Drained {
    let deadline = Instant::now() + drain;
    let open = connections.len();
    phase.send_replace(Phase::LastResponses);
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
        phase.send_replace(Phase::Closing);
        all_ended(&mut connections, deadline).await;
    }
    let forced = connections.len();
    connections.shutdown().await;
    Drained { open, forced }
}

async fn refused_by_kernel(error: io::Error) {
    // A client that gave up while it waited is its own business; anything else is ours, and a loop
    // that goes round without a pause would only make it worse.
    if error.kind() != io::ErrorKind::ConnectionAborted {
        error!("cannot accept: {error}");
        sleep(ACCEPT_AGAIN).await;
    }
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(panic) = ended {
        error!("a connection ended in a panic: {panic}");
    }
}

async fn connection(
    tcp: TcpStream,
    address: SocketAddr,
    keys: Arc<Keys>,
    router: Router,
    phase: watch::Receiver<Phase>,
) {
    // Without it the first response waits 40 ms for an acknowledgement that the client delays.
    let _ = tcp.set_nodelay(true);
    // Taken once: this connection keeps it, whatever is swapped in later.
    let served = keys.served();
    let acceptor = TlsAcceptor::from(served.config.clone());
    let tls = match timeout(HANDSHAKE, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            return info!(client = %address, "handshake refused: {error}");
        }
        Ok(Err(error)) => return debug!(client = %address, "handshake not finished: {error}"),
        Err(_) => return debug!(client = %address, "handshake took too long"),
    };
    let Some(leaf) = tls.get_ref().1.peer_certificates().and_then(<[_]>::first) else {
        // The verifier demands a certificate. Should that ever change, nobody gets in by it.
        return error!(client = %address, "handshake without a client certificate");
    };
    let peer = Arc::new(Peer::of(leaf, served.generation));
    match &peer.identity {
        Ok(identity) => {
            debug!(client = %address, identity = identity.name, serial = peer.serial, "connected")
        }
        Err(error) => warn!(client = %address, serial = peer.serial, "no identity: {error}"),
    }
    if let Err(error) = requests(tls, peer, router, phase).await {
        debug!(client = %address, "connection ended: {}", explain(&*error));
    }
}

async fn requests(
    tls: TlsStream<TcpStream>,
    peer: Arc<Peer>,
    router: Router,
    mut phase: watch::Receiver<Phase>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST);
    builder.http2().timer(TokioTimer::new());
    // ALPN has decided: nothing is guessed from the first bytes.
    let builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let answers = service_fn({
        let phase = phase.clone();
        move |request| {
            let last = !http2 && *phase.borrow() != Phase::Serving;
            answer(router.clone(), peer.clone(), request, last)
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(tls), answers));
    let mut told = false;
    loop {
        let leave = match *phase.borrow_and_update() {
            Phase::Serving => false,
            Phase::LastResponses => http2,
            Phase::Closing => true,
        };
        if leave && !told {
            // HTTP/2: GOAWAY, which names the requests that were not taken. HTTP/1.1: closed when idle.
            connection.as_mut().graceful_shutdown();
            told = true;
        }
        tokio::select! {
            ended = connection.as_mut() => return ended,
            // The sender outlives the connections; were it gone, there would be nothing left to hear.
            Ok(()) = phase.changed() => {}
        }
    }
}

async fn answer(
    router: Router,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
    last: bool,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(peer);
    let mut response = router.oneshot(request).await?;
    if last {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
