//! The sidecar: in front of an application that speaks plain HTTP and knows nothing of certificates.
//!
//! Owns: what is passed on, what is taken away and what is added, in both directions.
//! Never does: decide who may ask; [`crate::access`] has. Neighbour: [`crate::routes`], whose place it takes.
//!
//! The application believes the headers named here, so nobody else may set them: they are removed from what comes
//! from outside, however they are spelt, before ours are added.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::copy_bidirectional;

use crate::caller::Caller;
use crate::events::tell;
use crate::explain;
use crate::fingerprint::Fingerprint;
use crate::identity::{Identity, Kind};
use crate::problem::Problem;
use crate::trace::TRACEPARENT;

mod connect;

use connect::Connector;
pub use connect::{NotAnUpstream, Upstream};

/// Those that speak of the caller: removed from outside.
const OURS: [&str; 3] = ["x-client-identity", "x-forwarded-client-cert", "forwarded"];

/// Those that speak of one connection (RFC 9110, 7.6.1), besides what `Connection` names.
const HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// What the application needs to know of the request: it cannot be wished away by `Connection`.
const NEEDED: [&str; 4] = ["host", "content-length", "authorization", "traceparent"];

/// What is known of the application.
#[derive(Debug, Default)]
pub struct Health {
    answered: AtomicU64,
    failed: AtomicU64,
    /// The last attempt failed.
    down: AtomicBool,
}

impl Health {
    /// Requests that it answered, those that it did not, and whether the last one was answered.
    pub fn seen(&self) -> (u64, u64, bool) {
        (
            self.answered.load(Relaxed),
            self.failed.load(Relaxed),
            !self.down.load(Relaxed),
        )
    }
}

/// Passes every request on.
pub fn router(upstream: Upstream, health: Arc<Health>) -> Router {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(Connector(upstream));
    Router::new().fallback(
        move |identity: Identity, caller: Caller, request: Request| {
            pass(client.clone(), health.clone(), (identity, caller), request)
        },
    )
}

async fn pass(
    client: Client<Connector, Body>,
    health: Arc<Health>,
    (identity, caller): (Identity, Caller),
    mut request: Request,
) -> Response {
    let upgrading = request.extensions_mut().remove::<OnUpgrade>();
    let told = Told {
        identity: &identity,
        fingerprint: caller.peer().fingerprint,
        address: caller.address(),
        traceparent: caller.traceparent(),
    };
    let outgoing = match outgoing(request, told) {
        Ok(outgoing) => outgoing,
        Err(problem) => return problem.into_response(),
    };
    match client.request(outgoing).await {
        Ok(mut response) => {
            health.answered.fetch_add(1, Relaxed);
            health.down.store(false, Relaxed);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return switched(upgrading, &mut response);
            }
            strip_hop(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) if is_callers(&error) => {
            // The caller's body ended early, or was too long: nothing is known of the application.
            let detail = "the request's body was not whole, or longer than it may be";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
        }
        Err(error) => {
            health.failed.fetch_add(1, Relaxed);
            health.down.store(true, Relaxed);
            tell!(
                UPSTREAM_FAILED,
                "the application did not answer: {}",
                explain(&error)
            );
            let detail = match error.is_connect() {
                true => "the application behind this server cannot be reached",
                false => "the application behind this server broke off",
            };
            Problem::new(StatusCode::BAD_GATEWAY, detail).into_response()
        }
    }
}

fn is_callers(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_user)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the application learns of the caller.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// Its name.
    pub identity: &'a Identity,
    /// Of its certificate.
    pub fingerprint: Fingerprint,
    /// Where its connection came from.
    pub address: SocketAddr,
    /// The trace of the request.
    pub traceparent: HeaderValue,
}

/// What the application is asked for a request that was allowed.
///
/// # Errors
///
/// When the request names no host.
pub fn outgoing(request: Request, told: Told<'_>) -> Result<Request, Problem> {
    let (mut head, body) = request.into_parts();
    let unknown = || Problem::new(StatusCode::FORBIDDEN, "no client certificate");
    let refuse = || Problem::new(StatusCode::BAD_REQUEST, "the request names no host");
    let host = match (head.headers.get(header::HOST), head.uri.authority()) {
        (_, Some(authority)) => HeaderValue::from_str(authority.as_str()).map_err(|_| refuse())?,
        (Some(host), None) => host.clone(),
        (None, None) => return Err(refuse()),
    };
    let upgrade = head
        .headers
        .remove(header::UPGRADE)
        .filter(|_| head.version == Version::HTTP_11);
    strip_hop(&mut head.headers);
    strip_ours(&mut head.headers);
    if let Some(protocol) = upgrade {
        head.headers.insert(header::UPGRADE, protocol);
        head.headers
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let forwarded = format!(
        "for={};proto=https;host={}",
        quoted(&match told.address {
            SocketAddr::V4(client) => client.ip().to_string(),
            SocketAddr::V6(client) => format!("[{}]", client.ip()),
        }),
        quoted(host.to_str().map_err(|_| refuse())?),
    );
    for (name, value) in [
        ("x-client-identity", told.identity.name.clone()),
        ("x-forwarded-client-cert", client_cert(&told)),
        ("forwarded", forwarded),
    ] {
        // An identity is printable ASCII, so this does not fail; were it to, nobody is passed on without a name.
        let value = HeaderValue::from_str(&value).map_err(|_| unknown())?;
        head.headers.insert(HeaderName::from_static(name), value);
    }
    head.headers.insert(TRACEPARENT, told.traceparent);
    head.headers.insert(header::HOST, host);
    let path = head
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    head.uri = Uri::builder()
        .scheme("http")
        // The connector does not look at it; the pool does, and there is one application.
        .authority("application")
        .path_and_query(path)
        .build()
        .map_err(|_| refuse())?;
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Ok(Request::from_parts(head, body))
}

/// Envoy's format: one element, for the one client that we have seen ourselves.
fn client_cert(told: &Told<'_>) -> String {
    let name = &told.identity.name;
    let (key, name) = match told.identity.kind {
        Kind::Uri => ("URI", quoted(name)),
        Kind::Dns => ("DNS", quoted(name)),
        Kind::Cn => ("Subject", quoted(&format!("CN={name}"))),
    };
    format!("Hash={};{key}={name}", told.fingerprint)
}

/// A token as it is, anything else as a quoted string (RFC 9110, 5.6.4).
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~/".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Some applications (CGI) take `_`, and some any other sign, for `-`.
fn strip_ours(headers: &mut HeaderMap) {
    let begins = |name: &HeaderName, with: &str| {
        let same = |(given, ours): (u8, u8)| match ours {
            b'-' => !given.is_ascii_alphanumeric(),
            letter => given == letter,
        };
        name.as_str().len() >= with.len() && name.as_str().bytes().zip(with.bytes()).all(same)
    };
    let forged = |name: &HeaderName| {
        let is = |ours: &&str| name.as_str().len() == ours.len() && begins(name, ours);
        OURS.iter().any(is) || begins(name, "x-forwarded-")
    };
    let names: Vec<_> = headers
        .keys()
        .filter(|name| forged(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

fn strip_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        if !NEEDED.contains(&name.as_str()) {
            headers.remove(name);
        }
    }
    for name in HOP {
        headers.remove(name);
    }
}

/// Both sides speak another protocol from now on (WebSocket): bytes are passed until one side ends.
fn switched(inside: Option<OnUpgrade>, response: &mut Response<hyper::body::Incoming>) -> Response {
    let Some(inside) = inside else {
        return Problem::new(
            StatusCode::BAD_GATEWAY,
            "the application changed to a protocol that was not asked for",
        )
        .into_response();
    };
    let outside = hyper::upgrade::on(&mut *response);
    let mut switched = StatusCode::SWITCHING_PROTOCOLS.into_response();
    *switched.headers_mut() = std::mem::take(response.headers_mut());
    // The connection is its client's as before: it is waited for, and cut with its trust.
    tokio::spawn(async move {
        if let Ok((inside, outside)) = futures_util::future::try_join(inside, outside).await {
            let (mut inside, mut outside) = (TokioIo::new(inside), TokioIo::new(outside));
            let _ = copy_bidirectional(&mut inside, &mut outside).await;
        }
    });
    switched
}
