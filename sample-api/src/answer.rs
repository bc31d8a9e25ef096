//! A response's body, on its way to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use crate::access::Access;

/// The most that is handed to HTTP/2 at once. hyper puts a part into the stream's buffer as soon as one byte of it may be
/// sent; of this size that is a frame as it would have been made anyway.
const PART: usize = 16 * 1024;

/// A last part that is larger is handed over without its last byte, which follows by itself: hyper asks for that when there is
/// room for it, so we know that the rest was taken.
const SMALL: usize = 1024;

/// A body of which the connection knows whether it goes on.
pub(crate) struct Answer {
    body: Body,
    /// Over HTTP/2, what was not handed over yet.
    rest: Bytes,
    way: Way,
    /// A part was handed over, and nobody has asked for the next.
    owed: bool,
}

/// What a response has to do with its connection.
pub(crate) enum Way {
    /// HTTP/1.1: with its end the connection is waiting for the next request. It is only held.
    Alone(#[expect(dead_code, reason = "it counts by being there")] Busy),
    /// HTTP/2: it says whether it is asked to go on.
    Among(Arc<Access>),
}

impl Way {
    /// For a request that has just come.
    pub(crate) fn of(access: &Arc<Access>) -> Self {
        match access.http2 {
            true => Self::Among(access.clone()),
            false => Self::Alone(Busy::with(access)),
        }
    }
}

/// As long as it lives, the connection is busy with a request.
pub(crate) struct Busy(Arc<Access>);

impl Busy {
    pub(crate) fn with(access: &Arc<Access>) -> Self {
        access.busy.fetch_add(1, Relaxed);
        Self(access.clone())
    }

    /// A body was dropped before its end.
    pub(crate) fn left_unread(&self) {
        self.0.unread.store(true, Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

impl Answer {
    pub(crate) fn new(body: Body, way: Way) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            way,
            owed: false,
        }
    }

    fn paid(&mut self) {
        if let (Way::Among(access), true) = (&self.way, self.owed) {
            access.flow.paid();
            self.owed = false;
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        this.paid();
        let Way::Among(access) = &this.way else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        let mut data = match this.rest.is_empty() {
            false => std::mem::take(&mut this.rest),
            true => match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            },
        };
        if data.len() > PART {
            this.rest = data.split_off(PART);
        } else if data.len() > SMALL && this.body.is_end_stream() {
            this.rest = data.split_off(data.len() - 1);
        }
        access.flow.owe();
        this.owed = true;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            all.set_upper(upper.saturating_add(rest));
        }
        all
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.paid();
    }
}
