//! Puts the parts together.
//!
//! Owns: the order in which things are bound and started, and what systemd is told.
//! Never does: the work of a part. Neighbours: all of them.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tracing::{error, info};

use crate::config::Config;
use crate::keys::{Keys, LoadError, tell_status};
use crate::serve::{self, Drained, Phase};
use crate::watch::Watch;
use crate::{admin, routes};

/// A server that has everything it needs: keys, sockets, watch. Nothing is left that could refuse to start.
pub struct Server {
    config: Config,
    keys: Arc<Keys>,
    watch: Watch,
    listener: TcpListener,
    health: TcpListener,
    admin: UnixListener,
}

impl Server {
    /// Reads the certificate and binds the sockets.
    ///
    /// # Errors
    ///
    /// When there is no usable certificate, or an address is taken.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        // The watch first: a swap between the first reading and the watch would go unseen.
        let watch = Watch::new(&config.certificate).map_err(|source| StartError::Watch {
            path: config.certificate.clone(),
            source,
        })?;
        let keys = Keys::open(&config.certificate).map_err(StartError::Certificate)?;
        let listener = listen("listen", config.listen).await?;
        let health = listen("health", config.health).await?;
        // Last: it takes the place of another server's, which the addresses above have ruled out.
        let admin = admin::bind(&config.admin).map_err(|source| StartError::Admin {
            path: config.admin.clone(),
            source,
        })?;
        Ok(Self {
            keys: Arc::new(keys),
            config,
            watch,
            listener,
            health,
            admin,
        })
    }

    /// Where clients connect, with the port that the kernel chose for port 0.
    ///
    /// # Errors
    ///
    /// Only when the kernel does not know its own socket.
    pub fn listen_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where health is asked for.
    ///
    /// # Errors
    ///
    /// As [`Server::listen_address`].
    pub fn health_address(&self) -> io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// The keys in use.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.clone()
    }

    /// Serves until `stop` is done, then lets the open connections end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let (phase, phases) = watch::channel(Phase::Serving);
        let watching = tokio::spawn(self.watch.run(self.keys.clone()));
        let administration = tokio::spawn(admin::run(self.admin, self.keys.clone()));
        let healthy = routes::health(self.keys.clone(), phases);
        let health = tokio::spawn(async move { axum::serve(self.health, healthy).await });
        info!(listen = %self.config.listen, health = %self.config.health, "ready");
        tell_status(&self.keys.status().await);
        let _ = sd_notify::notify(&[NotifyState::Ready]);

        let stop = async {
            tokio::select! {
                () = stop => info!("told to stop"),
                // A part that must never end has panicked: a server that no longer follows the
                // certificate is better restarted than left to expire.
                () = failed("watch", watching) => {}
                () = failed("admin socket", administration) => {}
            }
            let _ = sd_notify::notify(&[NotifyState::Stopping]);
            tell_status("finishing open connections");
        };
        let (listener, keys, drain) = (self.listener, self.keys, self.config.drain);
        let drained = serve::serve(listener, keys, routes::api(), phase, drain, stop).await;
        health.abort();
        info!(open = drained.open, forced = drained.forced, "stopped");
        drained
    }
}

async fn failed(part: &str, task: tokio::task::JoinHandle<()>) {
    match task.await {
        Err(panic) if panic.is_panic() => error!("the {part} has failed: {panic}"),
        _ => pending().await,
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            key,
            address,
            source,
        })
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificate's directory cannot be watched.
    #[error("cannot watch the certificate's directory {}", path.display())]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate that can be served.
    #[error("no usable certificate")]
    Certificate(#[source] LoadError),
    /// An address cannot be bound.
    #[error("cannot bind {address} (`{key}`)")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error("cannot make the socket {} (`admin`)", path.display())]
    Admin {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
