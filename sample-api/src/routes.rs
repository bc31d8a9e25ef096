//! What the server answers.
//!
//! Owns: the routes of both faces and the refusal of callers without an identity.
//! Never does: know of sockets or TLS. Neighbour: [`crate::serve`], which puts a [`Peer`] into each request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::identity::{Identity, Peer};
use crate::keys::Keys;
use crate::leaf::rfc3339;
use crate::problem::Problem;
use crate::serve::Phase;

/// The longest that `/stream` may be asked to take, in seconds.
pub const LONGEST_STREAM: u64 = 300;

/// Between two chunks of `/stream`.
const CHUNK_EVERY: Duration = Duration::from_millis(100);

/// The routes for clients with a certificate.
///
/// The refusal wraps all of them, the fallback too: a route that is added later cannot forget it.
pub fn api() -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/whoami", get(whoami))
        .route("/stream", get(slow))
        .fallback(nothing)
        .layer(middleware::from_fn(require_identity))
}

/// The routes for health checks, on a loopback address and without TLS.
pub fn health(keys: Arc<Keys>, phase: tokio::sync::watch::Receiver<Phase>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .with_state((keys, phase))
}

/// Without a peer in the request there is no identity either: this fails closed.
async fn require_identity(mut request: Request, next: Next) -> Result<Response, Problem> {
    let identity = match request.extensions().get::<Arc<Peer>>() {
        Some(peer) => peer.identity.clone().map_err(|error| error.to_string()),
        None => Err("no client certificate".to_owned()),
    };
    let identity = identity.map_err(|detail| Problem::new(StatusCode::FORBIDDEN, detail))?;
    request.extensions_mut().insert(identity);
    Ok(next.run(request).await)
}

async fn hello(Extension(identity): Extension<Identity>) -> String {
    format!("hello, {}\n", identity.name)
}

#[derive(Serialize)]
struct WhoAmI {
    #[serde(flatten)]
    identity: Identity,
    serial: String,
    generation: u64,
}

/// The caller's identity and serial, and the generation of ours that this connection was made with.
async fn whoami(
    Extension(identity): Extension<Identity>,
    Extension(peer): Extension<Arc<Peer>>,
) -> Json<WhoAmI> {
    Json(WhoAmI {
        identity,
        serial: peer.serial.clone(),
        generation: peer.generation,
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
async fn healthz(
    State((keys, phase)): State<(Arc<Keys>, tokio::sync::watch::Receiver<Phase>)>,
) -> (StatusCode, Json<Health>) {
    let served = keys.served();
    let now = SystemTime::now();
    let (code, status) = if *phase.borrow() != Phase::Serving {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if now > served.leaf.not_after {
        (StatusCode::SERVICE_UNAVAILABLE, "certificate expired")
    } else if now < served.leaf.not_before {
        (StatusCode::SERVICE_UNAVAILABLE, "certificate not valid yet")
    } else {
        (StatusCode::OK, "ok")
    };
    let health = Health {
        status,
        generation: served.generation,
        serial: served.leaf.serial.clone(),
        not_after: rfc3339(served.leaf.not_after),
    };
    (code, Json(health))
}
