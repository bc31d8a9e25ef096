//! The way to the application: over TCP or a unix socket.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::uri::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tower::Service;

/// An application on the same host answers a connection at once, or not at all.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the application listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// `http://host:port`.
    Tcp(String),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl std::str::FromStr for Upstream {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(NotAnUpstream)
            };
        }
        let authority = text.strip_prefix("http://").ok_or(NotAnUpstream)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let parsed: axum::http::uri::Authority = authority.parse().map_err(|_| NotAnUpstream)?;
        match parsed.port_u16() {
            Some(_) if !authority.contains('@') => Ok(Self::Tcp(authority.to_owned())),
            _ => Err(NotAnUpstream),
        }
    }
}

/// The text names no application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an application is written as in \"http://127.0.0.1:3000\" or \"unix:/run/app.sock\"")]
pub struct NotAnUpstream;

/// Connects to the one application.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Upstream);

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let upstream = self.0.clone();
        Box::pin(async move {
            let stream = timeout(CONNECT, async {
                Ok::<_, io::Error>(match upstream {
                    Upstream::Tcp(address) => {
                        let tcp = TcpStream::connect(address).await?;
                        tcp.set_nodelay(true)?;
                        Stream(Box::pin(tcp))
                    }
                    Upstream::Unix(path) => Stream(Box::pin(UnixStream::connect(path).await?)),
                })
            });
            Ok(TokioIo::new(stream.await??))
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// TCP or a unix socket.
pub(super) struct Stream(Pin<Box<dyn Duplex>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}
