//! One client's socket, with the limits that keep a bad client from being anybody else's problem.
//!
//! Owns: message size, idle and write time-outs, the rate of calls, and the notice that the client is
//! gone. Never receives file descriptors: plain reads make the kernel drop what a client attaches, so
//! it cannot use ours up. Neighbours: [`super::serve`] makes one for each connection,
//! [`super::service`] lends it to zlink.

use std::future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use zlink::connection::PassedCredentials;
use zlink::connection::socket::{ReadHalf, ReadResult, Socket, UnixSocket, WriteHalf};

/// What one client may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest message, in bytes. A renewal of a thousand names fits.
    pub message: usize,
    /// How long a connection may stay without a call.
    pub idle: Duration,
    /// How long one call may take to arrive once it began.
    pub arrival: Duration,
    /// How long a reply may wait for the client to read.
    pub write: Duration,
    /// Reads from the socket within one second; what exceeds them waits.
    pub reads_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 64 * 1024,
            idle: Duration::from_secs(60),
            arrival: Duration::from_secs(10),
            write: Duration::from_secs(10),
            // A call of 64 KiB arrives in 256 reads of 256 bytes.
            reads_per_second: 512,
        }
    }
}

/// A client's socket, not yet split for zlink.
#[derive(Debug)]
pub(super) struct Peer {
    stream: Arc<UnixStream>,
    limits: Limits,
}

impl Peer {
    pub(super) fn new(stream: Arc<UnixStream>, limits: Limits) -> Self {
        Self { stream, limits }
    }
}

impl Socket for Peer {
    type ReadHalf = PeerRead;
    type WriteHalf = PeerWrite;

    fn split(self) -> (PeerRead, PeerWrite) {
        let read = PeerRead {
            stream: Arc::clone(&self.stream),
            limits: self.limits,
            unfinished: 0,
            began: Instant::now(),
            window: Instant::now(),
            reads: 0,
        };
        let write = PeerWrite {
            stream: self.stream,
            limits: self.limits,
        };
        (read, write)
    }
}

/// The half that calls arrive on.
#[derive(Debug)]
pub(super) struct PeerRead {
    stream: Arc<UnixStream>,
    limits: Limits,
    /// Bytes of the call that is arriving.
    unfinished: usize,
    /// When that call began to arrive.
    began: Instant,
    /// The second in which reads are counted.
    window: Instant,
    reads: u32,
}

impl PeerRead {
    /// Waits while the client is over its rate.
    async fn pace(&mut self) {
        let second = Duration::from_secs(1);
        if self.window.elapsed() >= second {
            self.window = Instant::now();
            self.reads = 0;
        }
        if self.reads >= self.limits.reads_per_second {
            sleep_until(self.window + second).await;
            self.window = Instant::now();
            self.reads = 0;
        }
        self.reads += 1;
    }

    /// Keeps count of the unfinished call; refuses one that is too long.
    fn account(&mut self, bytes: &[u8]) -> zlink::Result<()> {
        match bytes.iter().rposition(|byte| *byte == 0) {
            Some(end) => {
                self.unfinished = bytes.len() - end - 1;
                self.began = Instant::now();
            }
            None => {
                if self.unfinished == 0 {
                    self.began = Instant::now();
                }
                self.unfinished += bytes.len();
            }
        }
        if self.unfinished > self.limits.message {
            return Err(zlink::Error::BufferOverflow);
        }
        Ok(())
    }
}

impl ReadHalf for PeerRead {
    async fn read(&mut self, buffer: &mut [u8]) -> zlink::Result<ReadResult> {
        self.pace().await;
        let deadline = if self.unfinished > 0 {
            self.began + self.limits.arrival
        } else {
            Instant::now() + self.limits.idle
        };
        let reading = async {
            loop {
                self.stream.readable().await?;
                match self.stream.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            }
        };
        let count = timeout_at(deadline, reading)
            .await
            .map_err(|_| late("no call arrived in time"))??;
        self.account(&buffer[..count])?;
        Ok(ReadResult::new(count))
    }
}

impl AsFd for PeerRead {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

// Gives zlink the peer's credentials as the kernel took them down at connect(2).
impl UnixSocket for PeerRead {}

/// The half that replies leave on.
#[derive(Debug)]
pub(super) struct PeerWrite {
    stream: Arc<UnixStream>,
    limits: Limits,
}

impl WriteHalf for PeerWrite {
    async fn write(
        &mut self,
        buffer: &[u8],
        _fds: &[impl AsFd],
        _credentials: Option<&PassedCredentials>,
    ) -> zlink::Result<()> {
        let writing = async {
            let mut rest = buffer;
            while !rest.is_empty() {
                self.stream.writable().await?;
                match self.stream.try_write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        timeout(self.limits.write, writing)
            .await
            .map_err(|_| late("the client does not read"))??;
        Ok(())
    }
}

/// Resolves when the client has closed its socket.
///
/// For use while a stream of replies goes out, when nothing reads from the connection: what else the
/// client sends then makes no difference, and only the write time-out can end it.
pub(super) async fn gone(stream: Arc<UnixStream>) {
    if stream.ready(Interest::READABLE).await.is_ok() {
        let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        let polled = poll(&mut fds, PollTimeout::ZERO).is_ok();
        let hung_up = fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLHUP));
        if polled && !hung_up {
            // A call sent ahead, or a half-closed socket: the client still listens.
            future::pending::<()>().await;
        }
    }
}

fn late(what: &'static str) -> zlink::Error {
    zlink::Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
}
