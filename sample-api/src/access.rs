//! One request: who asks, whether it is answered, and the record of both.
//!
//! Owns: the way around the application: trace, decision, 403, audit line, counters.
//! Never does: answer itself. Neighbours: [`crate::connection`] brings requests, [`crate::registry`] decides,
//! [`crate::caller`] is what the application learns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tower::Service;
use tracing::{info, warn};

use crate::caller::Caller;
use crate::events;
use crate::mtls::MutualTls;
use crate::problem::Problem;
use crate::registry::{Admission, Role, Seat};
use crate::serve::Phase;
use crate::shared::Shared;
use crate::stall::{Arriving, Flow, Late};
use crate::trace::{Maker, Trace};

/// The target of audit lines, for `RUST_LOG`.
pub const AUDIT: &str = "audit";

/// The requests of one connection. One count of references for all that they share: those of the server's parts are
/// touched by every worker, and for every request that would be felt.
pub(crate) struct Access {
    pub(crate) mtls: Arc<MutualTls>,
    pub(crate) router: Router,
    pub(crate) seat: Arc<Seat>,
    pub(crate) generation: u64,
    pub(crate) client: std::net::SocketAddr,
    pub(crate) http2: bool,
    pub(crate) traces: Maker,
    /// Where whoever answers leaves work that goes on with the connection after HTTP has ended on it. It is drained and
    /// cut like a response.
    pub(crate) tunnel: Mutex<Option<Work>>,
    /// How many requests there have been.
    pub(crate) asked: AtomicU64,
    /// There is one now. Of HTTP/1.1 only, where there is one at a time.
    pub(crate) busy: AtomicBool,
    /// A response has said `Connection: close`.
    pub(crate) told_close: AtomicBool,
    /// Of the responses over HTTP/2.
    pub(crate) flow: Flow,
    /// Those of the listener, where there are several.
    pub(crate) faces: Option<Shared>,
}

/// It has no name and no end of its own.
pub(crate) type Work = futures_util::future::BoxFuture<'static, ()>;

impl Access {
    /// Answers one request. Whatever stands between it and the router stands here, for every route and the fallback.
    pub(crate) async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Response {
        let begun = Instant::now();
        let number = self.asked.fetch_add(1, Relaxed);
        if number == 0 {
            self.seat.ring();
        }
        let trace = Trace::of(request.headers_mut(), &self.traces, number);
        let peer = self.seat.peer();
        let audited = (self.mtls.settings().audit)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));
        let admission = match &peer.identity {
            Ok(_) => self.seat.admit(
                self.mtls.rules(),
                self.mtls.metrics(),
                request.method().as_str(),
                request.uri().path(),
            ),
            Err(_) => Admission::Denied(""),
        };
        let most = self.mtls.settings().max_body;
        let misdirected = (self.faces.as_ref())
            .is_some_and(|faces| faces.misdirected(&self.mtls, request.uri(), request.headers()));
        let (role, mut response) = match (admission, &peer.identity) {
            _ if misdirected => (None, elsewhere()),
            (Admission::Allowed(role), Ok(_)) => {
                let response = if request.body().size_hint().lower() > most {
                    let detail = format!("a body may have at most {most} bytes");
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
                } else {
                    let caller = Caller::new(self.clone(), role.clone(), trace.clone());
                    request.extensions_mut().insert(caller);
                    let most = usize::try_from(most).unwrap_or(usize::MAX);
                    let late = Late::of(request.body(), &self.mtls);
                    let request = request.map(|body| match body.is_end_stream() {
                        true => axum::body::Body::empty(),
                        false => axum::body::Body::new(Arriving::new(body, most, late.clone())),
                    });
                    // A router is always ready.
                    let answer = self.router.clone().call(request).await;
                    match late.is_some_and(|late| late.is()) {
                        true => too_late(),
                        false => answer.unwrap_or_else(|never| match never {}),
                    }
                };
                (Some(role), response)
            }
            (Admission::Barred(reason), _) => {
                let reason = reason.word();
                let detail = format!("the client certificate is no longer accepted: {reason}");
                (None, forbidden(detail))
            }
            (Admission::Denied(detail), Ok(_)) => (None, forbidden(detail)),
            (_, Err(error)) => (None, forbidden(error.to_string())),
        };
        let (code, took) = (response.status().as_u16(), begun.elapsed());
        let counted = role.as_ref().map_or("none", Role::name);
        self.mtls.metrics().request(counted, code, took);
        if let Some((method, path)) = audited {
            self.audit(role.as_ref(), &method, &path, (code, took, &trace));
        }
        // Asked when the answer is there: what happened meanwhile counts.
        let late = code == StatusCode::REQUEST_TIMEOUT.as_u16();
        if !self.http2 && (late || self.closes()) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            self.told_close.store(true, Relaxed);
        }
        response
    }

    /// Whether there should be no more requests after this one.
    fn closes(&self) -> bool {
        self.mtls.phase() != Phase::Serving || self.seat.leaving().is_some()
    }

    pub(crate) fn tunnel(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(work));
    }

    pub(crate) fn take_tunnel(&self) -> Option<Work> {
        self.tunnel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn audit(
        &self,
        role: Option<&Role>,
        method: &Method,
        path: &str,
        (code, took, trace): (u16, Duration, &Trace),
    ) {
        let peer = self.seat.peer();
        let identity = peer.identity.as_ref();
        let identity = identity.map_or("", |identity| identity.name.as_str());
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let trace = trace.id();
        const MESSAGE_ID: &str = events::REQUEST.id;
        // The query stays out: it may hold what is not for logs.
        match role.map(Role::name) {
            None => {
                warn!(target: AUDIT, MESSAGE_ID, identity, serial = peer.serial, decision = "denied", code, latency_us, %trace, "{method} {path}");
            }
            Some(role) => {
                info!(target: AUDIT, MESSAGE_ID, identity, serial = peer.serial, decision = "allowed", role, code, latency_us, %trace, "{method} {path}");
            }
        }
    }
}

fn too_late() -> Response {
    let detail = "the rest of the request's body did not come in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
}

fn elsewhere() -> Response {
    let detail = "that host has a certificate and rules of its own here; connect to it by its name";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

fn forbidden(detail: impl Into<String>) -> Response {
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}
