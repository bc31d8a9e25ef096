//! The reusable part, put together: certificate, trust, policy, connections.
//!
//! Owns: who is told when something changes, in which order.
//! Never does: the work of a part. Neighbours: all of the library; [`crate::app`] makes a server of it, and so may
//! you (`examples/axum.rs`).

use std::sync::atomic::{
    AtomicU8, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::events::tell;
use crate::faces::Face;
use crate::keys::{Keys, Reloaded, Source};
use crate::metrics::{Metrics, Part, Reload};
use crate::registry::Registry;
use crate::rules::Rules;
use crate::serve::{self, Drained, Phase};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::watch::Watch;
use crate::workers::Workers;

mod error;
mod state;

pub use error::{OpenError, ReloadError};

/// How often connections are looked at for their age and their client's expiry.
const SWEEP: Duration = Duration::from_secs(1);

/// A server's side of mutual TLS: the certificate that it follows, whom it believes, what they may do, and the
/// connections that came of it.
#[derive(Debug)]
pub struct MutualTls {
    settings: Settings,
    keys: Arc<Keys>,
    rules: Rules,
    registry: Registry,
    metrics: Metrics,
    phase: AtomicU8,
    shaking: AtomicUsize,
    watch: Mutex<Option<Watch>>,
    /// Called with a line for people whenever there is a new one.
    tell: Tell,
}

/// Who hears of each new line.
struct Tell(Box<dyn Fn(&str) + Send + Sync>);

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

impl MutualTls {
    /// Reads the certificate, its trust and the policy. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used: a server without has nothing to do.
    pub fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        Self::open_telling(settings, |_| {})
    }

    /// As [`MutualTls::open`]; `tell` hears each new line of [`MutualTls::status`].
    ///
    /// # Errors
    ///
    /// As [`MutualTls::open`].
    pub fn open_telling(
        settings: Settings,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, OpenError> {
        // The watch first: a swap between the first reading and the watch would go unseen.
        let watch = Watch::new(&settings).map_err(|source| OpenError::Watch {
            path: settings.certificate.clone(),
            source,
        })?;
        let keys = Keys::open(Source {
            directory: settings.certificate.clone(),
            crl: settings.crl.clone(),
            choices: settings.choices,
        })
        .map_err(OpenError::Certificate)?;
        let rules = Rules::open(settings.policy.clone()).map_err(OpenError::Policy)?;
        Ok(Arc::new(Self {
            keys: Arc::new(keys),
            rules,
            registry: Registry::default(),
            metrics: Metrics::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            shaking: AtomicUsize::new(0),
            watch: Mutex::new(Some(watch)),
            settings,
            tell: Tell(Box::new(tell)),
        }))
    }

    /// Takes up what is published now and what the policy says now, each by itself: a broken policy does not hold up
    /// a new certificate. Whoever asks, one generation is one reload.
    ///
    /// # Errors
    ///
    /// When one was refused. What was in use before still is.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        let before = self.keys.served();
        let certificate = self.keys.reload().await;
        self.metrics.reload(
            Part::Certificate,
            match &certificate {
                Ok(Reloaded::Swapped(served)) => {
                    if !Arc::ptr_eq(&served.trust, &before.trust) {
                        self.metrics.trust_changed();
                        tell!(
                            TRUST_CHANGED,
                            generation = served.generation,
                            "the trust has changed: open connections are judged again"
                        );
                    }
                    Reload::Swapped
                }
                Ok(Reloaded::Unchanged(_)) => Reload::Unchanged,
                Err(_) => Reload::Refused,
            },
        );
        let policy = self.rules.reload().await;
        if self.settings.policy.is_some() {
            let how = match policy {
                Ok(true) => Reload::Swapped,
                Ok(false) => Reload::Unchanged,
                Err(_) => Reload::Refused,
            };
            self.metrics.reload(Part::Policy, how);
        }
        (self.tell.0)(&self.status().await);
        certificate.map_err(ReloadError::Certificate)?;
        policy.map_err(ReloadError::Policy)?;
        Ok(())
    }

    /// Serves until `stop` is done, then lets the open connections end. At most once. Connections run where the caller
    /// does.
    pub async fn serve(
        self: &Arc<Self>,
        listeners: Vec<TcpListener>,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        self.serve_on(&Workers::here(), listeners, router, stop)
            .await
    }

    /// As [`MutualTls::serve`], with connections that run on these workers.
    pub async fn serve_on(
        self: &Arc<Self>,
        workers: &Workers,
        listeners: Vec<TcpListener>,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        let only = Face {
            name: String::new(),
            mtls: self.clone(),
        };
        serve_shared(workers, Shared::new(only, []), listeners, router, stop).await
    }

    /// Starts what goes on beside the connections. None of it ever ends by itself.
    fn start(self: &Arc<Self>, parts: &mut JoinSet<()>) {
        let watch = self
            .watch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mtls = self.clone();
        parts.spawn(async move {
            match watch {
                Some(watch) => watch.run(|| mtls.reload()).await,
                None => std::future::pending().await,
            }
        });
        // Before the first connection, so that none is older than what they have seen.
        let changes = (self.keys.subscribe(), self.rules.subscribe());
        parts.spawn(self.clone().judge(changes.0, changes.1));
        parts.spawn(self.clone().sweep());
    }

    async fn judge(
        self: Arc<Self>,
        mut served: watch::Receiver<Arc<crate::tls::Served>>,
        mut policy: watch::Receiver<Arc<crate::policy::Policy>>,
    ) {
        loop {
            let changed = tokio::select! {
                changed = served.changed() => changed,
                changed = policy.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let trust = served.borrow_and_update().trust.clone();
            let policy = policy.borrow_and_update().clone();
            let mtls = self.clone();
            let judged = tokio::task::spawn_blocking(move || {
                mtls.registry.judge_all(&trust, &policy, &mtls.metrics);
            });
            if let Err(panic) = judged.await {
                tell!(PART_FAILED, "connections were not judged: {panic}");
                return;
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        let mut clock = tokio::time::interval(SWEEP);
        loop {
            clock.tick().await;
            self.registry
                .sweep(SystemTime::now(), self.settings.max_age, &self.metrics);
        }
    }

    /// The settings that it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The certificate in use, and its trust.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The policy in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What was counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How far the server's end has come.
    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Acquire))
    }

    pub(crate) fn enter_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Release);
        self.registry.ring_all();
    }

    /// Counts a handshake for as long as the result lives.
    pub(crate) fn shaking(&self) -> impl Drop + use<'_> {
        self.shaking.fetch_add(1, Relaxed);
        Shaking(&self.shaking)
    }
}

/// Serves all faces of one listener, as [`MutualTls::serve`] does one.
pub(crate) async fn serve_shared(
    workers: &Workers,
    faces: Shared,
    listeners: Vec<TcpListener>,
    router: Router,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut parts = JoinSet::new();
    for face in faces.faces() {
        face.mtls.start(&mut parts);
    }
    if !faces.is_one() {
        parts.spawn(faces.clone().tell_hidden());
    }
    let stop = async {
        tokio::select! {
            () = stop => {}
            // It has panicked. A server that no longer follows the certificate is better restarted than left to expire.
            ended = parts.join_next() => tell!(PART_FAILED, "a part has failed: {ended:?}"),
        }
    };
    // They go on while connections are drained, and end with this.
    serve::serve(workers, listeners, &faces, router, stop).await
}

struct Shaking<'a>(&'a AtomicUsize);

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
