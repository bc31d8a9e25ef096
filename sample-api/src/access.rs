//! One request: who asks, whether it is answered, and the record of both.
//!
//! Owns: the way around the application: trace, decision, 403, audit line, counters.
//! Never does: answer itself. Neighbours: [`crate::connection`] brings requests, [`crate::registry`] decides,
//! [`crate::caller`] is what the application learns.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tower::Service;
use tracing::{info, warn};

use crate::answer::{Answer, Way};
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
    /// How many requests there have been.
    pub(crate) asked: AtomicU64,
    /// Over HTTP/1.1: answers that are not whole, and bodies of requests that are still read. One may outlast the other.
    pub(crate) busy: AtomicUsize,
    /// Nobody has read a body to its end, so that only HTTP knows how it goes on.
    pub(crate) unread: AtomicBool,
    /// It may be another protocol's from now on, and somebody else's task may read it.
    pub(crate) switched: AtomicBool,
    /// A response has said `Connection: close`.
    pub(crate) told_close: AtomicBool,
    /// Of the responses over HTTP/2.
    pub(crate) flow: Flow,
    /// Those of the listener, where there are several.
    pub(crate) faces: Option<Shared>,
}

impl Access {
    /// Answers one request. Whatever stands between it and the router stands here, for every route and the fallback.
    ///
    /// All that comes before the router is done at once: what is kept for later is copied several times on its way into
    /// a task.
    pub(crate) fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Answering {
        let begun = Instant::now();
        let number = self.asked.fetch_add(1, Relaxed);
        if number == 0 {
            self.seat.ring();
        }
        if request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE) {
            self.switched.store(true, Relaxed);
        }
        let trace = Trace::of(request.headers_mut(), &self.traces, number);
        let audited = (self.mtls.settings().audit)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));
        let most = self.mtls.settings().max_body;
        let (role, coming) = match self.decide(&request) {
            Err(refusal) => (None, Coming::There(Some(refusal))),
            Ok(role) if request.body().size_hint().lower() > most => {
                let detail = format!("a body may have at most {most} bytes");
                let refusal = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
                (Some(role), Coming::There(Some(refusal.into_response())))
            }
            Ok(role) => {
                let caller = Caller::new(self.clone(), role.clone(), trace.clone());
                request.extensions_mut().insert(caller);
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let late = Late::of(request.body(), &self.mtls);
                let request = request.map(|body| match body.is_end_stream() {
                    true => axum::body::Body::empty(),
                    false => axum::body::Body::new(Arriving::new(body, most, late.clone(), &self)),
                });
                // A router is always ready.
                let routed = self.router.clone().call(request);
                (Some(role), Coming::Routed(routed, late))
            }
        };
        Answering {
            way: Some(Way::of(&self)),
            access: self,
            begun,
            trace,
            audited,
            role,
            coming,
        }
    }

    fn decide(&self, request: &Request<Incoming>) -> Result<Role, Response> {
        if let Some(faces) = &self.faces
            && faces.misdirected(&self.mtls, request.uri(), request.headers())
        {
            return Err(elsewhere());
        }
        if let Err(error) = &self.seat.peer().identity {
            return Err(forbidden(error.to_string()));
        }
        let (method, path) = (request.method().as_str(), request.uri().path());
        match (self.seat).admit(self.mtls.rules(), self.mtls.metrics(), method, path) {
            Admission::Allowed(role) => Ok(role),
            Admission::Barred(reason) => {
                let reason = reason.word();
                let detail = format!("the client certificate is no longer accepted: {reason}");
                Err(forbidden(detail))
            }
            Admission::Denied(detail) => Err(forbidden(detail)),
        }
    }

    /// Whether there should be no more requests after this one.
    fn closes(&self) -> bool {
        self.mtls.phase() != Phase::Serving || self.seat.leaving().is_some()
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

/// A request on its way to its answer.
pub(crate) struct Answering {
    access: Arc<Access>,
    begun: Instant,
    trace: Trace,
    /// Method and path, where there is to be a line of it.
    audited: Option<(Method, String)>,
    role: Option<Role>,
    coming: Coming,
    /// None when it is answered.
    way: Option<Way>,
}

enum Coming {
    /// None when it is answered.
    There(Option<Response>),
    Routed(RouteFuture<Infallible>, Option<Arc<Late>>),
}

impl Future for Answering {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.coming {
            Coming::There(response) => response.take(),
            Coming::Routed(routed, late) => {
                let answer = ready!(Pin::new(routed).poll(cx));
                match late.as_ref().is_some_and(|late| late.is()) {
                    true => Some(too_late()),
                    false => answer.ok(),
                }
            }
        };
        match (response, self.way.take()) {
            (Some(response), Some(way)) => {
                let response = self.recorded(response);
                Poll::Ready(Ok(response.map(|body| Answer::new(body, way))))
            }
            _ => panic!("asked for an answer that was given"),
        }
    }
}

impl Answering {
    /// The answer is there: it is counted, and perhaps the last one.
    fn recorded(&self, mut response: Response) -> Response {
        let access = &self.access;
        let (code, took) = (response.status().as_u16(), self.begun.elapsed());
        let counted = self.role.as_ref().map_or("none", Role::name);
        access.mtls.metrics().request(counted, code, took);
        if let Some((method, path)) = &self.audited {
            let role = self.role.as_ref();
            access.audit(role, method, path, (code, took, &self.trace));
        }
        // Asked when the answer is there: what happened meanwhile counts.
        let late = code == StatusCode::REQUEST_TIMEOUT.as_u16();
        // What has changed to another protocol knows nothing of it.
        let switched = code == StatusCode::SWITCHING_PROTOCOLS.as_u16();
        if !access.http2 && !switched && (late || access.closes()) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            access.told_close.store(true, Relaxed);
        }
        response
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
