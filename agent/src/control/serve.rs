//! Accepts clients and serves each by itself.
//!
//! Owns: how many connections there may be, in all and for one user, and that a connection which
//! fails, hangs or panics ends alone. Each connection has a zlink server of its own, since one server
//! for all would wait for the slowest reader. Neighbours: [`super::listen`] made the sockets,
//! [`super::service`] answers the calls.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use nix::unistd::{Gid, Uid};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use zlink::connection::socket::FetchPeerCredentials;
use zlink::{ReadyListener, Server};

use super::listen::{Admins, Listeners};
use super::peer::{Limits, Peer};
use super::report::Daemon;
use super::service::{ControlService, StatusService};
use crate::journal::{self, Event};

/// Connections served at once, for each of the two sockets.
pub const MAX_CONNECTIONS: usize = 64;
/// Connections that one user may hold of them. Root and the daemon's own user are not bound by it.
pub const MAX_CONNECTIONS_PER_USER: usize = 16;
/// Connections beyond [`MAX_CONNECTIONS`] that only root and the daemon's own user get: the other users
/// together could hold all of those, and who is to look into that must get in.
pub const RESERVED_CONNECTIONS: usize = 8;

/// The pause after a failed accept(2): out of descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Listeners {
    /// Serves both sockets until dropped. Needs no task of its own and spawns none.
    pub async fn serve(self, daemon: Rc<dyn Daemon>) {
        self.serve_with(daemon, Limits::default()).await;
    }

    /// As [`Listeners::serve`], with other limits than the default ones.
    pub async fn serve_with(self, daemon: Rc<dyn Daemon>, limits: Limits) {
        let admins = self.admins;
        let status = {
            let daemon = Rc::clone(&daemon);
            accept(self.status, admins, move |stream| {
                let service = StatusService {
                    daemon: Rc::clone(&daemon),
                    stream: Arc::clone(&stream),
                };
                let listener = ReadyListener::new(Peer::new(stream, limits));
                Server::new(listener, service).run().boxed_local()
            })
        };
        let control = accept(self.control, admins, move |stream| {
            let daemon = Rc::clone(&daemon);
            async move {
                let service = ControlService {
                    permitted: permitted(&stream, admins).await,
                    daemon,
                    stream: Arc::clone(&stream),
                };
                let listener = ReadyListener::new(Peer::new(stream, limits));
                Server::new(listener, service).run().await
            }
            .boxed_local()
        });
        join(status, control).await;
    }
}

type Serving = LocalBoxFuture<'static, zlink::Result<()>>;

async fn accept(
    listener: UnixListener,
    admins: Admins,
    serve: impl Fn(Arc<UnixStream>) -> Serving,
) {
    let mut connections = FuturesUnordered::new();
    let mut users: HashMap<u32, usize> = HashMap::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted.and_then(|(stream, _)| {
                let user = stream.peer_cred()?.uid();
                Ok((stream, user))
            }) {
                Ok((stream, user)) => {
                    let held = users.entry(user).or_default();
                    let (most, own) = if trusted(user, admins) {
                        (MAX_CONNECTIONS + RESERVED_CONNECTIONS, usize::MAX)
                    } else {
                        (MAX_CONNECTIONS, MAX_CONNECTIONS_PER_USER)
                    };
                    if connections.len() >= most || *held >= own {
                        // Closed at once: better a clear end than a place in a queue.
                        tracing::debug!("too many control connections; closed one of user {user}");
                        continue;
                    }
                    *held += 1;
                    let serving = AssertUnwindSafe(serve(Arc::new(stream))).catch_unwind();
                    connections.push(serving.map(move |result| (user, result)));
                }
                Err(error) => {
                    lost(format!("Cannot accept a control connection: {error}"));
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some((user, result)) = connections.next() => {
                match result {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!("a control connection of user {user} ended: {error}"),
                    Err(_) => lost(format!(
                        "A control connection of user {user} met an internal error (a panic) and was closed"
                    )),
                }
                if let Some(held) = users.get_mut(&user) {
                    *held -= 1;
                    if *held == 0 {
                        users.remove(&user);
                    }
                }
            }
        }
    }
}

fn lost(detail: String) {
    journal::emit(&Event::CallerLost { detail });
}

fn trusted(user: u32, admins: Admins) -> bool {
    Uid::from_raw(user).is_root() || user == admins.user.as_raw()
}

/// Whether the peer may give orders. The socket's mode has said so already; this holds even when
/// somebody changed the mode.
async fn permitted(stream: &Arc<UnixStream>, admins: Admins) -> bool {
    let credentials = match Lent(stream).fetch_peer_credentials().await {
        Ok(credentials) => credentials,
        Err(error) => {
            lost(format!("Cannot tell who is at the control socket: {error}"));
            return false;
        }
    };
    if trusted(credentials.unix_user_id().as_raw(), admins) {
        return true;
    }
    admins.group.is_some_and(|group| {
        let is_admin = |gid: u32| Gid::from_raw(gid) == group;
        is_admin(credentials.unix_primary_group_id().as_raw())
            || credentials
                .unix_supplementary_group_ids()
                .iter()
                .any(|gid| is_admin(gid.as_raw()))
    })
}

/// A stream lent to zlink for the peer's credentials.
struct Lent<'a>(&'a UnixStream);

impl std::os::fd::AsFd for Lent<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl zlink::connection::socket::UnixSocket for Lent<'_> {}
