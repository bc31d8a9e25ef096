//! `check`, `apply` and `doctor` over a configuration on disk and units as a test lists them.

mod apply;
mod check;
mod docs;
mod doctor;
mod expiry;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use renewd_core::names::UnitName;
use renewd_core::unit::{ActOutcome, Activity, OnChange};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::Places;
use crate::units::{Activation, UnitFacts, Units, UnitsError};

/// A host in a temporary directory, and the units that its systemd knows.
struct Host {
    dir: TempDir,
    places: Places,
    units: Listed,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o755);
        let places = Places {
            config: dir.path().join("etc"),
            state: dir.path().join("state"),
            runtime: dir.path().join("run"),
        };
        let host = Self {
            dir,
            places,
            units: Listed::default(),
        };
        for path in ["etc/certs.d", "rules.d", "state/store", "state/certs"] {
            let path = host.path(path);
            fs::create_dir_all(&path).unwrap();
            mode(&path, 0o755);
        }
        mode(&host.path("etc"), 0o755);
        mode(&host.path("state/store"), 0o700);
        host.write("etc/renewd.toml", "[issuer.internal]\ntype = \"local\"\n");
        host
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        mode(&self.path(name), 0o644);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A certificate with one dependent.
    fn certificate(&self, name: &str, unit: &str, rest: &str) {
        let text = format!("names = [\"{name}.example.org\"]\n\n[unit.\"{unit}\"]\n{rest}\n");
        self.write(&format!("etc/certs.d/{name}.toml"), &text);
    }

    /// A unit that runs and can reload, changed as the test wants it.
    fn unit(&mut self, name: &str, change: impl FnOnce(&mut UnitFacts)) {
        let mut facts = facts(name);
        change(&mut facts);
        let known = self.units.0.get_or_insert_default();
        known.insert(name.parse().unwrap(), facts);
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn facts(name: &str) -> UnitFacts {
    UnitFacts {
        activity: Activity::Running,
        load_state: "loaded".to_owned(),
        active_state: "active".to_owned(),
        sub_state: "running".to_owned(),
        can_reload: true,
        canonical: name.to_owned(),
        unit_file_state: "enabled".to_owned(),
        service_type: "notify".to_owned(),
        is_umbrella: false,
        needs_daemon_reload: false,
        start_limit: None,
        after: Vec::new(),
        credentials: Vec::new(),
        refreshes_credentials: false,
    }
}

/// The units of a host, where `None` is a host without a bus; and those it has no answer for.
#[derive(Default)]
struct Listed(Option<BTreeMap<UnitName, UnitFacts>>, BTreeSet<UnitName>);

impl Units for Listed {
    fn facts<'a>(&'a self, unit: &'a UnitName) -> BoxFuture<'a, Result<UnitFacts, UnitsError>> {
        let answer = match &self.0 {
            None => Err(UnitsError::BusSilent(Duration::from_secs(1))),
            Some(_) if self.1.contains(unit) => Err(UnitsError::NoAnswer {
                unit: unit.to_string(),
                deadline: Duration::from_secs(1),
                asked: false,
            }),
            Some(known) => Ok(known.get(unit).cloned().unwrap_or_else(|| UnitFacts {
                activity: Activity::Missing,
                load_state: "not-found".to_owned(),
                can_reload: false,
                ..facts(unit.as_str())
            })),
        };
        async move { answer }.boxed()
    }

    fn act<'a>(&'a self, _: &'a UnitName, _: OnChange, _: Duration) -> BoxFuture<'a, ActOutcome> {
        unreachable!("renewctl never acts on a unit")
    }

    fn revive<'a>(&'a self, _: &'a UnitName, _: Duration) -> BoxFuture<'a, ActOutcome> {
        unreachable!("renewctl never acts on a unit")
    }

    fn activations(&self, _: &[UnitName]) -> mpsc::Receiver<Activation> {
        unreachable!("renewctl never waits for a unit")
    }

    fn system_is_stopping(&self) -> BoxFuture<'_, bool> {
        async { false }.boxed()
    }
}
