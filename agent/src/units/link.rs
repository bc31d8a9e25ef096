//! The connection to the bus: made when first needed, shared, and made again after the bus went
//! away. Knows nothing of jobs; those are [`super::request`]'s.

use std::time::Duration;

use renewd_core::names::UnitName;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::{Connection, OwnedObjectPath};

use super::bus::{self, ManagerProxy};
use super::{UnitFacts, UnitsError};

/// dbus.socket takes connections while the bus restarts; this bounds the wait for its greeting.
const CONNECT: Duration = Duration::from_secs(10);
/// Bounds each call; polkit may have to be started to answer.
const CALL: Duration = Duration::from_secs(25);

/// The connection to the bus, there or to be made.
pub(super) struct Link {
    address: Option<String>,
    connection: Mutex<Option<Connection>>,
}

impl Link {
    /// To the system bus, or to the bus at this address.
    pub(super) fn new(address: Option<String>) -> Self {
        Self {
            address,
            connection: Mutex::new(None),
        }
    }

    /// The live connection, or a new one.
    pub(super) async fn connect(&self) -> Result<Connection, UnitsError> {
        // Held while connecting: who comes second shares the connection instead of making one more.
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        *kept = None;
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        let connection = timeout(CONNECT, builder.method_timeout(CALL).build())
            .await
            .map_err(|_| UnitsError::BusSilent(CONNECT))?
            .map_err(UnitsError::NoBus)?;
        Ok(kept.insert(connection).clone())
    }

    /// The unit's object, and its facts.
    pub(super) async fn facts(
        &self,
        unit: &UnitName,
    ) -> Result<(OwnedObjectPath, UnitFacts), UnitsError> {
        match self.read(unit).await {
            // The connection may have died since it was last used; asking again changes nothing.
            Err(UnitsError::NoBus(_)) => self.read(unit).await,
            answer => answer,
        }
    }

    async fn read(&self, unit: &UnitName) -> Result<(OwnedObjectPath, UnitFacts), UnitsError> {
        let connection = self.connect().await?;
        let read = async {
            let path = manager(&connection).await?.load_unit(unit.as_str()).await?;
            let facts = bus::facts(&connection, &path).await?;
            Ok((path, facts))
        };
        read.await
            .map_err(|error| bus::classify(error, unit.as_str(), "reading"))
    }
}

/// The manager's proxy on this connection.
pub(super) async fn manager(connection: &Connection) -> zbus::Result<ManagerProxy<'static>> {
    ManagerProxy::new(connection).await
}

/// Asks systemd to send signals to this connection. Idempotent, and asked each time: after
/// systemd re-executed itself it may have forgotten who had subscribed.
pub(super) async fn subscribe(connection: &Connection) -> zbus::Result<()> {
    match manager(connection).await?.subscribe().await {
        Err(zbus::Error::MethodError(name, ..)) if name.ends_with(".AlreadySubscribed") => Ok(()),
        answer => answer,
    }
}

/// Whether the system shuts down.
pub(super) async fn is_stopping(connection: &Connection) -> bool {
    let state = async { manager(connection).await?.system_state().await };
    state.await.is_ok_and(|state| state == "stopping")
}
