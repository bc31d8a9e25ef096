//! One connection, from the first byte to the last.
//!
//! Owns: the handshake, the entry into the registry, and the end: told, waited for, and cut at the deadline.
//! Never does: decide that it must end. Neighbours: [`crate::serve`] accepts and stops, [`crate::registry`] rings,
//! [`crate::access`] answers.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::access::{Access, Tunnel, Work, close_after};
use crate::counted::Counted;
use crate::explain;
use crate::identity::Peer;
use crate::metrics::{Handshake, Reason};
use crate::mtls::MutualTls;
use crate::registry::Seated;
use crate::serve::Phase;
use crate::tickets;
use crate::tls::Served;

mod end;
mod shake;

use end::End;
use shake::shake;

/// An idle HTTP/2 connection is asked whether anybody is there, and closed if nobody answers.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWERED: Duration = Duration::from_secs(20);

/// Serves a connection until it ends.
pub(crate) async fn connection(
    tcp: TcpStream,
    address: SocketAddr,
    mtls: Arc<MutualTls>,
    router: Router,
    phase: watch::Receiver<Phase>,
) {
    let begun = Instant::now();
    // Taken once: this connection keeps it, whatever is swapped in later.
    let served = mtls.keys().served();
    let shaking = mtls.shaking();
    let limit = mtls.settings().handshake;
    // Boxed: what only the handshake needs is not kept for as long as the connection.
    let (how, shaken) = match timeout(limit, Box::pin(shake(tcp, &served))).await {
        Ok(Ok((tls, handshake))) => match seat(&mtls, &served, &tls, handshake) {
            Ok((how, seated)) => (how, Ok((tls, seated))),
            Err((how, reason)) => (how, Err(reason)),
        },
        Ok(Err((how, error))) => (how, Err(error.to_string())),
        Err(_) => (Handshake::Timeout, Err("it took too long".to_owned())),
    };
    drop(shaking);
    mtls.metrics().handshake(how, begun.elapsed());
    let (tls, seated) = match (shaken, how) {
        (Ok(shaken), _) => shaken,
        (Err(reason), Handshake::Abandoned) => {
            return debug!(client = %address, "handshake not finished: {reason}");
        }
        (Err(reason), how) => {
            return info!(client = %address, result = how.word(), "handshake refused: {reason}");
        }
    };
    let seat = &seated.seat;
    match &seat.peer().identity {
        Ok(identity) => {
            debug!(client = %address, identity = identity.name, serial = seat.peer().serial, "connected")
        }
        Err(error) => {
            warn!(client = %address, serial = seat.peer().serial, "no identity: {error}")
        }
    }
    let access = Access {
        mtls: mtls.clone(),
        router,
        seat: seat.clone(),
        generation: served.generation,
        client: address,
        tunnel: Tunnel::default(),
    };
    drop(served);
    if let Err(error) = requests(tls, access, phase).await {
        debug!(client = %address, "connection ended: {}", explain(&*error));
    }
}

/// Enters the connection into the registry, and judges it by what is in force then: trust may have changed while
/// hands were shaken.
fn seat<'a>(
    mtls: &'a MutualTls,
    served: &Served,
    tls: &TlsStream<TcpStream>,
    handshake: tickets::Handshake,
) -> Result<(Handshake, Seated<'a>), (Handshake, String)> {
    let session = tls.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let (how, peer) = match (session.handshake_kind(), handshake.verified, chain.first()) {
        (Some(HandshakeKind::Resumed), None, Some(leaf)) => (
            Handshake::Resumed,
            Arc::new(Peer::of(leaf, mtls.settings().choices.rules.common_name)),
        ),
        (
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest),
            Some(peer),
            Some(_),
        ) => (Handshake::Full, peer),
        // The verifier demands a certificate. Should that ever change, nobody gets in by it.
        _ => {
            return Err((
                Handshake::NoCertificate,
                "no verified client certificate".to_owned(),
            ));
        }
    };
    let seated = mtls
        .registry()
        .enter(
            chain,
            || peer,
            (&served.trust, handshake.anchor),
            mtls.rules(),
            mtls.settings().max_per_identity,
        )
        .map_err(|error| (Handshake::Limit, error.to_string()))?;
    let trust = mtls.keys().served().trust.clone();
    mtls.registry().judge(&seated.seat, &trust, mtls.metrics());
    if SystemTime::now() > seated.seat.peer().not_after {
        seated.seat.leave(Reason::Expired, mtls.metrics());
    }
    Ok((how, seated))
}

/// What the requests of one connection share. One count of references for all of it: those of the server's parts are
/// touched by every worker, and for every request that would be felt.
struct Shared {
    access: Access,
    /// As it was when the connection began; it is only asked whether there is something newer.
    phase: watch::Receiver<Phase>,
    served: bool,
    /// A response has said `Connection: close`.
    told_close: AtomicBool,
    /// There has been a request.
    asked: AtomicBool,
}

impl Shared {
    /// Whether there should be no more requests after this one.
    fn closes(&self) -> bool {
        let serving = self.served && !self.phase.has_changed().unwrap_or(true);
        !serving || self.access.seat.leaving().is_some()
    }
}

async fn requests(
    tls: Box<TlsStream<TcpStream>>,
    access: Access,
    mut phase: watch::Receiver<Phase>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let (mtls, seat, tunnel) = (
        access.mtls.clone(),
        access.seat.clone(),
        access.tunnel.clone(),
    );
    let builder = builder(http2, &mtls);
    let shared = Arc::new(Shared {
        access,
        phase: phase.clone(),
        served: *phase.borrow() == Phase::Serving,
        told_close: AtomicBool::new(false),
        asked: AtomicBool::new(false),
    });
    let answers = service_fn({
        let shared = shared.clone();
        move |request| {
            if !shared.asked.swap(true, Relaxed) {
                shared.access.seat.ring();
            }
            let shared = shared.clone();
            async move {
                let mut response: Response = shared.access.answer(request).await?;
                // Asked when the answer is there: what happened meanwhile counts.
                if !http2 && shared.closes() {
                    close_after(&mut response);
                    shared.told_close.store(true, Relaxed);
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        }
    });
    let stream = Counted {
        stream: tls,
        mtls: mtls.clone(),
    };
    let mut connection =
        pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), answers));
    let mut tunnelled: Option<Work> = None;
    let mut end = End::new(http2, mtls.settings().drain);
    loop {
        let stopping = *phase.borrow_and_update();
        if end.closes_now(stopping, &seat, shared.asked.load(Relaxed)) && tunnelled.is_none() {
            // HTTP/2: GOAWAY, which names the requests that were not taken. HTTP/1.1: closed when idle.
            connection.as_mut().graceful_shutdown();
        }
        tokio::select! {
            ended = connection.as_mut(), if tunnelled.is_none() => {
                // Nobody but its two ends understands what is said from here on.
                tunnelled = tunnel.take().filter(|_| ended.is_ok());
                if tunnelled.is_some() {
                    continue;
                }
                if !http2 && end.told && !shared.told_close.load(Relaxed) {
                    mtls.metrics().idle_closed();
                }
                return ended;
            }
            () = OptionFuture::from(tunnelled.as_mut()).map(drop), if tunnelled.is_some() => return Ok(()),
            // The sender outlives the connections; were it gone, there would be nothing left to hear.
            Ok(()) = phase.changed() => {}
            () = seat.rung() => {}
            () = sleep_until(end.next()), if end.since.is_some() => {
                if let (true, Some(reason)) = (end.is_over(), seat.leaving()) {
                    mtls.metrics().forced(reason);
                    info!(serial = seat.peer().serial, reason = reason.word(), "connection cut at its deadline");
                    return Ok(());
                }
            }
        }
    }
}

fn builder(http2: bool, mtls: &MutualTls) -> auto::Builder<TokioExecutor> {
    let settings = mtls.settings();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(settings.max_head.max(8192))
        .header_read_timeout(settings.next_request);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
        .max_concurrent_streams(settings.max_streams)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWERED);
    // ALPN has decided: nothing is guessed from the first bytes.
    if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    }
}
