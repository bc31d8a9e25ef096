//! The keys in use, and their replacement.
//!
//! Owns: what is being served, the one swap, and the log of both.
//! Never does: leave a moment without a usable pair, or let a refused one through.
//! Neighbours: [`crate::mtls`] asks for a reload, [`crate::serve`] takes what is current.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use renewd_store::reader::{self, ReadError};
use tokio::sync::{Mutex, watch};

use crate::crl::{self, CrlError};
use crate::events::tell;
use crate::explain;
use crate::leaf::rfc3339;
use crate::tls::{self, BuildError, Choices, Served};

/// Which generation it is, by the event's name.
macro_rules! tell_served {
    ($event:ident, $text:literal, $served:expr) => {
        tell!(
            $event,
            generation = $served.generation,
            serial = $served.leaf.serial,
            not_after = rfc3339($served.leaf.not_after),
            lists = $served.trust.lists(),
            stapled = matches!($served.staple, Ok(Some(_))),
            $text
        )
    };
}

/// Where generations come from, and how they are to be served.
#[derive(Debug, Clone)]
pub struct Source {
    /// The certificate's directory, in which `current` is swapped.
    pub directory: PathBuf,
    /// Revocation lists besides those of the generation: a file, or a directory of files.
    pub crl: Option<PathBuf>,
    /// The TLS settings.
    pub choices: Choices,
}

/// What is being served, and where the next generation comes from.
#[derive(Debug)]
pub struct Keys {
    source: Source,
    served: watch::Sender<Arc<Served>>,
    /// Reloads take turns: two requests for one generation are one reload. Holds the last refusal, so
    /// that a generation that both the watch and the administrator ask for is complained of once.
    turn: Mutex<Option<String>>,
}

/// What a reload came to.
#[derive(Debug, Clone)]
pub enum Reloaded {
    /// New connections get this from now on.
    Swapped(Arc<Served>),
    /// It was being served already.
    Unchanged(Arc<Served>),
}

impl Reloaded {
    /// What is being served now, either way.
    pub fn served(&self) -> &Arc<Served> {
        match self {
            Self::Swapped(served) | Self::Unchanged(served) => served,
        }
    }
}

impl Keys {
    /// Loads the published generation. A server without a usable pair has nothing to do.
    ///
    /// # Errors
    ///
    /// When nothing usable is published there.
    pub fn open(source: Source) -> Result<Self, LoadError> {
        let served = match load(&source, None, SystemTime::now())? {
            Loaded::New(served) | Loaded::Same(served) => served,
        };
        tell_served!(SERVING, "serving", served);
        tell_staple(&served);
        Ok(Self {
            source,
            served: watch::channel(served).0,
            turn: Mutex::new(None),
        })
    }

    /// What the next handshake uses.
    pub fn served(&self) -> Arc<Served> {
        self.served.borrow().clone()
    }

    /// Tells of each swap.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Served>> {
        self.served.subscribe()
    }

    /// Takes up what is published now: read, build aside, one swap. Connections that are open keep
    /// what they began with.
    ///
    /// # Errors
    ///
    /// When what is published was refused. What was being served still is.
    pub async fn reload(&self) -> Result<Reloaded, LoadError> {
        let mut last_refusal = self.turn.lock().await;
        let before = self.served();
        let (source, current) = (self.source.clone(), before.clone());
        let loaded =
            tokio::task::spawn_blocking(move || load(&source, Some(current), SystemTime::now()))
                .await
                .unwrap_or(Err(LoadError::Panicked));
        match loaded {
            Ok(Loaded::New(served)) => {
                self.served.send_replace(served.clone());
                *last_refusal = None;
                tell_served!(SWAPPED, "new generation in use", served);
                tell_staple(&served);
                Ok(Reloaded::Swapped(served))
            }
            Ok(Loaded::Same(served)) => {
                if last_refusal.take().is_some() {
                    tell!(
                        REFUSAL_ENDED,
                        generation = served.generation,
                        "the refused generation was withdrawn"
                    );
                }
                Ok(Reloaded::Unchanged(served))
            }
            Err(refusal) => {
                let reason = explain(&refusal);
                if last_refusal.as_ref() != Some(&reason) {
                    tell!(
                        RELOAD_REFUSED,
                        generation = before.generation,
                        "reload refused, the old generation stays in use: {reason}"
                    );
                    *last_refusal = Some(reason);
                }
                Err(refusal)
            }
        }
    }

    /// Why what is published was refused, if it still is.
    pub async fn refusal(&self) -> Option<String> {
        self.turn.lock().await.clone()
    }
}

/// Why what is published cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("nothing to serve")]
    Read(#[source] ReadError),
    /// It was read, and is not usable.
    #[error("generation {generation} refused")]
    Build {
        /// The generation's number.
        generation: u64,
        /// Why.
        #[source]
        source: BuildError,
    },
    /// Its revocation lists, or those of the setting, could not be read.
    #[error("generation {generation} refused")]
    Lists {
        /// The generation's number.
        generation: u64,
        /// Why.
        #[source]
        source: CrlError,
    },
    /// A fault of ours; the generation in use is untouched.
    #[error("the reload panicked")]
    Panicked,
}

enum Loaded {
    New(Arc<Served>),
    Same(Arc<Served>),
}

fn load(
    source: &Source,
    served: Option<Arc<Served>>,
    now: SystemTime,
) -> Result<Loaded, LoadError> {
    let snapshot = reader::read(&source.directory).map_err(LoadError::Read)?;
    let generation = snapshot.generation;
    let file = format!(".{generation}/{}", crl::PUBLISHED);
    let file = source.directory.join(file);
    let published = snapshot.crl_pem.as_deref().map(|pem| (&*file, pem));
    let lists = crl::find(published, source.crl.as_deref())
        .map_err(|source| LoadError::Lists { generation, source })?;
    if let Some(served) = served
        .as_ref()
        .filter(|served| served.is(&snapshot, &lists))
    {
        return Ok(Loaded::Same(served.clone()));
    }
    tls::build(snapshot, lists, source.choices, served.as_deref(), now)
        .map(|served| Loaded::New(Arc::new(served)))
        .map_err(|source| LoadError::Build { generation, source })
}

fn tell_staple(served: &Served) {
    if let Err(error) = &served.staple {
        tell!(
            STAPLE_REFUSED,
            generation = served.generation,
            "no OCSP response is sent, as that of the generation is of no use (ocsp.der): {}",
            explain(error)
        );
    }
}
