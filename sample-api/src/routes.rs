//! What our own server answers.
//!
//! Owns: the routes of both faces.
//! Never does: know of sockets or TLS, or decide who may ask; [`crate::access`] has, for each route.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::uri::{Authority, PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::caller::Caller;
use crate::faces::{Face, Faces};
use crate::identity::Identity;
use crate::leaf::rfc3339;
use crate::metrics::Text;
use crate::mtls::MutualTls;
use crate::problem::Problem;
use crate::proxy;

/// The longest that `/stream` may be asked to take, in seconds.
pub const LONGEST_STREAM: u64 = 300;

/// Between two chunks of `/stream`.
const CHUNK_EVERY: Duration = Duration::from_millis(100);

/// The routes for clients with a certificate.
pub fn api() -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/whoami", get(whoami))
        .route("/stream", get(slow))
        .fallback(nothing)
}

/// The routes for health checks and scrapers, on a loopback address and without TLS.
///
/// `/metrics` is of the face `main`, `/metrics/NAME` of another.
pub fn health(faces: Faces, upstream: Option<Arc<proxy::Health>>) -> Router {
    let mut router = Router::new();
    for (place, face) in faces.all().iter().enumerate() {
        let path = match place {
            0 => "/metrics".to_owned(),
            _ => format!("/metrics/{}", face.name),
        };
        // All have the same application behind them.
        let (mtls, upstream) = (face.mtls.clone(), upstream.clone());
        router = router.route(&path, get(move || metrics(mtls.clone(), upstream.clone())));
    }
    router
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(faces)
}

/// The face without TLS that only says where the other one is; `port` is that of HTTPS.
pub fn redirect(port: u16) -> Router {
    Router::new().fallback(move |uri: Uri, headers: HeaderMap| async move {
        let elsewhere = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok())
            .filter(|host| !host.as_str().contains('@') && !host.host().is_empty())
            .and_then(|host| {
                let port = if port == 443 {
                    String::new()
                } else {
                    format!(":{port}")
                };
                // `OPTIONS *` asks about the server, and would become a part of the host.
                let path = uri.path_and_query().map(PathAndQuery::to_string);
                let path = path.filter(|path| path.starts_with('/'));
                let path = path.as_deref().unwrap_or("/");
                HeaderValue::from_str(&format!("https://{}{port}{path}", host.host())).ok()
            });
        match elsewhere {
            // 308: the method stays, so a POST does not become a GET.
            Some(elsewhere) => (
                StatusCode::PERMANENT_REDIRECT,
                [(header::LOCATION, elsewhere)],
            )
                .into_response(),
            None => {
                Problem::new(StatusCode::BAD_REQUEST, "the request names no host").into_response()
            }
        }
    })
}

async fn hello(caller: Caller) -> String {
    ["hello, ", caller.name(), "\n"].concat()
}

#[derive(Serialize)]
struct WhoAmI {
    #[serde(flatten)]
    identity: Identity,
    serial: String,
    role: String,
    generation: u64,
}

/// The caller's identity, serial and role, and the generation of ours that this connection was made with.
async fn whoami(identity: Identity, caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        identity,
        serial: caller.peer().serial.clone(),
        role: caller.role().to_owned(),
        generation: caller.generation(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    #[serde(default = "five")]
    seconds: u64,
}

fn five() -> u64 {
    5
}

/// A response that takes its time: a line every tenth of a second, and `end` when it is whole.
async fn slow(query: Result<Query<Slow>, QueryRejection>) -> Result<Response, Problem> {
    let refuse = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let Query(Slow { seconds }) = query.map_err(|error| refuse(error.body_text()))?;
    if seconds > LONGEST_STREAM {
        return Err(refuse(format!("seconds may be at most {LONGEST_STREAM}")));
    }
    let ticks = seconds * 1000 / CHUNK_EVERY.as_millis() as u64;
    let mut clock = tokio::time::interval(CHUNK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lines = stream::unfold((clock, 0), move |(mut clock, tick)| async move {
        if tick > ticks {
            return None;
        }
        clock.tick().await;
        let line = if tick == ticks {
            "end\n".to_owned()
        } else {
            format!("tick {tick}\n")
        };
        Some((Ok::<_, Infallible>(Bytes::from(line)), (clock, tick + 1)))
    });
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((plain, Body::from_stream(lines)).into_response())
}

async fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here")
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    generation: u64,
    serial: String,
    not_after: String,
}

/// 200 only while clients can really be served: not with an expired certificate, and not while stopping.
async fn healthz(State(faces): State<Faces>) -> (StatusCode, Json<Health>) {
    told(faces.healthy(SystemTime::now()))
}

/// As `/healthz`, and not with a revocation list that has ended, either: then no new client gets in.
async fn readyz(State(faces): State<Faces>) -> (StatusCode, Json<Health>) {
    told(faces.ready(SystemTime::now()))
}

fn told((face, ready): (&Face, Result<(), &'static str>)) -> (StatusCode, Json<Health>) {
    let (code, status) = match ready {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    let served = face.mtls.keys().served();
    let health = Health {
        status,
        generation: served.generation,
        serial: served.leaf.serial.clone(),
        not_after: rfc3339(served.leaf.not_after),
    };
    (code, Json(health))
}

async fn metrics(mtls: Arc<MutualTls>, upstream: Option<Arc<proxy::Health>>) -> Response {
    let mut now = mtls.gauges().await;
    now.upstream = upstream.map(|health| health.seen());
    let text = Text::of(mtls.metrics(), &now);
    ([(header::CONTENT_TYPE, Text::TYPE)], text).into_response()
}
