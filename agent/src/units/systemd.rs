//! systemd over D-Bus: the one real [`Units`].
//!
//! Owns the connection, which is made when first needed and made again after the bus went away.
//! Between requests nothing is subscribed but what [`Units::activations`] asked for, so an idle
//! daemon is not woken. Never cancels a job, and starts no service but one that its own restart felled.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use renewd_core::names::UnitName;
use renewd_core::unit::{ActOutcome, OnChange};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::link::{Link, is_stopping};
use super::request::{Prepared, Request, Wish};
use super::{Activation, UnitFacts, Units, UnitsError, watch};

/// The service manager on a D-Bus system bus.
pub struct Systemd {
    link: Arc<Link>,
}

impl Systemd {
    /// On the system bus, or on the bus at this D-Bus address. Connects when first needed.
    pub fn new(address: Option<String>) -> Self {
        Self {
            link: Arc::new(Link::new(address)),
        }
    }

    async fn perform(
        &self,
        unit: &UnitName,
        wish: Wish,
        deadline: Duration,
    ) -> Result<ActOutcome, UnitsError> {
        let until = Instant::now() + deadline;
        let asked = timeout_at(until, Request::prepare(&self.link, unit, wish)).await;
        let Ok(prepared) = asked else {
            let unit = unit.to_string();
            return Err(UnitsError::NoAnswer {
                unit,
                deadline,
                asked: false,
            });
        };
        match prepared? {
            Prepared::Settled(outcome) => Ok(outcome),
            Prepared::Request(request) => request.carry_out(until, deadline).await,
        }
    }
}

impl Units for Systemd {
    fn facts<'a>(&'a self, unit: &'a UnitName) -> BoxFuture<'a, Result<UnitFacts, UnitsError>> {
        Box::pin(async move {
            let (_, facts) = self.link.facts(unit).await?;
            Ok(facts)
        })
    }

    fn act<'a>(
        &'a self,
        unit: &'a UnitName,
        verb: OnChange,
        deadline: Duration,
    ) -> BoxFuture<'a, ActOutcome> {
        Box::pin(async move {
            let wish = Wish {
                verb,
                revive: false,
            };
            self.perform(unit, wish, deadline)
                .await
                .unwrap_or_else(ActOutcome::from)
        })
    }

    fn revive<'a>(&'a self, unit: &'a UnitName, deadline: Duration) -> BoxFuture<'a, ActOutcome> {
        Box::pin(async move {
            let wish = Wish {
                verb: OnChange::Restart,
                revive: true,
            };
            self.perform(unit, wish, deadline)
                .await
                .unwrap_or_else(ActOutcome::from)
        })
    }

    fn activations(&self, units: &[UnitName]) -> mpsc::Receiver<Activation> {
        watch::spawn(Arc::clone(&self.link), units.to_vec())
    }

    fn system_is_stopping(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.link.connect().await {
                Ok(connection) => is_stopping(&connection).await,
                Err(_) => false,
            }
        })
    }
}

#[cfg(test)]
mod tests;
