//! One connection: dialled, verified, and spoken HTTP over.
//!
//! It must never reconnect by itself: a connection that ends is told of, never papered over.
//! Its neighbours are [`super::busy`] and [`super::fresh`], which decide what an end means.

use std::fmt::Display;
use std::io::ErrorKind;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::LoadError;
use super::identity::Identity;

/// What the client says it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Where to connect, and under which name.
#[derive(Debug)]
pub(super) struct Origin {
    host: String,
    port: u16,
    name: ServerName<'static>,
    authority: String,
    /// Path and query of the URL.
    pub(super) path: String,
}

impl Origin {
    pub(super) fn parse(url: &Uri) -> Result<Self, LoadError> {
        let refuse = |why| LoadError::Url {
            url: url.to_string(),
            why,
        };
        if url.scheme_str() != Some("https") {
            return Err(refuse("it must begin with https://"));
        }
        let authority = url.authority().ok_or_else(|| refuse("it names no host"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self {
            name: ServerName::try_from(host.clone())
                .map_err(|_| refuse("its host is neither a DNS name nor an IP address"))?,
            port: authority.port_u16().unwrap_or(443),
            host,
            authority: authority.to_string(),
            path: url
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

/// Why a request was not answered, or not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// In one line.
    pub(super) text: String,
    /// It may be that the connection ended in good order before a byte of the answer: whoever may ask twice may ask again.
    pub(super) unserved: bool,
}

impl Fault {
    fn at(step: &str, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{step}: {error}");
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        Self {
            text,
            unserved: false,
        }
    }

    pub(super) fn because(step: &str, why: impl Display) -> Self {
        Self {
            text: format!("{step}: {why}"),
            unserved: false,
        }
    }

    /// A request that got no head of an answer.
    fn unanswered(error: &hyper::Error) -> Self {
        Self {
            unserved: is_unserved(error),
            ..Self::at("request", error)
        }
    }
}

/// Whether the connection ended as HTTP lets it end while this request was on its way (RFC 9112, section 9.5; RFC 9113,
/// section 6.8), and not by being cut: a TLS connection without its farewell is an `UnexpectedEof`.
fn is_unserved(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    if let Some(error) = source.and_then(|source| source.downcast_ref::<h2::Error>()) {
        let nothing_wrong = error.reason() == Some(h2::Reason::NO_ERROR);
        return (error.is_go_away() && error.is_remote() && nothing_wrong)
            || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    }
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || has_crossed(error)
}

/// Whether what we wrote met a connection that the server had closed.
fn has_crossed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let crossed = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    crossed.is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        )
    })
}

/// An open connection, and the leaf that the server showed on it.
pub(super) struct Session {
    /// DER, exactly as sent.
    pub(super) leaf: Vec<u8>,
    sender: Sender,
    driver: JoinHandle<Result<(), hyper::Error>>,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Session {
    pub(super) async fn open(
        origin: &Origin,
        identity: &Identity,
        protocol: Protocol,
    ) -> Result<Self, Fault> {
        let config = identity
            .config(protocol)
            .map_err(|e| Fault::at("client identity", &e))?;
        let tcp = TcpStream::connect((origin.host.as_str(), origin.port))
            .await
            .map_err(|e| Fault::at("connect", &e))?;
        tcp.set_nodelay(true)
            .map_err(|e| Fault::at("connect", &e))?;
        let tls = TlsConnector::from(config)
            .connect(origin.name.clone(), tcp)
            .await
            .map_err(|e| Fault::at("handshake", &e))?;
        let state = tls.get_ref().1;
        let leaf = state
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or_else(|| Fault::because("handshake", "no certificate shown"))?
            .to_vec();
        if protocol == Protocol::Http2 && state.alpn_protocol() != Some(b"h2") {
            return Err(Fault::because(
                "handshake",
                "the server does not speak HTTP/2",
            ));
        }
        let io = TokioIo::new(tls);
        let open = |e| Fault::at("open HTTP", &e);
        Ok(match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(open)?;
                Self {
                    leaf,
                    sender: Sender::Http1(sender),
                    driver: tokio::spawn(connection),
                }
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                    .await
                    .map_err(open)?;
                Self {
                    leaf,
                    sender: Sender::Http2(sender),
                    driver: tokio::spawn(connection),
                }
            }
        })
    }

    /// One request, read to the end of its answer; anything but a complete 200 is a fault. Tells of the head when it is
    /// there.
    pub(super) async fn get(
        &mut self,
        origin: &Origin,
        path: &str,
        begun: impl FnOnce(),
    ) -> Result<(), Fault> {
        let request = Request::get(path);
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|e| Fault::unanswered(&e))?;
                let request = request.header("host", &origin.authority).body(Empty::new());
                sender
                    .send_request(request.map_err(|e| Fault::at("request", &e))?)
                    .await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(|e| Fault::unanswered(&e))?;
                let url = format!("https://{}{path}", origin.authority);
                let request = request.uri(url).body(Empty::new());
                sender
                    .send_request(request.map_err(|e| Fault::at("request", &e))?)
                    .await
            }
        };
        let mut answer = answer.map_err(|e| Fault::unanswered(&e))?;
        let status = answer.status();
        if status == StatusCode::OK {
            begun();
        }
        while let Some(frame) = answer.frame().await {
            frame.map_err(|e| Fault::at("answer", &e))?;
        }
        if status != StatusCode::OK {
            return Err(Fault::because("answer", format_args!("status {status}")));
        }
        Ok(())
    }

    /// Returns when the server has closed the connection in good order, or it has ended otherwise; pending while it lives.
    pub(super) async fn ended(&mut self) -> Result<(), Fault> {
        match (&mut self.driver).await {
            Ok(Ok(())) => Ok(()),
            // So it calls the proper end of a connection on which nothing was ever asked.
            Ok(Err(error)) if error.is_incomplete_message() => Ok(()),
            Ok(Err(error)) => Err(Fault {
                unserved: has_crossed(&error),
                ..Fault::at("cut", &error)
            }),
            Err(error) => Err(Fault::at("cut", &error)),
        }
    }

    /// Closes from our side, waiting for the good-byes to be written.
    pub(super) async fn close(self) {
        drop(self.sender);
        // An abort would turn a clean end into a reset in the server's eyes.
        let _ = tokio::time::timeout(super::busy::FAREWELL, self.driver).await;
    }
}
