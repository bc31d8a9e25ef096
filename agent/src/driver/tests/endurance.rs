//! A thousand rotations in a row, by the local CA and on the system's clock: nothing may pile up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use renewd_core::names::CertificateName;
use renewd_store::Store;
use renewd_store::disk::Disk;
use renewd_store::publish::LINGER;
use tokio::task::LocalSet;

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::clock::SystemClock;
use crate::config::{self, IssuerSettings};
use crate::control::Daemon;
use crate::driver::{Driver, Issuers, Setup, World};
use crate::issuer::Issuer;
use crate::issuer::local::{LocalIssuer, LocalSettings};

const ROTATIONS: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// The embedded CA in a directory.
struct Local(std::path::PathBuf);

impl Issuers for Local {
    fn make(&self, _: &IssuerSettings) -> Rc<dyn Issuer> {
        let clock = Arc::new(Timestamp::now);
        Rc::new(LocalIssuer::new(&self.0, LocalSettings::default(), clock))
    }

    fn root_pem(&self, _: &IssuerSettings) -> Result<String, String> {
        Err("not asked for here".into())
    }
}

/// Open descriptors of this process below a directory, and its timers: other tests run beside this one.
fn descriptors(site: &Site) -> usize {
    let ours = |link: &Path| {
        link.starts_with(site.directory.path()) || link.to_string_lossy().contains("timerfd")
    };
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| ours(link))
        .count()
}

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| match entry.unwrap() {
            entry if entry.file_type().unwrap().is_dir() => 1 + files(&entry.path()),
            _ => 1,
        })
        .sum()
}

/// Waits for the certificate's next generation to be proven.
async fn proven(driver: &Driver, generation: u64) {
    let mut changes = driver.changes();
    let begun = Instant::now();
    loop {
        let status = driver.status().certificates.remove(0);
        let served = status.units[0].proof == "served";
        if status.generation == Some(generation) && served && status.state == "fresh" {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{status:#?}");
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
    }
}

#[test]
fn a_thousand_forced_rotations_are_each_proven_and_leave_nothing_behind() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ca = site.directory.path().join("ca");
    LocalSet::new().block_on(&runtime, async {
        let store = Store::open(&site.state(), Disk::default()).unwrap();
        let clock = SystemClock::start().unwrap();
        let host = site.host.clone();
        let world = World::new(store, host.clone(), host, clock, Box::new(|| 0.5));
        let setup = Setup {
            configuration: site.configuration(),
            environment: Box::new(Site::environment),
            issuers: Box::new(Local(ca)),
            stale_rule: Box::new(|_| None),
            opening: Box::new(|| ()),
            bad_files: BTreeMap::new(),
        };
        let loaded = config::load(&site.configuration(), &Site::environment());
        let driver = Driver::recover(world, setup, loaded.settings);
        driver.run();
        proven(&driver, 1).await;
        let before = descriptors(&site);
        let c0: CertificateName = "c0".parse().unwrap();
        for generation in 2..=ROTATIONS + 1 {
            drop(driver.renew(vec![c0.clone()]).unwrap());
            proven(&driver, generation).await;
        }
        assert_eq!(descriptors(&site), before, "descriptors");
        assert_eq!(site.read("c0").0, ROTATIONS + 1);
        assert_eq!(driver.show(&c0).unwrap().issuances, ROTATIONS + 1);
        driver.stop();
    });

    // Generations linger for a while after they were current; then they go.
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.clock.pass(LINGER * 2);
        life.work().await;
        let kept = life.record("c0").generations.len();
        assert!(kept <= 2, "{kept} generations");
    });
    let counted = (
        files(&site.published("c0")),
        files(&site.state().join("store")),
    );
    assert!(counted.0 < 30 && counted.1 < 40, "{counted:?} files");
}
