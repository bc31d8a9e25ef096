//! Where connections run.
//!
//! Owns: the threads, and who gets the next connection.
//! Never does: accept. Neighbour: [`crate::serve`].
//!
//! A runtime of several threads may run each part of a connection on another one, and wakes threads to do so. For short
//! requests that costs more than it gains (docs/performance.md). So each worker is a runtime of one thread, and a connection
//! stays with the worker that got it.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::events::tell;

/// Threads for connections; they end with this.
#[derive(Debug, Default)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    thread: thread::JoinHandle<()>,
    /// Counts its connections by its references.
    open: Arc<()>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Workers {
    /// No threads: connections run where [`crate::MutualTls::serve`] does.
    pub fn here() -> Self {
        Self::default()
    }

    /// One for each processor that this process may use. A handler that blocks holds up the other connections of its
    /// worker: `tokio::task::spawn_blocking` is for that; `block_in_place` panics.
    ///
    /// # Errors
    ///
    /// When there can be no more threads or descriptors.
    pub fn start() -> io::Result<Self> {
        let number = thread::available_parallelism().map_or(1, usize::from);
        (0..number)
            .map(Worker::start)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Runs a connection on the worker that has the fewest.
    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        tasks: &mut JoinSet<()>,
        tcp: TcpStream,
        work: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) {
        let at_work = self.0.iter().filter(|one| !one.thread.is_finished());
        let fewest = at_work.min_by_key(|one| Arc::strong_count(&one.open));
        let Some(worker) = fewest else {
            // Boxed: what a task begins with and what it awaits would both be kept in it.
            tasks.spawn(Box::pin(work(tcp)));
            return;
        };
        let open = worker.open.clone();
        let moved = async move {
            // A socket belongs to the runtime that it was made in.
            match tcp.into_std().and_then(TcpStream::from_std) {
                Ok(tcp) => Box::pin(work(tcp)).await,
                Err(error) => tell!(
                    CONNECTION_LOST,
                    "a connection was lost on its way to a worker: {error}"
                ),
            }
            drop(open);
        };
        tasks.spawn_on(moved, &worker.handle);
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            handle,
            thread,
            open: Arc::new(()),
            _stop: stop,
        })
    }
}
