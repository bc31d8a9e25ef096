//! A connection's stream, in the hands of HTTP.
//!
//! Owns: the count of bytes, how long is waited for the client, and the way back: a connection that has nothing to do is
//! taken out of HTTP, and its stream comes back from here.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::access::Access;
use crate::metrics::Stall;
use crate::stall::Clock;

/// What every HTTP/2 client begins with (RFC 9113, section 3.4). Only after it hyper asks whether anybody is there.
const PREFACE: u8 = 24;

const END_OF_HEAD: u32 = u32::from_be_bytes(*b"\r\n\r\n");

/// Counts what goes through it. Gives the stream back when it is dropped.
pub(crate) struct Counted<S> {
    /// None only while it is dropped.
    stream: Option<Box<S>>,
    access: Arc<Access>,
    seen: Arc<Seen<S>>,
    /// Until the client takes what is sent.
    writes: Clock,
    /// Over HTTP/2, until the preface is there; then until a response goes on.
    reads: Clock,
    /// How much of the preface has not come yet.
    preface: u8,
}

/// What is known of the stream from outside.
pub(crate) struct Seen<S> {
    /// The last four bytes that were read. Before the first they are those that a head ends with.
    ///
    /// HTTP/1.1 may have read more than the request that it has answered, and whose body was read. What it has left of a
    /// head would not end so, since then that head would be whole, and would have been answered.
    tail: AtomicU32,
    /// Something was read.
    spoken_to: AtomicBool,
    /// Nothing that was written is still on its way to the kernel.
    flushed: AtomicBool,
    back: Mutex<Option<Box<S>>>,
    returned: Notify,
    /// Nothing more is read or written.
    cut: AtomicBool,
    /// Who reads and writes, if that is another task than the connection's own.
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// A stream that HTTP has given to somebody else, whose connection must end with this.
pub(crate) struct Lent<'a, S>(&'a Seen<S>);

impl<'a, S> Lent<'a, S> {
    pub(crate) fn of(seen: &'a Seen<S>) -> Self {
        Self(seen)
    }

    /// Done when whoever had it has dropped it.
    pub(crate) async fn returned(&self) {
        self.0.returned.notified().await;
    }
}

impl<S> Drop for Lent<'_, S> {
    fn drop(&mut self) {
        self.0.cut.store(true, SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }
}

impl<S> Seen<S> {
    /// Whether nothing would be lost if HTTP began anew, now that it has answered all that it knows of.
    pub(crate) fn at_rest(&self) -> bool {
        self.tail.load(Relaxed) == END_OF_HEAD && self.flushed.load(Relaxed)
    }

    /// Whether the client has said nothing yet.
    pub(crate) fn is_silent(&self) -> bool {
        !self.spoken_to.load(Relaxed) && self.flushed.load(Relaxed)
    }

    /// The stream, once HTTP has let go of it.
    pub(crate) fn take(&self) -> Option<Box<S>> {
        self.back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: Box<S>, access: Arc<Access>) -> (Self, Arc<Seen<S>>) {
        let seen = Arc::new(Seen {
            tail: AtomicU32::new(END_OF_HEAD),
            spoken_to: AtomicBool::new(false),
            flushed: AtomicBool::new(true),
            back: Mutex::new(None),
            returned: Notify::new(),
            cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        let counted = Self {
            stream: Some(stream),
            preface: if access.http2 { PREFACE } else { 0 },
            access,
            seen: seen.clone(),
            writes: Clock::default(),
            reads: Clock::default(),
        };
        (counted, seen)
    }
}

impl<S> Drop for Counted<S> {
    fn drop(&mut self) {
        *self
            .seen
            .back
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.stream.take();
        self.seen.returned.notify_one();
    }
}

impl<S: Unpin> Counted<S> {
    fn stream(&mut self) -> io::Result<Pin<&mut S>> {
        if self.seen.cut.load(SeqCst) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let stream = self.stream.as_deref_mut();
        stream
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Before something that may have to wait: somebody else than the connection's own task is woken when it is cut.
    fn may_be_cut(&self, waker: &AtomicWaker, cx: &Context<'_>) {
        if self.access.switched.load(Relaxed) {
            waker.register(cx.waker());
        }
    }

    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(length)) = &written {
            self.access.mtls.metrics().sent(*length);
            self.seen.flushed.store(false, Relaxed);
        }
        self.taken(written, cx)
    }

    fn taken<T>(&mut self, done: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.writes.stop();
        } else if self.writes.is_over(self.access.mtls.settings().stall, cx) {
            return self.hung_up_on(Stall::Response);
        }
        done
    }

    /// Nothing more has come. Whether there is something that the client should have done by now.
    fn silent(&mut self, cx: &mut Context<'_>) -> Option<Stall> {
        if !self.access.http2 {
            return None;
        }
        let limit = self.access.mtls.settings().stall;
        let (stalled, what) = match self.preface {
            0 => {
                let flow = &self.access.flow;
                (flow.is_stalled(&mut self.reads, limit, cx), Stall::Response)
            }
            _ => (self.reads.is_over(limit, cx), Stall::Request),
        };
        stalled.then_some(what)
    }

    fn hung_up_on<T>(&mut self, what: Stall) -> Poll<io::Result<T>> {
        self.access.mtls.metrics().stalled(what);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client stalled",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        self.may_be_cut(&self.seen.reader, cx);
        let read = self.stream()?.poll_read(cx, buffer);
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            self.access.mtls.metrics().received(new.len());
            let last = &new[new.len().saturating_sub(4)..];
            let tail = last
                .iter()
                .fold(self.seen.tail.load(Relaxed), |tail, byte| {
                    tail << 8 | u32::from(*byte)
                });
            self.seen.tail.store(tail, Relaxed);
            self.seen.spoken_to.store(true, Relaxed);
            if self.preface > 0 {
                let length = u8::try_from(new.len()).unwrap_or(u8::MAX);
                self.preface = self.preface.saturating_sub(length);
                if self.preface == 0 {
                    self.reads = Clock::default();
                }
            }
        }
        if read.is_pending()
            && let Some(what) = self.silent(cx)
        {
            return self.hung_up_on(what);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.may_be_cut(&self.seen.writer, cx);
        let written = self.stream()?.poll_write(cx, bytes);
        self.written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.may_be_cut(&self.seen.writer, cx);
        let written = self.stream()?.poll_write_vectored(cx, bytes);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_deref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_be_cut(&self.seen.writer, cx);
        let flushed = self.stream()?.poll_flush(cx);
        if let Poll::Ready(Ok(())) = &flushed {
            self.seen.flushed.store(true, Relaxed);
        }
        self.taken(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_be_cut(&self.seen.writer, cx);
        let closed = self.stream()?.poll_shutdown(cx);
        self.taken(closed, cx)
    }
}
