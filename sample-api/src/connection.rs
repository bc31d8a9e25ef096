//! One connection, from the first byte to the last.
//!
//! Owns: the handshake, the entry into the registry, the rest between requests, and the end: told, waited for, and cut
//! at the deadline.
//! Never does: decide that it must end. Neighbours: [`crate::serve`] accepts and stops, [`crate::registry`] rings,
//! [`crate::access`] answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use rustls::HandshakeKind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::access::Access;
use crate::counted::{Counted, Lent, Seen};
use crate::events::tell;
use crate::explain;
use crate::identity::Peer;
use crate::metrics::{Handshake, Reason};
use crate::mtls::MutualTls;
use crate::registry::Seated;
use crate::shared::Shared as Faces;
use crate::stall::Flow;
use crate::tickets;
use crate::tls::Served;
use crate::trace::Maker;

mod end;
mod http;
mod rest;
mod shake;

use end::End;
use http::Http;
use rest::{Look, Rest};
use shake::{Refused, TOO_LONG, arrive, hear_out, shake};

/// For telling an idle client that the connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Serves a connection until it ends.
pub(crate) async fn connection(tcp: TcpStream, address: SocketAddr, faces: Faces, router: Router) {
    let begun = Instant::now();
    let deadline = begun + faces.first().settings().handshake;
    let (mtls, arrived) = match arrive(tcp, &faces, deadline).await {
        (mtls, Ok(arrived)) => (mtls.clone(), arrived),
        (mtls, Err(refused)) => {
            mtls.metrics().handshake(refused.0, begun.elapsed());
            return Box::pin(refuse(address, refused)).await;
        }
    };
    // Taken once: this connection keeps it, whatever is swapped in later.
    let served = mtls.keys().served();
    let shaking = mtls.shaking();
    // Boxed: what only the handshake needs is not kept for as long as the connection.
    let (how, shaken) = match timeout_at(deadline, Box::pin(shake(arrived, &served))).await {
        Ok(Ok((tls, handshake))) => match seat(&mtls, &served, &tls, handshake) {
            Ok((how, seated)) => (how, Ok((tls, seated))),
            Err((how, reason)) => (how, Err((reason, None))),
        },
        Ok(Err((how, error, told))) => (how, Err((error.to_string(), told))),
        Err(_) => (Handshake::Timeout, Err((TOO_LONG.to_owned(), None))),
    };
    drop(shaking);
    mtls.metrics().handshake(how, begun.elapsed());
    let (tls, seated) = match shaken {
        Ok(shaken) => shaken,
        // Boxed, as above.
        Err((reason, told)) => return Box::pin(refuse(address, (how, reason, told))).await,
    };
    let seat = &seated.seat;
    match &seat.peer().identity {
        Ok(identity) => {
            debug!(client = %address, identity = identity.name, serial = seat.peer().serial, "connected")
        }
        Err(error) => {
            tell!(NO_IDENTITY, client = %address, serial = seat.peer().serial, "no identity: {error}")
        }
    }
    let access = Arc::new(Access {
        mtls: mtls.clone(),
        router,
        seat: seat.clone(),
        generation: served.generation,
        client: address,
        http2: tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        traces: Maker::default(),
        asked: AtomicU64::new(0),
        busy: AtomicUsize::new(0),
        unread: AtomicBool::new(false),
        switched: AtomicBool::new(false),
        told_close: AtomicBool::new(false),
        flow: Flow::default(),
        faces: (!faces.is_one()).then_some(faces),
    });
    drop(served);
    if let Err(error) = requests(tls, access).await {
        debug!(client = %address, "connection ended: {}", explain(&*error));
    }
}

async fn refuse(address: SocketAddr, (how, reason, told): Refused<String>) {
    match how {
        Handshake::Abandoned => debug!(client = %address, "handshake not finished: {reason}"),
        how => {
            tell!(HANDSHAKE_REFUSED, client = %address, result = how.word(), "handshake refused: {reason}")
        }
    }
    if let Some(tcp) = told {
        hear_out(tcp).await;
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

/// Why a connection is out of HTTP's hands.
enum Spoken {
    /// It is at its end, or is another protocol's.
    Over,
    /// It has nothing to do, or nothing more.
    Idle,
}

/// Answers requests until the connection ends.
///
/// HTTP holds tens of kilobytes for each connection. One over HTTP/1.1 that has had nothing to do for a while is taken
/// out of it and put back with the next byte that comes.
async fn requests(mut tls: Box<TlsStream<TcpStream>>, access: Arc<Access>) -> Result<(), Error> {
    let settings = access.mtls.settings();
    let mut end = End::new(access.http2, settings.drain);
    let mut rest = Rest::new(settings.next_request, Instant::now());
    loop {
        let (stream, seen) = Counted::new(tls, access.clone());
        let spoken = Box::pin(speak(stream, &seen, &access, &mut end, &mut rest)).await?;
        let back = match (spoken, seen.take()) {
            (Spoken::Idle, Some(stream)) => stream,
            (Spoken::Over, None) => {
                lent(&seen, &access, &mut end).await;
                return Ok(());
            }
            _ => return Ok(()),
        };
        drop(seen);
        tls = match idle(back, &access, &mut end, &mut rest).await {
            Some(tls) => tls,
            None => return Ok(()),
        };
    }
}

/// Speaks HTTP on a connection.
async fn speak(
    stream: Counted<TlsStream<TcpStream>>,
    seen: &Seen<TlsStream<TcpStream>>,
    access: &Arc<Access>,
    end: &mut End,
    rest: &mut Rest,
) -> Result<Spoken, Error> {
    let (mtls, seat, http2) = (&access.mtls, &access.seat, access.http2);
    let mut connection = Http::new(stream, access);
    // What there is to read is read before anything else is looked at: a request that is there is answered.
    let mut begun = false;
    seat.ring();
    loop {
        let asked = access.asked.load(Relaxed);
        if begun && end.closes_now(mtls.phase(), seat, asked > 0) {
            if http2 && seen.is_silent() {
                // hyper would wait for the first bytes, in order to take leave in HTTP's own way.
                return Ok(Spoken::Idle);
            }
            connection.shut_down();
        }
        begun = true;
        let look = (!http2 && !end.told).then(|| rest.next());
        let alarm = match end.since {
            Some(_) => Some(look.map_or(end.next(), |look| look.min(end.next()))),
            None => look,
        };
        tokio::select! {
            biased;
            ended = &mut connection => {
                if !http2 && end.told && !access.told_close.load(Relaxed) {
                    mtls.metrics().idle_closed();
                }
                return Ok(ended.map(|()| Spoken::Over)?);
            }
            () = seat.rung() => {}
            Some(()) = OptionFuture::from(alarm.map(sleep_until)) => {
                if is_cut(access, end) {
                    return Ok(Spoken::Over);
                }
                if look.is_some() {
                    let waiting = access.busy.load(Relaxed) == 0;
                    let at_rest = seen.at_rest() && !access.unread.load(Relaxed);
                    match rest.look(Instant::now(), waiting, access.asked.load(Relaxed)) {
                        Look::Idle | Look::Late if at_rest => return Ok(Spoken::Idle),
                        Look::Late => {
                            debug!(serial = seat.peer().serial, "the head of a request took too long");
                            return Ok(Spoken::Over);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Whether the connection has had its time to end.
fn is_cut(access: &Access, end: &End) -> bool {
    let (true, Some(reason)) = (end.is_over(), access.seat.leaving()) else {
        return false;
    };
    access.mtls.metrics().forced(reason);
    tell!(
        CONNECTION_CUT,
        serial = access.seat.peer().serial,
        reason = reason.word(),
        "connection cut at its deadline"
    );
    true
}

/// Waits while a connection speaks another protocol (WebSocket), which nobody but its two ends understands. It is drained and
/// cut like a response.
async fn lent(seen: &Seen<TlsStream<TcpStream>>, access: &Access, end: &mut End) {
    let lent = Lent::of(seen);
    loop {
        end.closes_now(access.mtls.phase(), &access.seat, true);
        let deadline = end.since.map(|_| end.next());
        tokio::select! {
            () = lent.returned() => return,
            () = access.seat.rung() => {}
            Some(()) = OptionFuture::from(deadline.map(sleep_until)) => {
                if is_cut(access, end) {
                    return;
                }
            }
        }
    }
}

/// Waits until there is something to read on a connection that is between two requests; none if it has to end.
async fn idle(
    mut tls: Box<TlsStream<TcpStream>>,
    access: &Access,
    end: &mut End,
    rest: &mut Rest,
) -> Option<Box<TlsStream<TcpStream>>> {
    let (mtls, seat) = (&access.mtls, &access.seat);
    loop {
        // Whoever asks at this moment is answered, and told with it.
        if tls.get_ref().0.readable().now_or_never().is_some() && !end.told {
            return Some(tls);
        }
        let now = end.closes_now(mtls.phase(), seat, access.asked.load(Relaxed) > 0);
        if now && !access.told_close.load(Relaxed) {
            mtls.metrics().idle_closed();
        }
        if end.told || rest.is_late(Instant::now()) {
            // Of no consequence to anybody but a client that does not read.
            let _ = timeout(GOODBYE, tls.shutdown()).await;
            return None;
        }
        let alarm = match end.since {
            Some(_) => end.next().min(rest.deadline()),
            None => rest.deadline(),
        };
        seat.resting.store(true, Relaxed);
        let readable = tokio::select! {
            biased;
            _ = tls.get_ref().0.readable() => true,
            () = seat.rung() => false,
            () = sleep_until(alarm) => false,
        };
        seat.resting.store(false, Relaxed);
        if readable {
            return Some(tls);
        }
    }
}
