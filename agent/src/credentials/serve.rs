//! Answers systemd on the socket that it made, on a thread of its own.
//!
//! One connection is one credential: it is written and closed, and nothing is read. Owns how many are served at
//! once and how long each may take, so that a peer that does not read is no other's problem.

use std::io;
use std::os::unix::net;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::asked::{Asked, Refusal};
use super::vault::{Given, Vault};
use crate::journal;

const ROOT: u32 = 0;
/// Connections served at once; more wait in the socket's queue.
pub const MAX_CONNECTIONS: usize = 64;
/// How long a peer may take to read. A credential fits what the kernel buffers, so this binds refusals only.
const WRITE: Duration = Duration::from_secs(10);
/// The pause after a failed accept(2): out of descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One byte more than systemd takes as a credential. An answer that is merely empty would be an empty
/// credential, and the unit would start without its key; this fails the start (`243/CREDENTIALS`).
const TOO_LONG: usize = (1 << 20) + 1;

/// What came of a connection.
pub type Outcome = Result<(Asked, Given), Refusal>;

/// Answers on `listener` until the process ends, and tells what came of each connection.
///
/// # Errors
/// When the operating system gives no thread.
pub fn serve(
    listener: net::UnixListener,
    vault: Arc<Vault>,
    tell: impl Fn(Outcome) + Send + Sync + 'static,
) -> io::Result<()> {
    serve_for(ROOT, listener, vault, tell)
}

/// As [`serve`], where systemd runs as another user than root.
pub(super) fn serve_for(
    systemd: u32,
    listener: net::UnixListener,
    vault: Arc<Vault>,
    tell: impl Fn(Outcome) + Send + Sync + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _within = runtime.enter();
        UnixListener::from_std(listener)?
    };
    let tell = Arc::new(tell);
    thread::Builder::new()
        .name("credentials".to_owned())
        .spawn(move || runtime.block_on(accept(systemd, listener, vault, tell)))?;
    Ok(())
}

async fn accept<T>(systemd: u32, listener: UnixListener, vault: Arc<Vault>, tell: Arc<T>)
where
    T: Fn(Outcome) + Send + Sync + 'static,
{
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (vault, tell) = (Arc::clone(&vault), Arc::clone(&tell));
                tokio::spawn(async move {
                    let _slot = slot;
                    let outcome = decide(systemd, &stream, &vault);
                    write(stream, &outcome).await;
                    tell(outcome);
                });
            }
            Err(error) => {
                journal::emit(&journal::Event::CallerLost {
                    detail: format!("cannot accept a connection for a credential: {error}"),
                });
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who connected is what the kernel took down at connect(2) (`SO_PEERCRED`, unix(7)).
fn decide(systemd: u32, stream: &UnixStream, vault: &Vault) -> Outcome {
    // Whoever cannot be told is nobody.
    let user = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
    if user != systemd {
        return Err(Refusal::NotRoot(user));
    }
    // Not the address that accept() brought: mio knows no abstract ones there.
    let address = stream.peer_addr().ok();
    let asked = address
        .as_ref()
        .and_then(|address| address.as_abstract_name())
        .and_then(Asked::parse)
        .ok_or(Refusal::NoUnit)?;
    let given = vault.answer(asked.clone())?;
    Ok((asked, given))
}

async fn write(mut stream: UnixStream, outcome: &Outcome) {
    let writing = async {
        match outcome {
            Ok((_, given)) => stream.write_all(given.pem().as_bytes()).await,
            Err(refusal) if refusal.asked().is_some() => fail(&mut stream).await,
            Err(_) => Ok(()),
        }
    };
    match timeout(WRITE, writing).await {
        Ok(Ok(())) => {}
        // It has failed by itself.
        Ok(Err(error)) => tracing::debug!("a credential was not read: {error}"),
        Err(_) => tracing::debug!("a credential was not read in time"),
    }
}

async fn fail(stream: &mut UnixStream) -> io::Result<()> {
    let padding = [b'\n'; 16 * 1024];
    let mut left = TOO_LONG;
    while left > 0 {
        let part = left.min(padding.len());
        stream.write_all(&padding[..part]).await?;
        left -= part;
    }
    Ok(())
}
