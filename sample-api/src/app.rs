//! Puts the parts together.
//!
//! Owns: the order in which things are bound and started, and what systemd is told.
//! Never does: the work of a part. Neighbours: all of them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tracing::{error, info};

use crate::config::Config;
use crate::mtls::{MutualTls, OpenError};
use crate::serve::Drained;
use crate::{admin, routes};

/// A server that has everything it needs: keys, sockets, watch. Nothing is left that could refuse to start.
pub struct Server {
    mtls: Arc<MutualTls>,
    listener: TcpListener,
    health: TcpListener,
    admin: UnixListener,
}

impl Server {
    /// Reads the certificate and binds the sockets.
    ///
    /// # Errors
    ///
    /// When there is no usable certificate or policy, or an address is taken.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let mtls = MutualTls::open_telling(config.mtls, tell_status).map_err(StartError::Open)?;
        let listener = listen("listen", config.listen).await?;
        let health = listen("health", config.health).await?;
        // Last: it takes the place of another server's, which the addresses above have ruled out.
        let admin = admin::bind(&config.admin).map_err(|source| StartError::Admin {
            path: config.admin.clone(),
            source,
        })?;
        Ok(Self {
            mtls,
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

    /// The reusable part, at work.
    pub fn mtls(&self) -> Arc<MutualTls> {
        self.mtls.clone()
    }

    /// Serves until `stop` is done, then lets the open connections end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let mut administration = tokio::spawn(admin::run(self.admin, self.mtls.clone()));
        let faces = routes::health(self.mtls.clone());
        let (listen, health) = (
            self.listener.local_addr().ok(),
            self.health.local_addr().ok(),
        );
        let watching = tokio::spawn(async move { axum::serve(self.health, faces).await });
        info!(?listen, ?health, "ready");
        tell_status(&self.mtls.status().await);
        let _ = sd_notify::notify(&[NotifyState::Ready]);

        let stop = async {
            tokio::select! {
                () = stop => info!("told to stop"),
                ended = &mut administration => error!("the admin socket has failed: {ended:?}"),
            }
            let _ = sd_notify::notify(&[NotifyState::Stopping]);
            tell_status("finishing open connections");
        };
        let drained = self
            .mtls
            .serve(vec![self.listener], routes::api(), stop)
            .await;
        administration.abort();
        watching.abort();
        info!(open = drained.open, forced = drained.forced, "stopped");
        drained
    }
}

/// Outside of systemd there is nobody to tell, which is no error.
fn tell_status(line: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(line)]);
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
    /// The certificate, its trust or the policy cannot be used.
    #[error(transparent)]
    Open(OpenError),
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
