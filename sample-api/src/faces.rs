//! Several faces, each with its own certificate, trust and policy: such as one for outside and one for inside.
//!
//! Owns: what is asked of all of them together: reload, status, readiness, the end.
//! Never does: anything that one can do alone. Neighbours: [`crate::mtls`] is one, [`crate::app`] has them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::Router;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::mtls::{MutualTls, OpenError, serve_shared};
use crate::serve::Drained;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::workers::Workers;

/// One of them.
#[derive(Debug, Clone)]
pub struct Face {
    /// As the configuration calls it; the one that always is there is `main`.
    pub name: String,
    /// What it serves with.
    pub mtls: Arc<MutualTls>,
}

/// Where clients connect, and whom they meet there.
#[derive(Debug)]
pub struct Listener {
    /// Its sockets.
    pub sockets: Vec<TcpListener>,
    /// The place of its face in [`Faces::all`]. Clients that name none of several meet this one.
    pub face: usize,
    /// Further faces, which are chosen by the names of their certificates.
    pub others: Vec<usize>,
}

/// All of them; the first is `main`.
#[derive(Debug, Clone)]
pub struct Faces(Arc<[Face]>);

impl Faces {
    /// Opens each. `tell` hears each new line of [`Faces::status`].
    ///
    /// # Errors
    ///
    /// When one has no usable certificate or policy.
    pub fn open(settings: Vec<(String, Settings)>, tell: fn(&str)) -> Result<Self, OpenError> {
        let alone = settings.len() == 1;
        let lines = Arc::new(Mutex::new(vec![String::new(); settings.len()]));
        let mut all = Vec::with_capacity(settings.len());
        for (place, (name, settings)) in settings.into_iter().enumerate() {
            let (lines, own) = (lines.clone(), name.clone());
            let tell = move |line: &str| {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines[place] = named(alone, &own, line);
                let told: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
                tell(
                    &told
                        .into_iter()
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join("; "),
                );
            };
            let mtls = MutualTls::open_telling(settings, tell)?;
            all.push(Face { name, mtls });
        }
        Ok(Self(all.into()))
    }

    /// Each.
    pub fn all(&self) -> &[Face] {
        &self.0
    }

    /// Reloads each, whatever becomes of the others.
    ///
    /// # Errors
    ///
    /// What was refused, and what stays in use.
    pub async fn reload(&self) -> Result<(), String> {
        let mut refused = Vec::new();
        for Face { name, mtls } in self.0.iter() {
            if let Err(error) = mtls.reload().await {
                let generation = mtls.keys().served().generation;
                let line = format!("{error}; generation {generation} stays in use");
                refused.push(named(self.0.len() == 1, name, &line));
            }
        }
        match refused.is_empty() {
            true => Ok(()),
            false => Err(refused.join("; ")),
        }
    }

    /// One line on what is being served, and what was refused since.
    pub async fn status(&self) -> String {
        let mut lines = Vec::with_capacity(self.0.len());
        for Face { name, mtls } in self.0.iter() {
            lines.push(named(self.0.len() == 1, name, &mtls.status().await));
        }
        lines.join("; ")
    }

    /// The first that is not [`MutualTls::healthy`], or the first of all.
    pub fn healthy(&self, now: SystemTime) -> (&Face, Result<(), &'static str>) {
        self.judged(|mtls| mtls.healthy(now))
    }

    /// The first that is not [`MutualTls::ready`], or the first of all.
    pub fn ready(&self, now: SystemTime) -> (&Face, Result<(), &'static str>) {
        self.judged(|mtls| mtls.ready(now))
    }

    fn judged(
        &self,
        judge: impl Fn(&MutualTls) -> Result<(), &'static str>,
    ) -> (&Face, Result<(), &'static str>) {
        let bad = self.0.iter().find_map(|face| {
            let reason = judge(&face.mtls).err()?;
            Some((face, Err(reason)))
        });
        bad.unwrap_or((&self.0[0], Ok(())))
    }

    /// Serves each on its listener until `stop` is done, or one of them has failed.
    ///
    /// # Panics
    ///
    /// When a listener is of a face that there is not.
    pub async fn serve(
        &self,
        workers: &Workers,
        listeners: Vec<Listener>,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        let (told, _) = watch::channel(false);
        let each = listeners.into_iter().map(|listener| {
            let (router, mut told) = (router.clone(), told.subscribe());
            let others = listener.others.iter().map(|place| self.0[*place].clone());
            let shared = Shared::new(self.0[listener.face].clone(), others);
            serve_shared(workers, shared, listener.sockets, router, async move {
                let _ = told.wait_for(|told| *told).await;
            })
        });
        let mut serving: FuturesUnordered<_> = each.collect();
        let mut stop = std::pin::pin!(stop);
        let mut all = Drained { open: 0, forced: 0 };
        loop {
            let stopped = *told.borrow();
            tokio::select! {
                () = &mut stop, if !stopped => {}
                drained = serving.next() => match drained {
                    Some(drained) => {
                        all.open += drained.open;
                        all.forced += drained.forced;
                    }
                    None => return all,
                },
            }
            told.send_replace(true);
        }
    }
}

fn named(alone: bool, name: &str, line: &str) -> String {
    match alone {
        true => line.to_owned(),
        false => format!("{name}: {line}"),
    }
}
