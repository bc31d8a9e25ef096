//! HTTP/1.1 and HTTP/2, as one sort of conversation. The handshake has agreed on which.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::access::{Access, Answering};
use crate::answer::Answer;
use crate::counted::Counted;

/// An idle HTTP/2 connection is asked whether anybody is there, and closed if nobody answers.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWERED: Duration = Duration::from_secs(20);

type Stream = TokioIo<Counted<TlsStream<TcpStream>>>;

/// Who answers.
pub(super) struct Answers(Arc<Access>);

impl Service<Request<Incoming>> for Answers {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.0.clone().answer(request)
    }
}

/// As [`Answers`]. Each request becomes a task, and is copied several times on its way into it.
pub(super) struct Streams(Arc<Access>);

impl Service<Request<Incoming>> for Streams {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<Answering>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.0.clone().answer(request))
    }
}

/// A connection in the hands of HTTP.
#[expect(clippy::large_enum_variant, reason = "it stands in a box already")]
pub(super) enum Http {
    One(http1::UpgradeableConnection<Stream, Answers>),
    Two(http2::Connection<Stream, Streams, TokioExecutor>),
}

impl Http {
    pub(super) fn new(stream: Counted<TlsStream<TcpStream>>, access: &Arc<Access>) -> Self {
        let settings = access.mtls.settings();
        let stream = TokioIo::new(stream);
        if access.http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
                .max_concurrent_streams(settings.max_streams)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_ANSWERED);
            Self::Two(builder.serve_connection(stream, Streams(access.clone())))
        } else {
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .max_buf_size(settings.max_head.max(8192))
                // `Rest` does it, and sets no timer for every request.
                .header_read_timeout(None);
            let answers = Answers(access.clone());
            Self::One(builder.serve_connection(stream, answers).with_upgrades())
        }
    }

    /// HTTP/2: GOAWAY, which names the requests that were not taken. HTTP/1.1: closed when idle.
    pub(super) fn shut_down(&mut self) {
        match self {
            Self::One(one) => Pin::new(one).graceful_shutdown(),
            Self::Two(two) => Pin::new(two).graceful_shutdown(),
        }
    }
}

impl Future for Http {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::One(one) => Pin::new(one).poll(cx),
            Self::Two(two) => Pin::new(two).poll(cx),
        }
    }
}
