//! Clients that keep a connection and do nothing with it: how long that is waited for.
//!
//! Owns: the clock of a request's body that does not come, and that of responses that nobody takes.
//! Never does: time what the application takes, or a client that was asked for nothing. Neighbours: [`crate::access`] wraps
//! the bodies of requests, [`crate::answer`] is those of responses, [`crate::counted`] the stream below.
//!
//! A clock exists only from the moment at which something is waited for: a client that is quick enough never has one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Limited;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::access::Access;
use crate::answer::Busy;
use crate::metrics::Stall;
use crate::mtls::MutualTls;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A clock that runs while something is waited for.
#[derive(Default)]
pub(crate) struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

impl Clock {
    /// What was waited for has come.
    pub(crate) fn stop(&mut self) {
        self.runs = false;
    }

    /// Starts it if it does not run; true when it has run for so long. Wakes the task for that.
    pub(crate) fn is_over(&mut self, limit: Duration, cx: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.runs {
            self.runs = true;
            sleep.as_mut().reset(Instant::now() + limit);
        }
        sleep.as_mut().poll(cx).is_ready()
    }

    /// Nothing is waited for. Kept until it has run out: that is seldom, and starting one again often is not for nothing.
    fn forget(&mut self) {
        if self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed()) {
            *self = Self::default();
        }
    }
}

/// The body of a request, for which is not waited for ever.
pub(crate) struct Arriving {
    body: Limited<Incoming>,
    clock: Clock,
    /// None: there is no body.
    late: Option<Arc<Late>>,
    /// Over HTTP/1.1, until it is at its end.
    busy: Option<Busy>,
}

/// Whether a body did not come in time.
pub(crate) struct Late {
    is: AtomicBool,
    mtls: Arc<MutualTls>,
}

/// A request's body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the request's body came")]
struct NotComing;

impl Late {
    /// For a request that has a body.
    pub(crate) fn of(body: &Incoming, mtls: &Arc<MutualTls>) -> Option<Arc<Self>> {
        (!body.is_end_stream()).then(|| {
            Arc::new(Self {
                is: AtomicBool::new(false),
                mtls: mtls.clone(),
            })
        })
    }

    pub(crate) fn is(&self) -> bool {
        self.is.load(Relaxed)
    }
}

impl Arriving {
    pub(crate) fn new(
        body: Incoming,
        most: usize,
        late: Option<Arc<Late>>,
        access: &Arc<Access>,
    ) -> Self {
        Self {
            busy: (!access.http2).then(|| Busy::with(access)),
            body: Limited::new(body, most),
            clock: Clock::default(),
            late,
        }
    }
}

impl Body for Arriving {
    type Data = <Incoming as Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.body.is_end_stream() {
            // hyper says so only with the next request, if the answer was there before.
            this.busy = None;
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_ready() {
            this.clock.stop();
            if matches!(frame, Poll::Ready(None)) || this.body.is_end_stream() {
                this.busy = None;
            }
        } else if let Some(late) = &this.late
            && this.clock.is_over(late.mtls.settings().stall, cx)
        {
            if !late.is.swap(true, Relaxed) {
                late.mtls.metrics().stalled(Stall::Request);
            }
            return Poll::Ready(Some(Err(NotComing.into())));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(busy) = &self.busy {
            busy.left_unread();
        }
    }
}

/// Of one HTTP/2 connection: whether responses that were begun go on. What the connection itself has taken says nothing
/// of that, as each stream has a window of its own.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Bodies of which a part was handed over, and nobody has asked for the next.
    owed: AtomicUsize,
    /// How often one was asked.
    moves: AtomicUsize,
    /// That number when the clock was started.
    seen: AtomicUsize,
}

impl Flow {
    pub(crate) fn owe(&self) {
        self.owed.fetch_add(1, Relaxed);
    }

    pub(crate) fn paid(&self) {
        self.owed.fetch_sub(1, Relaxed);
        self.moves.fetch_add(1, Relaxed);
    }

    /// True when nothing was taken of any response for as long as that, at most twice as long. Asked whenever the connection
    /// looks for something to read, which is at each ping of ours at the latest: nobody is woken for it.
    pub(crate) fn is_stalled(
        &self,
        clock: &mut Clock,
        limit: Duration,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.owed.load(Relaxed) == 0 {
            clock.forget();
            return false;
        }
        if !clock.runs {
            self.seen.store(self.moves.load(Relaxed), Relaxed);
        }
        // Set back only when it has run out: not for every part of every response.
        while clock.is_over(limit, cx) {
            let moves = self.moves.load(Relaxed);
            if self.seen.swap(moves, Relaxed) == moves {
                return true;
            }
            clock.stop();
        }
        false
    }
}
