//! The load client: many kept mutual-TLS connections, and fresh handshakes beside them.
//!
//! It owns the view from outside: what a server's callers see while a certificate rotates.
//! It must never be lenient: a connection that it did not close itself is a dropped one, and an
//! answer that it did not get in full is a failed request; what it forgives a server that is
//! restarted is in [`Ends`], and counted. Its neighbour is [`crate::demo`], which tells it when a
//! rotation is under way and judges what it reports.

mod busy;
mod crowd;
mod fresh;
mod identity;
mod report;
mod tally;
#[cfg(test)]
mod tests;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Uri;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use crowd::Crowd;
pub use identity::{Files, IdentityError};
pub use report::{FreshLeaf, Leaf, Report};
pub use tally::Tally;

use identity::Identity;
use wire::{Origin, Protocol};

/// How long a rotation is taken to last when only the swap of `current` is seen.
const SWAP_WINDOW: Duration = Duration::from_millis(500);

/// What to do to which server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// An `https` URL; its path is what the busy connections ask for.
    pub url: Uri,
    /// Whom to trust and who to be.
    pub files: Files,
    /// Kept connections in all; even ones speak HTTP/1.1, odd ones HTTP/2.
    pub connections: usize,
    /// How many of the kept connections read slow answers (`/stream`) instead.
    pub streams: usize,
    /// How long each slow answer takes, in seconds.
    pub stream_seconds: u64,
    /// Requests per second over all busy connections together; 0 asks as fast as it is answered.
    pub rate: u32,
    /// Time between two fresh handshakes.
    pub handshake_every: Duration,
    /// What a kept connection's end by the server means.
    pub ends: Ends,
}

/// What it means when the server ends a kept connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// A loss, whatever came before.
    AreLosses,
    /// Nothing, if it is in good order: closed as TLS and HTTP say it is done, and no request left behind that the
    /// server may have begun. A request that met the end is asked once more on a new connection, as browsers and
    /// libraries do with a GET, and counted as asked again. For a server that is restarted.
    InGoodOrder,
}

/// What keeps a load from starting.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The URL cannot be used.
    #[error("the URL {url} cannot be used: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The files make no client.
    #[error("the client has no identity to present")]
    Identity(#[from] IdentityError),
    /// A connection of many was not answered.
    #[error("with {open} of {count} connections open, the next one failed: {fault}")]
    Crowd {
        /// Connections that had been answered.
        open: usize,
        /// Connections asked for.
        count: usize,
        /// What went wrong.
        fault: String,
    },
    /// This process may not have so many connections.
    #[error("this process cannot have {wanted} open files")]
    Descriptors {
        /// Files needed.
        wanted: u64,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not every connection was answered in time.
    #[error("after {after:?} only {ready} of {connections} connections had been answered{faults}")]
    NotReady {
        /// The deadline that passed.
        after: Duration,
        /// Connections that had made a request.
        ready: usize,
        /// Connections asked for.
        connections: usize,
        /// What went wrong meanwhile, as far as it is known.
        faults: String,
    },
}

/// A load under way. Dropping it cuts its connections; [`Load::stop`] ends them in good order.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    /// Starts every connection and the fresh handshakes.
    ///
    /// # Errors
    ///
    /// When the URL is not usable, or the files do not make a client. A server that cannot be
    /// reached is no error here: it is what the load reports.
    pub fn start(plan: &Plan) -> Result<Self, LoadError> {
        let origin = Arc::new(Origin::parse(&plan.url)?);
        let identity = Arc::new(Identity::new(plan.files.clone()));
        identity.config(Protocol::Http1)?;
        let tally = Arc::new(Tally::new(plan.connections));
        let (stop, stopped) = watch::channel(false);
        let stopped = Stop(stopped);
        let mut workers = JoinSet::new();
        for slot in 0..plan.connections {
            workers.spawn(busy::keep_busy(busy::Connection {
                slot,
                protocol: if slot % 2 == 0 {
                    Protocol::Http1
                } else {
                    Protocol::Http2
                },
                task: busy::task_of(slot, plan),
                ends: plan.ends,
                origin: Arc::clone(&origin),
                identity: Arc::clone(&identity),
                tally: Arc::clone(&tally),
                stop: stopped.clone(),
            }));
        }
        workers.spawn(fresh::keep_shaking(fresh::Fresh {
            every: plan.handshake_every,
            origin,
            identity,
            tally: Arc::clone(&tally),
            stop: stopped,
        }));
        Ok(Self {
            tally,
            stop,
            workers,
        })
    }

    /// Waits until every connection has had an answer, or the beginning of a slow one.
    ///
    /// # Errors
    ///
    /// When that has not happened within `deadline`; says how many were, and what went wrong.
    pub async fn ready(&self, deadline: Duration) -> Result<(), LoadError> {
        let all = self.tally.connections();
        let answered = || all - self.tally.silent();
        if self.tally.until(deadline, || answered() == all).await {
            return Ok(());
        }
        Err(LoadError::NotReady {
            after: deadline,
            ready: answered(),
            connections: all,
            faults: self.tally.faults_as_text(),
        })
    }

    /// Waits for a fresh handshake that began after `after`, and returns the leaf it saw.
    pub async fn fresh_leaf(&self, after: Instant, deadline: Duration) -> Option<FreshLeaf> {
        let newer = || self.tally.latest_leaf().filter(|leaf| leaf.began > after);
        self.tally.until(deadline, || newer().is_some()).await;
        newer()
    }

    /// The counters, to be read while the load is under way.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Treats the time after each swap of `DIR/current` as a rotation, for a caller that does
    /// not force the rotations itself.
    pub fn watch_published(&mut self, directory: &Path) {
        let (tally, link) = (Arc::clone(&self.tally), directory.join("current"));
        let mut stop = Stop(self.stop.subscribe());
        self.workers.spawn(async move {
            let mut known = std::fs::read_link(&link).ok();
            loop {
                tokio::select! {
                    biased;
                    () = stop.told() => return,
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
                let now: Option<PathBuf> = std::fs::read_link(&link).ok();
                if now != known {
                    known = now;
                    let _window = tally.rotating();
                    tokio::time::sleep(SWAP_WINDOW).await;
                }
            }
        });
    }

    /// Lets every request under way finish, closes the connections, and reports.
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        while let Some(ended) = self.workers.join_next().await {
            if let Err(panicked) = ended {
                self.tally
                    .failed(&format!("a worker of the load client: {panicked}"));
            }
        }
        self.tally.report()
    }
}

/// Tells a worker when to end.
#[derive(Clone, Debug)]
struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns once the load is to end; at once if that has been said before.
    async fn told(&mut self) {
        // An error means that the load itself is gone.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
