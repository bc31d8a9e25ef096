//! Sees a new generation the moment it is published.
//!
//! Owns: the inotify watch on the directory in which `current` is renamed (a watch on the link or on
//! what it points at would never see the swap).
//! Never does: read the certificate. Neighbour: [`crate::keys`], which is asked to.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use tracing::{info, warn};

use crate::keys::Keys;

/// Between two tries to watch a directory that went away. There is nothing to wait on then.
const RETRY: Duration = Duration::from_secs(1);

/// A watch that is already in place: what is published from now on is not missed.
pub struct Watch {
    directory: PathBuf,
    events: EventStream<[u8; 4096]>,
}

impl Watch {
    /// Starts to watch. Do it before the certificate is first read, or a swap in between is lost.
    ///
    /// # Errors
    ///
    /// When the directory does not exist, is not readable, or the user's watches are used up.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        inotify.watches().add(
            directory,
            WatchMask::MOVED_TO
                | WatchMask::CREATE
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::ONLYDIR,
        )?;
        Ok(Self {
            directory: directory.to_owned(),
            events: inotify.into_event_stream([0; 4096])?,
        })
    }

    /// Asks for a reload at each swap, for ever. A refusal is logged where it happens.
    pub async fn run(mut self, keys: Arc<Keys>) {
        loop {
            match self.next().await {
                Seen::Swap => drop(keys.reload().await),
                Seen::Other => {}
                Seen::Lost => {
                    warn!(
                        directory = %self.directory.display(),
                        "the certificate's directory is gone; looking for it every second"
                    );
                    self = Self::again(&self.directory).await;
                    info!(directory = %self.directory.display(), "watching again");
                    drop(keys.reload().await);
                }
            }
        }
    }

    async fn next(&mut self) -> Seen {
        let Some(Ok(event)) = self.events.next().await else {
            return Seen::Lost;
        };
        let gone =
            EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED | EventMask::UNMOUNT;
        if event.mask.intersects(gone) {
            Seen::Lost
        } else if event.mask.contains(EventMask::Q_OVERFLOW)
            || event.name.as_deref() == Some(OsStr::new("current"))
        {
            Seen::Swap
        } else {
            Seen::Other
        }
    }

    async fn again(directory: &Path) -> Self {
        loop {
            tokio::time::sleep(RETRY).await;
            if let Ok(watch) = Self::new(directory) {
                return watch;
            }
        }
    }
}

enum Seen {
    Swap,
    Other,
    Lost,
}
