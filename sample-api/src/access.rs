//! One request: who asks, whether it is answered, and the record of both.
//!
//! Owns: the way around the application: trace, decision, 403, audit line, counters.
//! Never does: answer itself. Neighbours: [`crate::connection`] brings requests, [`crate::registry`] decides.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::{info, warn};

use crate::mtls::MutualTls;
use crate::problem::Problem;
use crate::registry::{Admission, Seat};
use crate::trace::{self, TraceId};

/// The target of audit lines, for `RUST_LOG`.
pub const AUDIT: &str = "audit";

/// What a handler may ask for besides the `Arc<Peer>` and the `Identity` (each as an `Extension`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role that allowed the request.
    pub role: String,
    /// The generation of the server's certificate that the connection began with.
    pub generation: u64,
    /// Where the connection came from.
    pub client: SocketAddr,
    /// The trace that the request belongs to; it stands in the request's `traceparent`, too.
    pub trace: TraceId,
}

/// The requests of one connection.
pub(crate) struct Access {
    pub(crate) mtls: Arc<MutualTls>,
    pub(crate) router: Router,
    pub(crate) seat: Arc<Seat>,
    pub(crate) generation: u64,
    pub(crate) client: SocketAddr,
    pub(crate) tunnel: Tunnel,
}

/// Where whoever answers leaves work that goes on with the connection after HTTP has ended on it. As an extension of each
/// request; what is left there is drained and cut like a response.
#[derive(Clone, Default)]
pub(crate) struct Tunnel(Arc<Mutex<Option<Work>>>);

/// It has no name and no end of its own.
pub(crate) type Work = futures_util::future::BoxFuture<'static, ()>;

impl Tunnel {
    pub(crate) fn put(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(work));
    }

    pub(crate) fn take(&self) -> Option<Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Access {
    /// Answers one request. Whatever stands between it and the router stands here, for every route and the fallback.
    pub(crate) async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let begun = Instant::now();
        let trace = trace::of(request.headers_mut());
        let peer = self.seat.peer();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let admission = match &peer.identity {
            Ok(_) => self.seat.admit(
                self.mtls.rules(),
                self.mtls.metrics(),
                method.as_str(),
                &path,
            ),
            Err(_) => Admission::Denied(""),
        };
        let most = self.mtls.settings().max_body;
        let (role, response) = match (admission, &peer.identity) {
            (Admission::Allowed(role), Ok(identity)) => {
                let response = if request.body().size_hint().lower() > most {
                    Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        format!("a body may have at most {most} bytes"),
                    )
                    .into_response()
                } else {
                    let extensions = request.extensions_mut();
                    extensions.insert(identity.clone());
                    extensions.insert(peer.clone());
                    extensions.insert(self.tunnel.clone());
                    extensions.insert(Grant {
                        role: role.clone(),
                        generation: self.generation,
                        client: self.client,
                        trace,
                    });
                    let most = usize::try_from(most).unwrap_or(usize::MAX);
                    self.router
                        .clone()
                        .oneshot(request.map(|body| Limited::new(body, most)))
                        .await?
                };
                (role, response)
            }
            (Admission::Barred(reason), _) => {
                let detail = format!(
                    "the client certificate is no longer accepted: {}",
                    reason.word()
                );
                (String::new(), forbidden(detail))
            }
            (Admission::Denied(detail), Ok(_)) => (String::new(), forbidden(detail)),
            (_, Err(error)) => (String::new(), forbidden(error.to_string())),
        };
        let line = Line {
            role: &role,
            method: &method,
            path: &path,
            code: response.status().as_u16(),
            took: begun.elapsed(),
            trace,
        };
        record(&self.mtls, &self.seat, &line);
        Ok(response)
    }
}

/// For HTTP/1.1: the client will not send another request on this connection.
pub(crate) fn close_after(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

fn forbidden(detail: impl Into<String>) -> Response {
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

struct Line<'a> {
    /// Empty: denied.
    role: &'a str,
    method: &'a Method,
    path: &'a str,
    code: u16,
    took: Duration,
    trace: TraceId,
}

fn record(mtls: &MutualTls, seat: &Seat, line: &Line<'_>) {
    let Line {
        role,
        method,
        path,
        code,
        took,
        trace,
    } = line;
    mtls.metrics()
        .request(if role.is_empty() { "none" } else { role }, *code, *took);
    if !mtls.settings().audit {
        return;
    }
    let peer = seat.peer();
    let identity = peer
        .identity
        .as_ref()
        .map_or("", |identity| identity.name.as_str());
    let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // The query stays out: it may hold what is not for logs.
    if role.is_empty() {
        warn!(target: AUDIT, identity, serial = peer.serial, decision = "denied", code, latency_us, %trace, "{method} {path}");
    } else {
        info!(target: AUDIT, identity, serial = peer.serial, decision = "allowed", role, code, latency_us, %trace, "{method} {path}");
    }
}
