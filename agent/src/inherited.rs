//! The sockets that systemd made and hands to the daemon when it starts it (sd_listen_fds(3)): they outlive the
//! daemon, so who connects while it restarts waits instead of failing.
//!
//! Each has the name that its unit gives it by `FileDescriptorName=`. Outside systemd there are none. What is
//! done with a socket is its user's.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// The sockets, until they are taken.
pub struct Inherited {
    names: Vec<String>,
    sockets: ListenFd,
}

impl Inherited {
    /// Takes over what this process was handed. To be called once, before there is a second thread: it changes
    /// the environment, so that no child takes the sockets for its own.
    pub fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self {
            names: names.split(':').map(str::to_owned).collect(),
            sockets: ListenFd::from_env(),
        }
    }

    /// The listening TCP socket of that name; `None` when there is none.
    ///
    /// # Errors
    /// When what has the name is no such socket.
    pub fn tcp(&mut self, name: &str) -> io::Result<Option<TcpListener>> {
        match self.names.iter().position(|known| known == name) {
            Some(index) => self.sockets.take_tcp_listener(index),
            None => Ok(None),
        }
    }

    /// The listening unix socket of that name; `None` when there is none.
    ///
    /// # Errors
    /// When what has the name is no such socket.
    pub fn unix(&mut self, name: &str) -> io::Result<Option<UnixListener>> {
        match self.names.iter().position(|known| known == name) {
            Some(index) => self.sockets.take_unix_listener(index),
            None => Ok(None),
        }
    }
}
