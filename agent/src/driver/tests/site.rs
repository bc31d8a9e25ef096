//! Where a test's daemon lives: a directory with its configuration and its state, a host, a CA and a
//! clock, which all outlive it; and one life of the daemon after another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use renewd_core::names::CertificateName;
use renewd_core::record::Record;
use renewd_core::supply::Supply;
use renewd_store::disk::Disk;
use renewd_store::{Store, StoreError, reader};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::Host;
use crate::clock::Clock;
use crate::clock::fake::FakeClock;
use crate::config::{self, Environment, IssuerSettings};
use crate::control::Daemon;
use crate::control::report::CertificateStatus;
use crate::driver::{Driver, Issuers, Setup, World};
use crate::issuer::Issuer;
use crate::issuer::fake::FakeIssuer;
use crate::kinds::KINDS;

/// How much simulated time a test waits for something, unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(900);
/// How much real time.
const REAL_PATIENCE: Duration = Duration::from_secs(60);

/// What outlives a daemon.
pub(super) struct Site {
    pub(super) directory: TempDir,
    pub(super) clock: Rc<FakeClock>,
    pub(super) host: Rc<Host>,
    pub(super) issuer: Rc<FakeIssuer>,
    /// The one that is called `backup`.
    pub(super) backup: Rc<FakeIssuer>,
    /// The one that is called so when it is configured anew.
    pub(super) successor: Rc<FakeIssuer>,
    /// What the next lives find wrong with the polkit rule.
    pub(super) stale_rule: Rc<RefCell<Option<String>>>,
    /// What a start found wrong with a file.
    pub(super) bad_files: RefCell<BTreeMap<CertificateName, String>>,
}

/// One life of the daemon.
pub(super) struct Life<'a> {
    pub(super) site: &'a Site,
    pub(super) driver: Rc<Driver>,
}

impl Site {
    /// A host as `furnish` makes it, of services that read below the directory of published certificates.
    pub(super) fn new(furnish: impl FnOnce(Host, &Path) -> Host) -> Self {
        // In memory where there is such a place: thousands of fsyncs say nothing more on a disk.
        let memory = Path::new("/dev/shm");
        let directory = tempfile::tempdir_in(memory)
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let clock = FakeClock::at(Timestamp::now());
        let host = furnish(Host::default(), &directory.path().join("state/certs"));
        let site = Self {
            issuer: Rc::new(FakeIssuer::new(clock.teller())),
            backup: Rc::new(FakeIssuer::new(clock.teller())),
            successor: Rc::new(FakeIssuer::new(clock.teller())),
            host: Rc::new(host),
            clock,
            directory,
            stale_rule: Rc::default(),
            bad_files: RefCell::default(),
        };
        fs::create_dir_all(site.configuration().join("certs.d")).unwrap();
        let owner = (nix::unistd::geteuid(), nix::unistd::getegid());
        let defaults = format!(
            "[defaults]\nowner = \"{}\"\ngroup = \"{}\"\n",
            owner.0, owner.1
        );
        site.write(
            "renewd.toml",
            &format!("{defaults}[issuer.fake]\ntype = \"local\"\n"),
        );
        site
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The published directory of a certificate.
    pub(super) fn published(&self, name: &str) -> PathBuf {
        self.state().join("certs").join(name)
    }

    /// Writes a file of the configuration.
    pub(super) fn write(&self, file: &str, text: &str) {
        fs::write(self.configuration().join(file), text).unwrap();
    }

    /// Configures how trust changes.
    pub(super) fn trust(&self, keys: &str) {
        let main = fs::read_to_string(self.configuration().join("renewd.toml")).unwrap();
        let main = main.split("[trust]").next().unwrap();
        self.write("renewd.toml", &format!("{main}[trust]\n{keys}"));
    }

    /// The certificates of a published bundle, which are in the order of their fingerprints.
    pub(super) fn bundle(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let bundle = reader::read(self.published(name)).unwrap().ca_pem;
        renewd_core::pem::parse_certificates(std::str::from_utf8(&bundle).unwrap()).unwrap()
    }

    /// Configures a certificate; `more` follows its names and its life of a day.
    pub(super) fn certificate(&self, name: &str, more: &str) {
        let text = format!("names = [\"{name}.example.internal\"]\nlifetime = \"24h\"\n{more}");
        self.write(&format!("certs.d/{name}.toml"), &text);
    }

    pub(super) fn environment() -> Environment {
        Environment::new(
            "host",
            "0123456789abcdef0123456789abcdef",
            config::SystemAccounts,
            KINDS,
        )
    }

    /// Opens the store and runs a daemon for as long as `body` does; then nothing of it is left.
    pub(super) fn live<T>(&self, disk: Disk, body: impl AsyncFnOnce(&Life<'_>) -> T) -> T {
        self.try_live(disk, body).unwrap()
    }

    pub(super) fn try_live<T>(
        &self,
        disk: Disk,
        body: impl AsyncFnOnce(&Life<'_>) -> T,
    ) -> Result<T, StoreError> {
        self.live_until_ready(disk, async |life| {
            life.driver.run();
            body(life).await
        })
    }

    /// As [`Site::live`], before the lanes run.
    pub(super) fn live_until_ready<T>(
        &self,
        disk: Disk,
        body: impl AsyncFnOnce(&Life<'_>) -> T,
    ) -> Result<T, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let store = open(&self.state(), disk)?;
        let tasks = LocalSet::new();
        Ok(tasks.block_on(&runtime, async {
            let world = World::new(
                store,
                self.host.clone(),
                self.host.clone(),
                self.clock.clone(),
                Box::new(|| 0.5),
            );
            let stale_rule = self.stale_rule.clone();
            let setup = Setup {
                configuration: self.configuration(),
                environment: Box::new(Self::environment),
                issuers: Box::new(Fakes {
                    first: self.issuer.clone(),
                    backups: RefCell::new(vec![self.successor.clone(), self.backup.clone()]),
                }),
                stale_rule: Box::new(move |_| stale_rule.borrow().clone()),
                opening: Box::new(|| ()),
                bad_files: self.bad_files.borrow().clone(),
            };
            let loaded = config::load(&self.configuration(), &Self::environment());
            assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
            let driver = Driver::recover(world, setup, loaded.settings);
            let life = Life { site: self, driver };
            body(&life).await
        }))
    }

    /// What the store keeps of a certificate between lives.
    pub(super) fn record(&self, name: &str) -> Option<Record> {
        let path = self
            .state()
            .join("store/records")
            .join(format!("{name}.json"));
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// The generation that is published.
    pub(super) fn read_generation(&self, name: &str) -> u64 {
        reader::read(self.published(name)).unwrap().generation
    }

    /// What a service finds published: the generation and its leaf's serial.
    pub(super) fn read(&self, name: &str) -> (u64, String) {
        let snapshot = reader::read(self.published(name)).unwrap();
        let serial = pair_serial(&snapshot).unwrap();
        (snapshot.generation, serial)
    }
}

/// The serial of a snapshot whose key is its leaf's.
pub(super) fn pair_serial(snapshot: &reader::Snapshot) -> Result<String, String> {
    let leaf = CertificateDer::from_pem_slice(&snapshot.fullchain_pem);
    let leaf = leaf.map_err(|error| format!("no certificate: {error:?}"))?;
    let facts = renewd_core::leaf::LeafFacts::from_der(&leaf).map_err(|error| error.to_string())?;
    let key = String::from_utf8_lossy(snapshot.key_pem.bytes());
    let key = crate::keys::PrivateKey::from_pem(&key).map_err(|error| error.to_string())?;
    if key.fingerprint() != facts.key_fingerprint {
        return Err("the key is not the leaf's".into());
    }
    if snapshot.ca_pem.is_empty() {
        return Err("no bundle".into());
    }
    Ok(facts.serial.to_string())
}

impl Life<'_> {
    /// A certificate's status.
    pub(super) fn status(&self, name: &str) -> CertificateStatus {
        let report = self.driver.status();
        let mut certificates = report.certificates.into_iter();
        certificates.find(|status| status.name == name).unwrap()
    }

    pub(super) fn proof(&self, name: &str, unit: &str) -> String {
        let status = self.status(name);
        let unit = status.units.iter().find(|status| status.unit == unit);
        unit.unwrap().proof.clone()
    }

    /// The record as it is in memory.
    pub(super) fn record(&self, name: &str) -> Record {
        let lanes = self.driver.lanes.borrow();
        lanes[&name.parse::<CertificateName>().unwrap()]
            .view
            .record()
    }

    /// Whether every unit of every certificate is as good as proven, and nothing is under way.
    pub(super) fn is_settled(&self) -> bool {
        let lanes = self.driver.lanes.borrow();
        lanes.values().all(|lane| {
            lane.view.held().is_some()
                || lane.view.with_record(|record| {
                    record.supply == Supply::Fresh
                        && record.rollout.is_none()
                        && record.published.is_some()
                        && record.published == record.target
                        && !record.renew_requested
                        && record.units.values().all(|unit| unit.debt.is_none())
                })
        })
    }

    /// Lets the daemon work, and time pass whenever it only waits, until `condition` holds.
    pub(super) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.until_within(PATIENCE, what, condition).await;
    }

    /// As [`Life::until`], within so much simulated time.
    pub(super) async fn until_within(
        &self,
        patience: Duration,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) {
        let (begun, mut passed) = (Instant::now(), Duration::ZERO);
        loop {
            self.work().await;
            if condition(self) {
                return;
            }
            let next = self.site.clock.until_next();
            match next.filter(|next| passed + *next <= patience) {
                Some(next) if begun.elapsed() < REAL_PATIENCE => {
                    passed += next;
                    self.site.clock.pass(next);
                }
                _ => panic!(
                    "not within {passed:?} (next: {next:?}): {what}\n{:#?}\n{:#?}",
                    self.driver.status(),
                    self.records(),
                ),
            }
        }
    }

    fn records(&self) -> BTreeMap<CertificateName, Record> {
        let lanes = self.driver.lanes.borrow();
        let each = lanes.iter();
        each.map(|(name, lane)| (name.clone(), lane.view.record()))
            .collect()
    }

    /// Lets the daemon work until it only waits for time to pass.
    pub(super) async fn work(&self) {
        let changes = self.driver.changes();
        loop {
            let before = *changes.borrow();
            for _ in 0..40 {
                tokio::task::yield_now().await;
            }
            if *changes.borrow() != before {
                continue;
            }
            if !self.makes_a_key() {
                return;
            }
            // A key is made on a thread of its own: its end is a change.
            let _ = timeout(Duration::from_millis(20), self.driver.changes().changed()).await;
        }
    }

    /// Lets the daemon take so many small steps.
    pub(super) async fn work_for(&self, steps: usize) {
        for _ in 0..steps {
            tokio::task::yield_now().await;
            if self.makes_a_key() {
                let mut changes = self.driver.changes();
                let _ = timeout(Duration::from_millis(5), changes.changed()).await;
            }
        }
    }

    fn makes_a_key(&self) -> bool {
        let lanes = self.driver.lanes.borrow();
        let issuing = |lane: &crate::driver::LaneHandle| {
            lane.view.held().is_none()
                && lane.view.trouble().is_none()
                && lane
                    .view
                    .with_record(|record| matches!(record.supply, Supply::Issuing { .. }))
        };
        lanes.values().filter(|lane| issuing(lane)).count() > self.site.issuer.silenced()
    }

    /// Until all is settled.
    pub(super) async fn settle(&self) {
        self.until("settled", Self::is_settled).await;
    }

    /// The operator asks for a renewal, and waits for its end.
    pub(super) async fn renew(&self, names: &[&str]) {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        drop(self.driver.renew(names).unwrap());
        self.work().await;
        self.settle().await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.site.clock.now()
    }
}

/// The issuers of a site, whatever is configured: the first one, and those that are called `backup` one after the other.
struct Fakes {
    first: Rc<FakeIssuer>,
    /// The last one is made first.
    backups: RefCell<Vec<Rc<FakeIssuer>>>,
}

impl Issuers for Fakes {
    fn make(&self, settings: &IssuerSettings) -> Rc<dyn Issuer> {
        match settings.name.as_str() {
            "backup" => self.backups.borrow_mut().pop().expect("one more"),
            _ => self.first.clone(),
        }
    }

    fn root_pem(&self, _: &IssuerSettings) -> Result<String, String> {
        Err("a fake has none".into())
    }
}

/// Opens the store. A test beside this one that starts a program holds every descriptor of this process,
/// the lock's too, for the moment between fork and exec.
fn open(state: &Path, disk: Disk) -> Result<Store, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        match Store::open(state, disk.clone()) {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            result => return result,
        }
    }
}
