//! Sockets that outlive the process: from systemd's socket units, and from its file-descriptor store.
//!
//! Owns: which socket is whose, by name, and what is kept for the next start.
//! Never does: accept. Neighbour: [`crate::app`], which serves what it finds here.
//!
//! A socket that somebody else holds is open while nobody serves: whoever connects during a restart or an upgrade waits
//! in the kernel's queue instead of being refused.

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener as Blocking};
use std::os::fd::AsFd;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, TcpSocket};

use crate::events::tell;

/// Before the name of a socket that we bound ourselves and asked to be kept. One of a socket unit has the name alone.
const KEPT: &str = "kept-";

/// How many clients may wait in the kernel's queue; as systemd's default for socket units, and the kernel's own bound.
const QUEUE: u32 = 4096;

/// The sockets that this process was started with.
#[derive(Debug, Default)]
pub struct Passed(Vec<(String, Blocking)>);

impl Passed {
    /// Takes them out of the environment. Once per process, before there are threads.
    ///
    /// # Errors
    ///
    /// When one of them is no listening TCP socket.
    pub fn take() -> io::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut given = ListenFd::from_env();
        let mut all = Vec::new();
        let mut names = names.split(':');
        for place in 0..given.len() {
            // systemd calls a socket without a name by its unit's name, and passes as many names as sockets.
            let name = names.next().unwrap_or_default().to_owned();
            if let Some(listener) = given.take_tcp_listener(place)? {
                all.push((name, listener));
            }
        }
        Ok(Self(all))
    }

    /// Sockets that came by another way, each with its name.
    pub fn of(sockets: Vec<(String, Blocking)>) -> Self {
        Self(sockets)
    }

    /// The listeners called `name`: those of socket units, whatever their address, or else one at `address`, kept by
    /// systemd since the last start if it was.
    ///
    /// # Errors
    ///
    /// When the address is taken.
    pub async fn listeners(
        &mut self,
        name: &str,
        address: SocketAddr,
    ) -> io::Result<Vec<TcpListener>> {
        let own = self.remove(|given| given == name);
        let kept = self.remove(|given| given.strip_prefix(KEPT) == Some(name));
        if !own.is_empty() {
            forget(name, !kept.is_empty());
            return own.into_iter().map(ready).collect();
        }
        let (same, stale): (Vec<_>, Vec<_>) = kept
            .into_iter()
            .partition(|kept| kept.local_addr().is_ok_and(|kept| is(kept, address)));
        forget(name, !stale.is_empty());
        // Closed before the new one is bound: it may differ in the address alone.
        drop(stale);
        if let Some(kept) = same.into_iter().next() {
            tell!(SOCKET_TAKEN_OVER, name, %address, "socket taken over");
            return Ok(vec![ready(kept)?]);
        }
        let listener = bind(address)?;
        keep(name, &listener);
        Ok(vec![listener])
    }

    /// Whether a socket unit has one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// Lets those go that were kept for a name that has no listener of its own any more. Before others are bound: it may
    /// be one of their addresses.
    pub fn let_go(&mut self, name: &str) {
        let kept = self.remove(|given| given.strip_prefix(KEPT) == Some(name));
        forget(name, !kept.is_empty());
    }

    /// Says which sockets nobody asked for, and closes them.
    pub fn close(self) {
        for (name, _) in self.0 {
            // Else systemd would hold it open, and clients would wait there for nobody.
            forget(
                name.strip_prefix(KEPT).unwrap_or_default(),
                name.starts_with(KEPT),
            );
            tell!(
                SOCKET_UNKNOWN,
                name,
                "a socket of that name was passed to us, and is none of ours: closed"
            );
        }
    }

    fn remove(&mut self, is: impl Fn(&str) -> bool) -> Vec<Blocking> {
        let taken = self.0.extract_if(.., |(name, _)| is(name));
        taken.map(|(_, listener)| listener).collect()
    }
}

/// Port 0 is any port.
fn is(bound: SocketAddr, wanted: SocketAddr) -> bool {
    bound == wanted || (wanted.port() == 0 && bound.ip() == wanted.ip())
}

/// As [`TcpListener::bind`], with a longer queue.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart finds its own old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

fn ready(listener: Blocking) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Without `FileDescriptorStoreMax=` systemd does not keep it, which is no error.
fn keep(name: &str, listener: &TcpListener) {
    let name = format!("{KEPT}{name}");
    let store = [NotifyState::FdStore, NotifyState::FdName(&name)];
    let _ = sd_notify::notify_with_fds(&store, &[listener.as_fd()]);
}

fn forget(name: &str, kept: bool) {
    if kept {
        let name = format!("{KEPT}{name}");
        let _ = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name)]);
    }
}
