//! The way to a server, up to its first byte. Owns connecting and what is kept of the first answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::target::Address;

/// How much of an answer is kept, to say what it was when it was no TLS.
const KEPT: usize = 48;

/// A connection of either kind.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub(super) async fn connect(address: &Address) -> io::Result<Box<dyn Duplex>> {
    Ok(match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

/// A connection that remembers the first bytes it read.
pub(super) struct FirstBytes {
    inner: Box<dyn Duplex>,
    first: Vec<u8>,
}

impl FirstBytes {
    pub(super) fn new(inner: Box<dyn Duplex>) -> Self {
        Self {
            inner,
            first: Vec::with_capacity(KEPT),
        }
    }

    /// What answered, if it was no TLS record (RFC 8446, section 5.1).
    pub(super) fn not_tls(&self) -> Option<String> {
        let hint = match self.first.as_slice() {
            [] | [0x14..=0x17, 3, ..] | [0x14..=0x17] => return None,
            first if first.starts_with(b"HTTP/") => {
                return Some("answered with plain HTTP, not TLS".into());
            }
            first if first.starts_with(b"SSH-") => " (an SSH server)",
            first if first.starts_with(b"220") => " (is it smtp://?)",
            first if first.starts_with(b"* OK") => " (is it imap://?)",
            [_, _, 0, 0, 10, ..] => " (is it mysql://?)",
            _ => "",
        };
        Some(format!(
            "answered with something that is not TLS: {}{hint}",
            printable(&self.first)
        ))
    }

    /// Whether the server said anything at all.
    pub(super) fn answered(&self) -> bool {
        !self.first.is_empty()
    }
}

impl AsyncRead for FirstBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let new = &buffer.filled()[before..];
        let wanted = new.len().min(KEPT - self.first.len());
        self.first.extend_from_slice(&new[..wanted]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FirstBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What a peer said, quoted so that it can forge no line of a log and fill no terminal.
pub(super) fn printable(bytes: &[u8]) -> String {
    const LONGEST: usize = 120;
    let shown = &bytes[..bytes.len().min(LONGEST)];
    let dots = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{dots}\"", shown.escape_ascii())
}
