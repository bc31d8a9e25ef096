//! The comparison's clients: one handshake, many requests, or a connection that is left idle.
//!
//! Everybody is spoken to alike: TLS 1.3 with X25519 and AES-128-GCM and nothing else, the same client certificate. A client must never
//! count what was not whole: a handshake is done when the server's session ticket has come (before that the server has
//! not judged the client's certificate), an answer when its body is the one expected.
//! Its neighbour is [`super::work`], which says how many.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::Pki;
use crate::failure::{Failure, Result, expect};

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// Tickets that are kept for later; the newest is used first.
const TICKETS_KEPT: usize = 4;
/// Room for an answer; they are much smaller.
const ANSWER: usize = 4096;

/// How a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With its certificate, each time.
    Full,
    /// With the ticket of the last time.
    Resumed,
}

/// One client, which does one thing after the other.
pub(super) struct Client {
    address: SocketAddr,
    answer: Arc<str>,
    tickets: Arc<Tickets>,
    http1: TlsConnector,
    http2: TlsConnector,
}

/// An open connection that speaks HTTP/1.1.
pub(super) struct Kept {
    stream: TlsStream<TcpStream>,
    answer: Arc<str>,
}

/// An open connection that speaks HTTP/2; clones share it.
#[derive(Clone)]
pub(super) struct Shared {
    sender: SendRequest<Empty<Bytes>>,
    answer: Arc<str>,
}

impl Client {
    pub(super) fn new(pki: &Pki, address: SocketAddr, answer: &str, way: Way) -> Result<Self> {
        let tickets = Arc::new(Tickets {
            keep: way == Way::Resumed,
            ..Tickets::default()
        });
        let provider = CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..aws_lc_rs::default_provider()
        };
        let mut roots = RootCertStore::empty();
        roots.add(pki.anchor()).map_err(failed)?;
        let (chain, key) = pki.client()?;
        let mut http1 = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(failed)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(failed)?;
        http1.resumption = Resumption::store(tickets.clone());
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = http1.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address,
            answer: answer.into(),
            tickets,
            http1: Arc::new(http1).into(),
            http2: Arc::new(http2).into(),
        })
    }

    /// Connects, shakes hands, waits for the ticket and leaves; returns the server's leaf and how it went.
    pub(super) async fn shake(&self) -> Result<(CertificateDer<'static>, Way)> {
        timely("a handshake", async {
            let before = self.tickets.arrived.load(Relaxed);
            let mut stream = self.connect(&self.http1).await?;
            self.ticket(&mut stream, before).await?;
            let state = stream.get_ref().1;
            let leaf = state.peer_certificates().and_then(<[_]>::first).cloned();
            let leaf = leaf.ok_or_else(|| failed("no certificate"))?;
            let way = match state.handshake_kind() {
                Some(HandshakeKind::Resumed) => Way::Resumed,
                _ => Way::Full,
            };
            // A server may be quicker to close than we are.
            let _ = stream.shutdown().await;
            Ok((leaf, way))
        })
        .await
    }

    /// Opens a connection and asks once.
    pub(super) async fn keep(&self) -> Result<Kept> {
        let stream = timely("a connection", self.connect(&self.http1)).await?;
        let mut kept = Kept {
            stream,
            answer: self.answer.clone(),
        };
        kept.ask().await?;
        Ok(kept)
    }

    /// Opens a connection for many requests at once and asks once.
    pub(super) async fn share(&self) -> Result<Shared> {
        let stream = timely("a connection", self.connect(&self.http2)).await?;
        let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(failed)?;
        // What goes wrong with it shows in the requests.
        tokio::spawn(connection);
        let mut shared = Shared {
            sender,
            answer: self.answer.clone(),
        };
        shared.ask().await?;
        Ok(shared)
    }

    async fn connect(&self, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let name = ServerName::try_from("localhost").map_err(failed)?;
        let stream = connector.connect(name, tcp).await.map_err(failed)?;
        let group = stream.get_ref().1.negotiated_key_exchange_group();
        let group = group.map(|group| group.name());
        // None: a resumption without a new key exchange, which nobody here should do.
        expect(
            group == Some(NamedGroup::X25519),
            "X25519",
            format_args!("{group:?}"),
        )?;
        Ok(stream)
    }

    /// Reads until a ticket has come. The server speaks first only to say that.
    async fn ticket(&self, stream: &mut TlsStream<TcpStream>, before: u64) -> Result<()> {
        let mut byte = [0];
        std::future::poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut byte);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => Poll::Ready(Err(failed("closed without a ticket"))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(failed(error))),
                Poll::Pending if self.tickets.arrived.load(Relaxed) > before => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

impl Kept {
    /// One request, and the whole answer.
    pub(super) async fn ask(&mut self) -> Result<()> {
        const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        timely("an answer", async {
            self.stream.write_all(REQUEST).await.map_err(failed)?;
            let mut answer = [0; ANSWER];
            let mut filled = 0;
            loop {
                let read = self.stream.read(&mut answer[filled..]).await;
                let read = read.map_err(failed)?;
                expect(read > 0, "an answer", "the end, or too much")?;
                filled += read;
                if let Some(body) = body(&answer[..filled]) {
                    let whole = body == self.answer.as_bytes();
                    let good = whole && answer.starts_with(b"HTTP/1.1 200 ");
                    let text = String::from_utf8_lossy(&answer[..filled]);
                    return expect(good, "the agreed answer", text);
                }
            }
        })
        .await
    }
}

/// The body of a whole answer.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (&answer[..head], &answer[head + 4..]);
    let lines = head.split(|byte| *byte == b'\n');
    let length = lines
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    (body.len() >= length.unwrap_or(0)).then_some(body)
}

impl Shared {
    /// One request, and the whole answer.
    pub(super) async fn ask(&mut self) -> Result<()> {
        timely("an answer", async {
            self.sender.ready().await.map_err(failed)?;
            let request = Request::get("https://localhost/").body(Empty::new());
            let sent = self.sender.send_request(request.map_err(failed)?).await;
            let answer = sent.map_err(failed)?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(failed)?;
            let good = status == StatusCode::OK && body.to_bytes() == self.answer.as_bytes();
            expect(good, "the agreed answer", status)
        })
        .await
    }
}

/// What came of the servers' tickets.
#[derive(Debug, Default)]
struct Tickets {
    keep: bool,
    arrived: AtomicU64,
    kept: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

impl Tickets {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.arrived.fetch_add(1, Relaxed);
        if self.keep {
            let mut kept = self.kept();
            kept.push_back(ticket);
            if kept.len() > TICKETS_KEPT {
                kept.pop_front();
            }
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().pop_back()
    }
}

async fn timely<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(DEADLINE, work).await.unwrap_or_else(|_| {
        Err(Failure::Expectation {
            expected: format!("{what} within {DEADLINE:?}"),
            found: "none".to_owned(),
        })
    })
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Expectation {
        expected: "to be served".to_owned(),
        found: error.to_string(),
    }
}
