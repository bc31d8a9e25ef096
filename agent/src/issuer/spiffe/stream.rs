//! The one connection to the Workload API: a call of gRPC whose answer is a stream that stays open.
//!
//! It is kept up for as long as the issuer is configured: what comes is there for all certificates, and what ends it
//! is kept as the trouble until it is over. How the call is spoken is in [`grpc`].

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::error::SpiffeError;
use super::grpc::{self, Message};
use super::message::Update;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// For the first message, and for the rest of one that has begun.
    pub(super) silence: Duration,
    /// Before the first try to connect again, and before any.
    pub(super) again: (Duration, Duration),
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(10),
            again: (Duration::from_secs(1), Duration::from_secs(30)),
        }
    }
}

/// What was heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// What came last and holds still.
    pub(super) update: Option<Arc<Update>>,
    /// Why nothing comes.
    pub(super) trouble: Option<SpiffeError>,
    /// How often something came or failed.
    pub(super) round: u64,
}

/// The connection, for as long as this is held.
pub(super) struct Line {
    heard: watch::Sender<Heard>,
    news: watch::Sender<u64>,
    again: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// To be called in a runtime.
    pub(super) fn open(socket: PathBuf, waits: Waits) -> Self {
        let (heard, news) = (watch::Sender::default(), watch::Sender::default());
        let again = Arc::new(Notify::new());
        let listener = Listener {
            socket,
            waits,
            heard: heard.clone(),
            news: news.clone(),
        };
        let task = tokio::spawn(listener.run(Arc::clone(&again)));
        Self {
            heard,
            news,
            again,
            task: task.abort_handle(),
        }
    }

    /// What was heard last.
    pub(super) fn heard(&self) -> Heard {
        self.heard.borrow().clone()
    }

    /// Changes when something else has come.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    #[cfg(test)]
    pub(super) fn task(&self) -> AbortHandle {
        self.task.clone()
    }

    /// Connects anew if this round is over, and tells what comes of it. For it could be that the connection is dead and
    /// nobody knows, or that what was out of order is not any more.
    pub(super) async fn ask_anew(&self, round: u64) -> Heard {
        let mut heard = self.heard.subscribe();
        // The first round is under way.
        if round > 0 {
            self.again.notify_one();
        }
        // The sender is ours, and every round ends: by a message, a failure or its deadline.
        let _ = heard.wait_for(|heard| heard.round > round).await;
        heard.borrow().clone()
    }
}

struct Listener {
    socket: PathBuf,
    waits: Waits,
    heard: watch::Sender<Heard>,
    news: watch::Sender<u64>,
}

impl Listener {
    async fn run(self, again: Arc<Notify>) -> Infallible {
        let (first, longest) = self.waits.again;
        let mut pause = first;
        loop {
            let before = self.heard.borrow().round;
            let error = tokio::select! {
                error = self.follow() => error,
                () = again.notified() => continue,
            };
            // It had worked.
            if self.heard.borrow().round > before {
                pause = first;
            }
            self.heard.send_modify(|heard| {
                // What is denied now is no longer ours.
                if let SpiffeError::NoIdentity { .. } = error {
                    heard.update = None;
                }
                heard.trouble = Some(error);
                heard.round += 1;
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
                () = again.notified() => {}
            }
        }
    }

    /// Takes in what comes, until it ends.
    async fn follow(&self) -> SpiffeError {
        let until = Instant::now() + self.waits.silence;
        let opened = timeout_at(until, UnixStream::connect(&self.socket)).await;
        let stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return SpiffeError::Unreachable {
                    socket: self.socket.clone(),
                    kind: error.kind(),
                    why: error.to_string(),
                };
            }
            Err(_) => return self.silent(),
        };
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = match timeout_at(until, shaken).await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => return self.broken(&error),
            Err(_) => return self.silent(),
        };
        let conversation = async {
            match timeout_at(until, sender.send_request(grpc::request())).await {
                Ok(Ok(response)) => match self.head(response.status(), response.headers()) {
                    Some(error) => error,
                    None => self.messages(response.into_body(), until).await,
                },
                Ok(Err(error)) => self.broken(&error),
                Err(_) => self.silent(),
            }
        };
        // The connection moves nothing unless it is asked to. Whoever waits for an answer hears of its end, and why.
        let connection = async {
            let _ = connection.await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            error = conversation => error,
            never = connection => match never {},
        }
    }

    /// What the head of an answer says against it.
    fn head(&self, status: StatusCode, headers: &HeaderMap) -> Option<SpiffeError> {
        if status != StatusCode::OK {
            return Some(self.broke_off(format!("it answered {status}")));
        }
        if headers.contains_key("grpc-status") {
            // An answer without any message has its trailers in its head.
            return Some(grpc::ended(&self.socket, headers));
        }
        let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
        (!kind.is_some_and(|kind| kind.starts_with(b"application/grpc")))
            .then(|| self.broke_off("it does not speak gRPC".to_owned()))
    }

    async fn messages(&self, mut body: Incoming, first: Instant) -> SpiffeError {
        let mut until = Some(first);
        let mut message = Message::default();
        loop {
            let frame = match until {
                Some(until) => match timeout_at(until, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => return self.silent(),
                },
                None => body.frame().await,
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return self.broken(&error),
                None => return self.broke_off("it ended without saying why".to_owned()),
            };
            if let Some(trailers) = frame.trailers_ref() {
                return grpc::ended(&self.socket, trailers);
            }
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            while !data.is_empty() {
                // One that has begun must end.
                until = until.or_else(|| Some(Instant::now() + self.waits.silence));
                if let Err(error) = message.take(&mut data, &self.socket) {
                    return error;
                }
                if let Some(whole) = message.whole() {
                    match Update::read(&whole) {
                        Ok(update) => self.take_in(update),
                        Err(why) => {
                            return SpiffeError::malformed(&self.socket, "a message", &why);
                        }
                    }
                    until = None;
                }
            }
        }
    }

    fn take_in(&self, update: Update) {
        let mut other = false;
        self.heard.send_modify(|heard| {
            other = heard.update.as_deref() != Some(&update);
            if other {
                heard.update = Some(Arc::new(update));
            }
            heard.trouble = None;
            heard.round += 1;
        });
        if other {
            self.news.send_modify(|count| *count += 1);
        }
    }

    fn silent(&self) -> SpiffeError {
        SpiffeError::Silent {
            socket: self.socket.clone(),
            waited: self.waits.silence,
        }
    }

    fn broken(&self, error: &hyper::Error) -> SpiffeError {
        let mut deepest: &dyn std::error::Error = error;
        while let Some(cause) = deepest.source() {
            deepest = cause;
        }
        self.broke_off(deepest.to_string())
    }

    fn broke_off(&self, why: String) -> SpiffeError {
        SpiffeError::Broken {
            socket: self.socket.clone(),
            why,
        }
    }
}
