//! A response's body, and whether the connection is busy with it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use crate::access::Access;

/// A body with whose end the connection is waiting for the next request.
pub(crate) struct Answer {
    body: Body,
    /// Of HTTP/1.1. It is only held.
    _busy: Option<Busy>,
}

impl Answer {
    pub(crate) fn new(body: Body, busy: Option<Busy>) -> Self {
        Self { body, _busy: busy }
    }
}

/// As long as it lives, the connection has a request.
pub(crate) struct Busy(Arc<Access>);

impl Busy {
    pub(crate) fn with(access: &Arc<Access>) -> Self {
        access.busy.store(true, Relaxed);
        Self(access.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
