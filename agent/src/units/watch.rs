//! Tells when units become active: one task, one match rule per unit, nothing in between.
//!
//! Never polls while the bus is there. After the bus went away it connects again, with growing
//! pauses, and then looks at every unit, so that no activation is missed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use renewd_core::names::UnitName;
use tokio::sync::mpsc;
use zbus::{MatchRule, MessageStream, message};

use super::bus::{self, PropertiesChanged, SYSTEMD, UNIT};
use super::link::{Link, manager, subscribe};
use super::{Activation, UnitsError};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Starts to watch; ends when the receiver is dropped.
pub(super) fn spawn(link: Arc<Link>, units: Vec<UnitName>) -> mpsc::Receiver<Activation> {
    let (told, receiver) = mpsc::channel(units.len().max(1));
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = told.closed() => {}
            () = watch(&link, &units, &told) => {}
        }
    });
    receiver
}

async fn watch(link: &Link, units: &[UnitName], told: &mpsc::Sender<Activation>) {
    if units.is_empty() {
        // An ended channel would be taken for a fault; this one is only silent.
        return told.closed().await;
    }
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = match Watch::begin(link, units).await {
            Ok(watch) => {
                pause = FIRST_PAUSE;
                watch.follow(link, told).await
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "watching units again in {pause:?}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Watched {
    unit: UnitName,
    was_active: bool,
}

/// The watched units on one connection.
struct Watch {
    units: Vec<Watched>,
    changes: SelectAll<
        futures_util::stream::BoxStream<'static, (usize, zbus::Result<message::Message>)>,
    >,
}

impl Watch {
    /// Registers first; [`Self::follow`] then looks.
    async fn begin(link: &Link, units: &[UnitName]) -> Result<Self, UnitsError> {
        let connection = link.connect().await?;
        let mut watch = Self {
            units: Vec::with_capacity(units.len()),
            changes: SelectAll::new(),
        };
        for (index, unit) in units.iter().enumerate() {
            let register = async {
                let path = manager(&connection).await?.load_unit(unit.as_str()).await?;
                let rule = MatchRule::builder()
                    .msg_type(message::Type::Signal)
                    .sender(SYSTEMD)
                    .path(path)
                    .interface("org.freedesktop.DBus.Properties")
                    .member("PropertiesChanged")
                    .arg(0, UNIT)
                    .build()?;
                MessageStream::for_match_rule(rule, &connection, None).await
            };
            let stream = register
                .await
                .map_err(|error| bus::classify(error, unit.as_str(), "watching"))?;
            watch
                .changes
                .push(stream.map(move |change| (index, change)).boxed());
            watch.units.push(Watched {
                unit: unit.clone(),
                was_active: false,
            });
        }
        subscribe(&connection)
            .await
            .map_err(|error| bus::classify(error, "systemd", "watching"))?;
        Ok(watch)
    }

    /// Reports until the connection ends (an error) or nobody listens any more.
    async fn follow(
        mut self,
        link: &Link,
        told: &mpsc::Sender<Activation>,
    ) -> Result<(), UnitsError> {
        for index in 0..self.units.len() {
            let (_, facts) = link.facts(&self.units[index].unit).await?;
            if let Some(unit) = self.became_active(index, &facts.active_state)
                && told.send(Activation::Found(unit)).await.is_err()
            {
                return Ok(());
            }
        }
        while let Some((index, change)) = self.changes.next().await {
            let state = change.and_then(|change| active_state(&change));
            let state = state.map_err(UnitsError::NoBus)?;
            let Some(state) = state else { continue };
            if let Some(unit) = self.became_active(index, &state)
                && told.send(Activation::Began(unit)).await.is_err()
            {
                return Ok(());
            }
        }
        Err(UnitsError::ResultLost {
            unit: "the watched units".into(),
        })
    }

    /// The unit, if it was not active and is now.
    fn became_active(&mut self, index: usize, state: &str) -> Option<UnitName> {
        let watched = &mut self.units[index];
        let is_active = matches!(state, "active" | "reloading" | "refreshing");
        let became_active = is_active && !watched.was_active;
        watched.was_active = is_active;
        became_active.then(|| watched.unit.clone())
    }
}

/// The unit's new `ActiveState`, when the signal has one.
fn active_state(signal: &message::Message) -> zbus::Result<Option<String>> {
    let (_, mut changed, _): PropertiesChanged = signal.body().deserialize()?;
    changed
        .remove("ActiveState")
        .map(String::try_from)
        .transpose()
}
