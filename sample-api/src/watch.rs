//! Sees a new generation, list or policy the moment it is there.
//!
//! Owns: the inotify watches, on the directories in which something is renamed (a watch on a link or on
//! what it points at would never see the swap).
//! Never does: read what changed. Neighbour: [`crate::mtls`], which is asked to.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};

use crate::events::tell;
use crate::settings::Settings;

/// Between two tries to watch a directory that went away. There is nothing to wait on then.
const RETRY: Duration = Duration::from_secs(1);

/// A directory, and which of its names matter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    directory: PathBuf,
    /// None: every name.
    name: Option<OsString>,
}

impl Place {
    /// Where a setting's file is swapped; of a directory, itself.
    fn of(path: &Path) -> Self {
        match path.parent().zip(path.file_name()) {
            Some((parent, name)) if !path.is_dir() => Self {
                directory: parent.to_owned(),
                name: Some(name.to_owned()),
            },
            _ => Self {
                directory: path.to_owned(),
                name: None,
            },
        }
    }
}

/// A watch that is already in place: what is published from now on is not missed.
#[derive(Debug)]
pub struct Watch {
    places: Vec<Place>,
    descriptors: Vec<WatchDescriptor>,
    events: Events,
}

struct Events(EventStream<[u8; 4096]>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Watch {
    /// Starts to watch. Do it before anything is first read, or a swap in between is lost.
    ///
    /// # Errors
    ///
    /// When a directory does not exist, is not readable, or the user's watches are used up.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        let certificate = Place {
            directory: settings.certificate.clone(),
            name: Some("current".into()),
        };
        let others = [&settings.crl, &settings.policy];
        let others = others.into_iter().flatten().map(|path| Place::of(path));
        Self::at([certificate].into_iter().chain(others).collect())
    }

    fn at(places: Vec<Place>) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mut descriptors = Vec::with_capacity(places.len());
        for place in &places {
            // CLOSE_WRITE and not MODIFY: what is written in place is looked at when it is whole.
            descriptors.push(inotify.watches().add(
                &place.directory,
                WatchMask::MOVED_TO
                    | WatchMask::CREATE
                    | WatchMask::CLOSE_WRITE
                    | WatchMask::DELETE
                    | WatchMask::DELETE_SELF
                    | WatchMask::MOVE_SELF
                    | WatchMask::ONLYDIR,
            )?);
        }
        Ok(Self {
            places,
            descriptors,
            events: Events(inotify.into_event_stream([0; 4096])?),
        })
    }

    /// Asks for a reload at each change, for ever. A refusal is logged where it happens.
    pub async fn run<T, F: Future<Output = T>>(mut self, reload: impl Fn() -> F) {
        loop {
            match self.next().await {
                Seen::Change => drop(reload().await),
                Seen::Other => {}
                Seen::Lost => {
                    tell!(
                        WATCH_LOST,
                        "a watched directory is gone; looking for it every second"
                    );
                    self = Self::again(self.places).await;
                    tell!(WATCH_AGAIN, "watching again");
                    drop(reload().await);
                }
            }
        }
    }

    async fn next(&mut self) -> Seen {
        let Some(Ok(event)) = self.events.0.next().await else {
            return Seen::Lost;
        };
        let gone =
            EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED | EventMask::UNMOUNT;
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return Seen::Change;
        }
        if event.mask.intersects(gone) {
            return Seen::Lost;
        }
        // Two settings in one directory share a descriptor.
        let watched = self.places.iter().zip(&self.descriptors);
        let mut here = watched.filter(|(_, descriptor)| **descriptor == event.wd);
        match here.any(|(place, _)| place.matters(event.name.as_deref(), event.mask)) {
            true => Seen::Change,
            false => Seen::Other,
        }
    }

    async fn again(places: Vec<Place>) -> Self {
        loop {
            tokio::time::sleep(RETRY).await;
            if let Ok(watch) = Self::at(places.clone()) {
                return watch;
            }
        }
    }
}

impl Place {
    fn matters(&self, name: Option<&OsStr>, mask: EventMask) -> bool {
        match (&self.name, name) {
            // A link is made whole; a file that was only created is empty yet.
            (Some(own), Some(name)) if own == name => {
                own == "current" || !mask.contains(EventMask::CREATE)
            }
            (None, Some(name)) => {
                !mask.contains(EventMask::CREATE) && !name.as_encoded_bytes().starts_with(b".")
            }
            _ => false,
        }
    }
}

enum Seen {
    Change,
    Other,
    Lost,
}
