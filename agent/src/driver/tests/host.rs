//! A host with services that load what is published when they are told or started, and serve what they
//! loaded: units and probe in one, for only together they show a service that is stale.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use renewd_core::leaf::{Fingerprint, LeafFacts, Serial};
use renewd_core::names::UnitName;
use renewd_core::proof::{ProbeReport, Reason, SeenLeaf};
use renewd_core::unit::{ActOutcome, JobResult, OnChange};
use renewd_store::reader;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::{Notify, mpsc};

use crate::probe::{Expected, Limits, Probe, ProbeTarget};
use crate::units::fake::Fake;
use crate::units::{Activation, UnitFacts, Units, UnitsError};

/// How a service takes a new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Temper {
    /// It loads what is published when it is told.
    Well,
    /// Its job ends well, and it goes on with what it had.
    Stale,
    /// Its job fails, whatever is published.
    Broken,
    /// Its job fails unless this serial is published.
    Only(String),
    /// It panics our side of the bus.
    Panics,
    /// It dies of its job, and is started again by its manager.
    Dies,
    /// An administrator stops it right after its job ended.
    Stopped,
    /// Its job never ends.
    Hangs,
    /// What becomes of its job is clear at once, and told when [`Host::release`] says so.
    Slow,
}

/// A service: its port, and what it does.
struct Service {
    directory: PathBuf,
    temper: Temper,
    loaded: Option<(Fingerprint, Serial)>,
    /// It loads what is published by itself, whenever it is looked at.
    watches: bool,
}

/// A unit of the configuration: reloaded and probed.
pub(super) const NGINX: &str = "[unit.\"nginx.service\"]\nprobe = \"tls://127.0.0.1:443\"\n";

/// A host with the unit of [`NGINX`], which runs and serves certificate `c0`.
pub(super) fn nginx(host: Host, certificates: &Path) -> Host {
    let c0 = certificates.join("c0");
    host.install("nginx.service", c0, "tls://127.0.0.1:443", true)
}

/// All services of a host.
#[derive(Default)]
pub(super) struct Host {
    units: Fake,
    services: Mutex<BTreeMap<UnitName, Service>>,
    /// Ports of units, as the probes of the configuration name them.
    ports: Mutex<BTreeMap<String, UnitName>>,
    asked: AtomicUsize,
    released: Notify,
}

impl Host {
    /// A service that reads this directory, listens at this address, and runs or not.
    pub(super) fn install(
        self,
        unit: &str,
        directory: PathBuf,
        address: &str,
        running: bool,
    ) -> Self {
        let name: UnitName = unit.parse().unwrap();
        self.ports().insert(address.to_owned(), name.clone());
        let service = Service {
            directory,
            temper: Temper::Well,
            loaded: None,
            watches: false,
        };
        self.services().insert(name.clone(), service);
        Self {
            units: self.units.with(&name, running),
            ..self
        }
    }

    /// Lets a service watch its directory.
    pub(super) fn watching(self, unit: &str) -> Self {
        self.services().get_mut(&name(unit)).unwrap().watches = true;
        self
    }

    pub(super) fn temper(&self, unit: &str, temper: Temper) {
        self.services().get_mut(&name(unit)).unwrap().temper = temper;
    }

    /// An administrator starts a service: it loads what is published.
    pub(super) fn start(&self, unit: &str) {
        self.load(&name(unit));
        self.units.set_running(&name(unit), true);
    }

    /// An administrator stops it.
    pub(super) fn stop(&self, unit: &str) {
        self.units.set_running(&name(unit), false);
    }

    /// The units that were told, in order.
    pub(super) fn told(&self) -> Vec<(String, OnChange)> {
        let acts = self.units.acts();
        acts.into_iter()
            .map(|(unit, verb)| (unit.to_string(), verb))
            .collect()
    }

    /// A service goes on running, and nobody can reach it until it loads anew.
    pub(super) fn lose_port(&self, unit: &str) {
        self.services().get_mut(&name(unit)).unwrap().loaded = None;
    }

    /// Lets a slow job end.
    pub(super) fn release(&self) {
        self.released.notify_one();
    }

    /// How often anything was asked of a unit or an address.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn units(&self) -> &Fake {
        &self.units
    }

    /// The serial that a service serves.
    pub(super) fn serves(&self, unit: &str) -> Option<String> {
        let services = self.services();
        let (_, serial) = services[&name(unit)].loaded.as_ref()?;
        Some(serial.to_string())
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<UnitName, Service>> {
        // A panic that a test planted must not spread.
        self.services
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ports(&self) -> MutexGuard<'_, BTreeMap<String, UnitName>> {
        self.ports.lock().unwrap()
    }

    fn load(&self, unit: &UnitName) {
        if let Some(service) = self.services().get_mut(unit) {
            service.loaded = published(&service.directory);
        }
    }

    /// What becomes of a unit's job, before it is asked for.
    fn prepare(&self, unit: &UnitName) -> Temper {
        let services = self.services();
        let Some(service) = services.get(unit) else {
            return Temper::Well;
        };
        let fails = match &service.temper {
            Temper::Broken | Temper::Dies => true,
            Temper::Only(liked) => {
                let published = published(&service.directory);
                published.is_none_or(|(_, serial)| serial.as_str() != liked)
            }
            _ => false,
        };
        if fails {
            let failed = ActOutcome::Job(JobResult::Failed);
            self.units.next_outcome(unit, failed);
        }
        service.temper.clone()
    }

    fn tell(&self, unit: &UnitName, temper: &Temper, outcome: &ActOutcome) {
        if *temper == Temper::Dies {
            self.stop(unit.as_str());
            self.start(unit.as_str());
        }
        if *outcome == ActOutcome::Job(JobResult::Done) && *temper != Temper::Stale {
            self.load(unit);
        }
        if *temper == Temper::Stopped {
            self.stop(unit.as_str());
        }
    }
}

fn name(unit: &str) -> UnitName {
    unit.parse().unwrap()
}

fn published(directory: &Path) -> Option<(Fingerprint, Serial)> {
    let snapshot = reader::read(directory).ok()?;
    let leaf = CertificateDer::from_pem_slice(&snapshot.fullchain_pem).ok()?;
    let facts = LeafFacts::from_der(&leaf).ok()?;
    Some((facts.fingerprint, facts.serial))
}

impl Units for Host {
    fn facts<'a>(&'a self, unit: &'a UnitName) -> BoxFuture<'a, Result<UnitFacts, UnitsError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.units.facts(unit)
    }

    fn act<'a>(
        &'a self,
        unit: &'a UnitName,
        verb: OnChange,
        deadline: Duration,
    ) -> BoxFuture<'a, ActOutcome> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let temper = self.prepare(unit);
            let outcome = self.units.act(unit, verb, deadline).await;
            match temper {
                Temper::Panics => panic!("planted: the unit's lane panics"),
                Temper::Hangs => std::future::pending().await,
                Temper::Slow => self.released.notified().await,
                _ => self.tell(unit, &temper, &outcome),
            }
            outcome
        })
    }

    fn revive<'a>(&'a self, unit: &'a UnitName, deadline: Duration) -> BoxFuture<'a, ActOutcome> {
        Box::pin(async move {
            let temper = self.prepare(unit);
            let outcome = self.units.revive(unit, deadline).await;
            self.tell(unit, &temper, &outcome);
            outcome
        })
    }

    fn activations(&self, units: &[UnitName]) -> mpsc::Receiver<Activation> {
        self.units.activations(units)
    }

    fn system_is_stopping(&self) -> BoxFuture<'_, bool> {
        self.units.system_is_stopping()
    }
}

impl Probe for Host {
    fn probe<'a>(
        &'a self,
        targets: &'a [ProbeTarget],
        expected: &'a Expected,
        _limits: Limits,
    ) -> Pin<Box<dyn Future<Output = ProbeReport> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let units: BTreeSet<_> = targets
            .iter()
            .map(|target| self.ports()[&target.to_string()].clone())
            .collect();
        let failed = |reason, seen| ProbeReport {
            failure: Some(reason),
            detail: format!("{units:?}: {reason}"),
            seen,
        };
        let mut seen = None;
        for unit in &units {
            if self.services()[unit].watches {
                self.load(unit);
            }
            let loaded = self.services()[unit].loaded.clone();
            let Some((fingerprint, serial)) = loaded.filter(|_| self.units.is_running(unit)) else {
                return Box::pin(ready(failed(Reason::Refused, None)));
            };
            let shown = SeenLeaf {
                fingerprint,
                serial,
            };
            if shown.fingerprint != expected.leaf.fingerprint {
                return Box::pin(ready(failed(Reason::WrongLeaf, Some(shown))));
            }
            seen = Some(shown);
        }
        Box::pin(ready(ProbeReport {
            failure: None,
            detail: String::new(),
            seen,
        }))
    }
}
