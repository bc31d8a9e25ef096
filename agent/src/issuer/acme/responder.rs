//! What both responders have in common: a socket on which anybody may connect, and little that he may use up.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// A CA asks from a handful of places; who comes when there is no room waits in the kernel.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may take in all.
const WHOLE: Duration = Duration::from_secs(5);

/// Answers each connection until the runtime ends. To be called within a runtime.
///
/// # Errors
/// When the socket cannot be used.
pub(super) fn serve<F: Future<Output = ()> + Send + 'static>(
    socket: TcpListener,
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    tokio::spawn(async move {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, _)) = socket.accept().await else {
                // Out of descriptors: waiting frees some.
                sleep(Duration::from_secs(1)).await;
                continue;
            };
            let answered = timeout(WHOLE, answer(stream));
            tokio::spawn(async move {
                let _ = answered.await;
                drop(place);
            });
        }
    });
    Ok(())
}
