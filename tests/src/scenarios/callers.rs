//! Callers of the sample API, under way in a machine's network while a scenario changes what they talk to.
//!
//! Owns the thread that they run on: one of its own, because it never comes back from the machine's network. What they
//! do and count is in [`crate::load`].

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::Uri;
use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::sample_api::ADDRESS;
use crate::agent::{PROOF, published};
use crate::failure::{Failure, Result, expect};
use crate::load::{Crowd, Ends, Files, Load, LoadError, Plan, Report, Tally};
use crate::machine::Machine;

/// A load under way. Dropped without [`Callers::stop`], it ends by itself.
pub(super) struct Callers {
    tally: Arc<Tally>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Report>>,
}

/// Twenty connections that ask, four of them for slow answers, and new ones beside them.
pub(super) fn plan(files: Files) -> Plan {
    Plan {
        url: url(),
        files,
        connections: 20,
        streams: 4,
        stream_seconds: 4,
        rate: 500,
        handshake_every: Duration::from_millis(50),
        ends: Ends::AreLosses,
    }
}

/// The files of the certificate that renewd publishes for a client.
pub(super) fn files_of(machine: &Machine, certificate: &str) -> Files {
    let combined = machine.on_disk(&published(certificate, "combined.pem"));
    Files {
        ca: machine.on_disk(&published(certificate, "ca.pem")),
        certificate: combined.clone(),
        key: combined,
    }
}

impl Callers {
    /// Starts them, and waits until each connection has had an answer, or the beginning of a slow one.
    pub(super) fn start(machine: &Machine, plan: Plan) -> Result<Self> {
        let network = machine.network()?;
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || call(&network, &plan, &ready, stopped));
        match is_ready.recv() {
            Ok(tally) => Ok(Self {
                tally,
                stop,
                thread,
            }),
            // Ended before they were ready: they say why.
            Err(_) => Err(joined(thread).err().unwrap_or_else(unexplained)),
        }
    }

    /// What they have counted so far.
    pub(super) fn so_far(&self) -> Report {
        self.tally.report()
    }

    /// Lets every answer under way come to its end, and returns what they have counted.
    pub(super) fn stop(self) -> Result<Report> {
        self.stop.send(()).ok();
        joined(self.thread)
    }
}

/// Very many connections that are only kept.
pub(super) struct Kept {
    ask: oneshot::Sender<()>,
    thread: JoinHandle<Result<usize>>,
}

impl Kept {
    /// Opens them, and asks on each once.
    pub(super) fn start(machine: &Machine, files: Files, count: usize) -> Result<Self> {
        let network = machine.network()?;
        let (ready, is_ready) = mpsc::channel();
        let (ask, asked) = oneshot::channel();
        let thread = thread::spawn(move || keep(&network, files, count, &ready, asked));
        match is_ready.recv() {
            Ok(()) => Ok(Self { ask, thread }),
            Err(_) => Err(joined(thread).err().unwrap_or_else(unexplained)),
        }
    }

    /// Asks on each once more, and returns how many were still open and answered.
    pub(super) fn ask_all(self) -> Result<usize> {
        self.ask.send(()).ok();
        joined(self.thread)
    }
}

fn keep(
    network: &File,
    files: Files,
    count: usize,
    ready: &Sender<()>,
    asked: oneshot::Receiver<()>,
) -> Result<usize> {
    setns(network, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Failure::io("enter", "the machine's network")(errno.into()))?;
    // Its threads are started from this one, and so in the same network.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .map_err(Failure::io("make", "a runtime"))?
        .block_on(async {
            let mut crowd = Crowd::gather(&url(), files, count).await.map_err(failed)?;
            ready.send(()).ok();
            asked.await.ok();
            Ok(crowd.ask_all().await)
        })
}

fn url() -> Uri {
    format!("https://{ADDRESS}/")
        .parse()
        .expect("a constant URL")
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(unexplained()))
}

fn unexplained() -> Failure {
    Failure::Panic("the callers".to_owned())
}

/// Fails unless every connection was answered, none was lost, and no request failed.
pub(super) fn expect_unharmed(who: &str, report: &Report) -> Result<()> {
    let unharmed = report.failed_requests == 0 && report.dropped_connections == 0;
    expect(
        unharmed,
        format_args!("{who}: no failed request and no dropped connection"),
        format_args!("{report:?}"),
    )?;
    expect(
        report.min_requests_per_connection > 0,
        format_args!("{who}: an answer on every connection"),
        format_args!("{report:?}"),
    )
}

fn call(
    network: &File,
    plan: &Plan,
    ready: &Sender<Arc<Tally>>,
    stopped: oneshot::Receiver<()>,
) -> Result<Report> {
    setns(network, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Failure::io("enter", "the machine's network")(errno.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(Failure::io("make", "a runtime"))?
        .block_on(async {
            let load = Load::start(plan).map_err(failed)?;
            load.ready(PROOF).await.map_err(failed)?;
            ready.send(load.tally()).ok();
            stopped.await.ok();
            Ok(load.stop().await)
        })
}

fn failed(error: LoadError) -> Failure {
    Failure::Expectation {
        expected: "callers that are answered".to_owned(),
        found: error.to_string(),
    }
}
