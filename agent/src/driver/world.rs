//! What every lane shares: the store, the outside worlds behind their traits, and a source of chance.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use renewd_core::names::IssuerName;
use renewd_store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::clock::Clock;
use crate::credentials::Vault;
use crate::driver::trust::Hearsay;
use crate::driver::unit_lane::UnitLanes;
use crate::issuer::Issuer;
use crate::probe::Probe;
use crate::units::Units;

/// How many orders an issuer has of this host at once.
const ORDERS_AT_ONCE: usize = 4;

/// A source of random numbers in 0..1.
pub type Chance = Box<dyn FnMut() -> f64>;

/// What every lane shares. One thread, so no locks.
pub struct World {
    /// What is on disk.
    pub store: Store,
    /// systemd.
    pub units: Rc<dyn Units>,
    /// TLS handshakes.
    pub probe: Rc<dyn Probe>,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// The configured issuers.
    pub issuers: RefCell<BTreeMap<IssuerName, Rc<dyn Issuer>>>,
    /// What units load as systemd credentials.
    pub credentials: Arc<Vault>,
    pub(crate) unit_lanes: UnitLanes,
    pub(crate) hearsay: Hearsay,
    turns: RefCell<BTreeMap<IssuerName, Arc<Semaphore>>>,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) stopping: Cell<bool>,
    chance: RefCell<Chance>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Brings the parts together.
    pub fn new(
        store: Store,
        units: Rc<dyn Units>,
        probe: Rc<dyn Probe>,
        clock: Rc<dyn Clock>,
        chance: Chance,
    ) -> Rc<Self> {
        Rc::new(Self {
            store,
            unit_lanes: UnitLanes::new(units.clone(), clock.clone()),
            units,
            probe,
            clock,
            issuers: RefCell::default(),
            credentials: Arc::default(),
            hearsay: Hearsay::default(),
            turns: RefCell::default(),
            changes: watch::Sender::new(0),
            stopping: Cell::new(false),
            chance: RefCell::new(chance),
        })
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A random number in 0..1.
    pub(crate) fn chance(&self) -> f64 {
        (self.chance.borrow_mut())()
    }

    /// One of the few places of those that ask an issuer at the same time: a host with a hundred certificates whose CA
    /// comes back brings it their orders a few at once.
    pub(crate) async fn turn(&self, issuer: &IssuerName) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut turns = self.turns.borrow_mut();
            let turns = turns.entry(issuer.clone());
            turns
                .or_insert_with(|| Arc::new(Semaphore::new(ORDERS_AT_ONCE)))
                .clone()
        };
        // Nobody closes it.
        turns.acquire_owned().await.ok()
    }

    /// Tells everybody who watches that a record changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
