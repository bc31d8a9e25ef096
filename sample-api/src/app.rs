//! Puts the parts together.
//!
//! Owns: the order in which things are bound and started, and what systemd is told.
//! Never does: the work of a part. Neighbours: all of them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::config::{Config, MAIN};
use crate::events::tell;
use crate::faces::{Faces, Listener};
use crate::mtls::{MutualTls, OpenError};
use crate::serve::Drained;
use crate::sockets::Passed;
use crate::workers::Workers;
use crate::{admin, proxy, routes};

/// A server that has everything it needs: keys, sockets, watch. Nothing is left that could refuse to start.
pub struct Server {
    faces: Faces,
    router: Router,
    upstream: Option<Arc<proxy::Health>>,
    listeners: Vec<Listener>,
    health: Vec<TcpListener>,
    redirect: Vec<TcpListener>,
    admin: UnixListener,
    workers: Workers,
}

impl Server {
    /// Reads the certificate and binds the sockets.
    ///
    /// # Errors
    ///
    /// When there is no usable certificate or policy, or an address is taken.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        Self::bind_with(config, Passed::default()).await
    }

    /// As [`Server::bind`], with sockets that the process was started with.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub async fn bind_with(config: Config, mut passed: Passed) -> Result<Self, StartError> {
        let main = (MAIN.to_owned(), config.mtls.clone());
        let others = config
            .faces
            .iter()
            .map(|face| (face.name.clone(), face.mtls.clone()));
        let faces = Faces::open([main].into_iter().chain(others).collect(), tell_status)
            .map_err(StartError::Open)?;
        let mut listeners = Vec::new();
        for (place, others) in shared(&config, &mut passed) {
            let (key, address) = wanted(&config, place);
            listeners.push(Listener {
                sockets: listen(&mut passed, &key, address).await?,
                face: place,
                others,
            });
        }
        let health = listen(&mut passed, "health", config.health).await?;
        let redirect = match config.redirect {
            Some(address) => listen(&mut passed, "redirect", address).await?,
            None => Vec::new(),
        };
        passed.close();
        // Last: it takes the place of another server's, which the addresses above have ruled out.
        let admin = admin::bind(&config.admin).map_err(|source| StartError::Admin {
            path: config.admin.clone(),
            source,
        })?;
        let upstream = config.upstream.as_ref().map(|_| Arc::default());
        let router = match (config.upstream, &upstream) {
            (Some(application), Some(health)) => proxy::router(application, Arc::clone(health)),
            _ => routes::api(),
        };
        Ok(Self {
            faces,
            router,
            upstream,
            listeners,
            health,
            redirect,
            admin,
            workers: Workers::here(),
        })
    }

    /// Runs connections on these.
    pub fn on(mut self, workers: Workers) -> Self {
        self.workers = workers;
        self
    }

    /// Where clients connect, with the port that the kernel chose for port 0.
    ///
    /// # Errors
    ///
    /// Only when the kernel does not know its own socket.
    pub fn listen_address(&self) -> io::Result<SocketAddr> {
        self.face_address(0)
    }

    /// Where clients of a face connect, in the order of the configuration; 0 is the main one.
    ///
    /// # Errors
    ///
    /// When there is no such face.
    pub fn face_address(&self, place: usize) -> io::Result<SocketAddr> {
        let here = |one: &&Listener| one.face == place || one.others.contains(&place);
        let listener = self.listeners.iter().find(here);
        address(listener.map_or(&[], |listener| &listener.sockets))
    }

    /// Where health is asked for.
    ///
    /// # Errors
    ///
    /// As [`Server::listen_address`].
    pub fn health_address(&self) -> io::Result<SocketAddr> {
        address(&self.health)
    }

    /// Where plain HTTP is sent on to HTTPS.
    ///
    /// # Errors
    ///
    /// When there is no such face.
    pub fn redirect_address(&self) -> io::Result<SocketAddr> {
        address(&self.redirect)
    }

    /// The reusable part of the main face, at work.
    pub fn mtls(&self) -> Arc<MutualTls> {
        self.faces.all()[0].mtls.clone()
    }

    /// Serves until `stop` is done, then lets the open connections end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let (listen, health) = (self.listen_address().ok(), address(&self.health).ok());
        let mut administration = tokio::spawn(admin::run(self.admin, self.faces.clone()));
        let healths = routes::health(self.faces.clone(), self.upstream);
        let redirects = routes::redirect(listen.map_or(443, |address| address.port()));
        let mut plain = JoinSet::new();
        for (listeners, router) in [(self.health, healths), (self.redirect, redirects)] {
            for listener in listeners {
                let router = router.clone();
                plain.spawn(async move { axum::serve(listener, router).await });
            }
        }
        tell!(READY, ?listen, ?health, "ready");
        tell_status(&self.faces.status().await);
        let _ = sd_notify::notify(&[NotifyState::Ready]);

        let stop = async {
            tokio::select! {
                () = stop => tell!(STOPPING, "told to stop"),
                ended = &mut administration => tell!(PART_FAILED, "the admin socket has failed: {ended:?}"),
            }
            let _ = sd_notify::notify(&[NotifyState::Stopping]);
            tell_status("finishing open connections");
        };
        let drained = self
            .faces
            .serve(&self.workers, self.listeners, self.router, stop)
            .await;
        administration.abort();
        tell!(
            STOPPED,
            open = drained.open,
            forced = drained.forced,
            "stopped"
        );
        drained
    }
}

/// Outside of systemd there is nobody to tell, which is no error.
fn tell_status(line: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(line)]);
}

fn address(listeners: &[TcpListener]) -> io::Result<SocketAddr> {
    let first = listeners.first().ok_or(io::ErrorKind::NotFound)?;
    first.local_addr()
}

/// What a face's sockets are called, and its address; 0 is the main one.
fn wanted(config: &Config, place: usize) -> (String, SocketAddr) {
    match place.checked_sub(1).map(|place| &config.faces[place]) {
        None => ("listen".to_owned(), config.listen),
        Some(face) => (format!("listen-{}", face.name), face.listen),
    }
}

/// Which faces listen, each with those that are met there, too: a face of the same address, unless a socket unit has a
/// socket for it. Port 0 is any port, so never the same.
fn shared(config: &Config, passed: &mut Passed) -> Vec<(usize, Vec<usize>)> {
    let mut all: Vec<(usize, Vec<usize>)> = Vec::new();
    for place in 0..=config.faces.len() {
        let (key, address) = wanted(config, place);
        let same = |(other, _): &&mut (usize, Vec<usize>)| wanted(config, *other).1 == address;
        let own = address.port() == 0 || passed.has(&key);
        match all.iter_mut().find(same).filter(|_| !own) {
            Some((_, others)) => {
                passed.let_go(&key);
                others.push(place);
            }
            None => all.push((place, Vec::new())),
        }
    }
    all
}

async fn listen(
    passed: &mut Passed,
    key: &str,
    address: SocketAddr,
) -> Result<Vec<TcpListener>, StartError> {
    let listeners = passed.listeners(key, address).await;
    listeners.map_err(|source| StartError::Listen {
        key: key.to_owned(),
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
        key: String,
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
