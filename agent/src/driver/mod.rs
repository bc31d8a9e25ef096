//! The driver: carries out what the pure core decides. One lane per certificate ([`lane`]), one per unit
//! ([`unit_lane`]), and this: the lanes' life.
//!
//! One certificate's way from due to served is in [`lane`]. The driver never decides what follows from
//! what: that is `renewd_core`'s. What operators may ask is in [`daemon`].

mod accepted;
mod asked;
mod daemon;
mod entrust;
mod fallback;
mod issue;
mod issuers;
mod lane;
mod look;
mod narrate;
mod recover;
mod report;
mod sound;
#[cfg(test)]
mod tests;
mod trust;
mod unit_lane;
mod watchers;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use renewd_core::names::{CertificateName, IssuerName};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::config::{CertificateSettings, Environment, IssuerSettings, Settings};
use crate::control::Daemon;
use crate::control::report::ReloadReport;
use crate::driver::accepted::Accepted;
use crate::driver::lane::{Command, Lane, View};
use crate::issuer::Issuer;
use crate::journal::{self, Event};

pub use world::{Chance, World};

/// How long a reload asks systemd about a unit.
const ASK_SYSTEMD: Duration = Duration::from_secs(5);

/// What the composition root knows of issuers: the concrete types.
pub trait Issuers {
    /// Makes an issuer of its settings.
    fn make(&self, settings: &IssuerSettings) -> Rc<dyn Issuer>;

    /// The root of an issuer that has one of its own, as PEM.
    ///
    /// # Errors
    /// In words, when it has none, or none yet.
    fn root_pem(&self, settings: &IssuerSettings) -> Result<String, String>;
}

/// Says why units may refuse what these settings ask of them, if they may.
pub type StaleRule = Box<dyn Fn(&Settings) -> Option<String>>;

/// What a driver works with besides the world.
pub struct Setup {
    /// Where the configuration is.
    pub configuration: PathBuf,
    /// What it is read under.
    pub environment: Box<dyn Fn() -> Environment>,
    /// What makes issuers.
    pub issuers: Box<dyn Issuers>,
    /// Looks whether the polkit rule is that of the settings.
    pub stale_rule: StaleRule,
    /// Told before each certificate's record and files are read, which takes time on a slow disk.
    pub opening: Box<dyn Fn()>,
    /// The certificates whose file cannot be used at this start, and what is wrong with it.
    pub bad_files: BTreeMap<CertificateName, String>,
}

/// All certificates.
pub struct Driver {
    world: Rc<World>,
    setup: Setup,
    settings: RefCell<Settings>,
    lanes: RefCell<BTreeMap<CertificateName, LaneHandle>>,
    running: Cell<bool>,
    reloading: Mutex<()>,
    accepted: Accepted,
    /// Until a configuration without errors is in force.
    bad_files: RefCell<BTreeMap<CertificateName, String>>,
}

/// A lane, seen from outside. Dropped, it takes the lane with it.
struct LaneHandle {
    settings: Rc<CertificateSettings>,
    view: Rc<View>,
    commands: mpsc::UnboundedSender<Command>,
    waiting: RefCell<Option<mpsc::UnboundedReceiver<Command>>>,
    task: RefCell<Option<AbortHandle>>,
}

impl LaneHandle {
    fn tell(&self, command: Command) {
        // A lane that panicked hears nothing any more; its view says so.
        let _ = self.commands.send(command);
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.abort();
        }
    }
}

impl Driver {
    /// Brings every certificate's record into agreement with what is published. Asks nobody anything:
    /// afterwards the daemon is ready.
    pub fn recover(world: Rc<World>, mut setup: Setup, settings: Settings) -> Rc<Self> {
        let bad_files = std::mem::take(&mut setup.bad_files);
        let driver = Rc::new(Self {
            world,
            setup,
            settings: RefCell::default(),
            lanes: RefCell::default(),
            running: Cell::new(false),
            reloading: Mutex::default(),
            accepted: Accepted::default(),
            bad_files: RefCell::new(bad_files),
        });
        driver.put_in_force(settings);
        driver.stale_rule();
        driver
    }

    /// Lets the lanes run.
    pub fn run(&self) {
        self.running.set(true);
        let lanes = self.lanes.borrow();
        // All lanes are made before any runs, so that a unit's lane knows whom to wait for.
        let made: Vec<_> = lanes
            .values()
            .filter_map(|handle| Some((handle, self.make_lane(handle)?)))
            .collect();
        for (handle, lane) in made {
            self.spawn(handle, lane);
        }
        tokio::task::spawn_local(tell_of_clock_steps(self.world.clone()));
    }

    /// Begins no further step. What is under way is in the records.
    pub fn stop(&self) {
        self.world.stopping.set(true);
        self.lanes.borrow_mut().clear();
        self.accepted.give_up();
    }

    /// Makes lanes of new settings, tells the others, and lets go of those that left.
    fn put_in_force(&self, settings: Settings) -> ReloadReport {
        let mut report = ReloadReport::default();
        let replaced: Rc<[IssuerName]> = self.make_issuers(&settings).into();
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|name, _| {
            let stays = settings.certificates.contains_key(name);
            if !stays {
                self.world.credentials.entrust(name, Vec::new());
                report.removed.push(name.to_string());
            }
            stays
        });
        let mut made = Vec::new();
        for (name, certificate) in &settings.certificates {
            let certificate = Rc::new(certificate.clone());
            let known = lanes.get_mut(name);
            match &known {
                None => report.added.push(name.to_string()),
                Some(handle) if *handle.settings != *certificate => {
                    report.changed.push(name.to_string());
                }
                Some(_) => {}
            }
            match known.filter(|handle| handle.view.held().is_none()) {
                Some(handle) => {
                    let record = handle.view.record();
                    entrust::settings_in_force(&self.world, &certificate, &record);
                    handle.settings = certificate.clone();
                    handle.tell(Command::Configure(certificate, replaced.clone()));
                }
                // New, or held: the reason may have gone.
                None => {
                    lanes.insert(name.clone(), self.open(certificate));
                    made.push(name.clone());
                }
            }
        }
        // Before any lane runs: a lane knows whom else a new root must have come to.
        for handle in lanes.values() {
            self.world.hearsay.asks(&handle.settings, &handle.view);
        }
        if self.running.get() {
            for handle in made.iter().filter_map(|name| lanes.get(name)) {
                if let Some(lane) = self.make_lane(handle) {
                    self.spawn(handle, lane);
                }
            }
        }
        drop(lanes);
        if self.world.credentials.is_unserved() {
            journal::emit(&Event::CredentialsUnserved);
        }
        self.accepted.keep(&self.world, &settings);
        *self.settings.borrow_mut() = settings;
        self.world.changed();
        report
    }

    /// Issuers whose settings did not change stay as they are; returns those that did not stay.
    fn make_issuers(&self, settings: &Settings) -> Vec<IssuerName> {
        let mut replaced = Vec::new();
        let mut held = self.world.issuers.borrow_mut();
        let mut issuers: BTreeMap<IssuerName, Rc<dyn Issuer>> = BTreeMap::new();
        for (name, issuer) in &settings.issuers {
            let unchanged = self.settings.borrow().issuers.get(name) == Some(issuer);
            let made = held.remove(name).filter(|_| unchanged);
            let made = made.unwrap_or_else(|| {
                self.world.hearsay.forget(name);
                replaced.push(name.clone());
                self.setup.issuers.make(issuer)
            });
            issuers.insert(name.clone(), made);
        }
        *held = issuers;
        replaced
    }

    fn open(&self, settings: Rc<CertificateSettings>) -> LaneHandle {
        (self.setup.opening)();
        let view = recover::view(&self.world, &settings);
        if let Some(why) = view.held() {
            journal::emit(&Event::CertificateHeld {
                certificate: settings.name.clone(),
                why,
            });
        }
        entrust::settings_in_force(&self.world, &settings, &view.record());
        let (commands, waiting) = mpsc::unbounded_channel();
        LaneHandle {
            settings,
            view: Rc::new(view),
            commands,
            waiting: RefCell::new(Some(waiting)),
            task: RefCell::new(None),
        }
    }

    fn make_lane(&self, handle: &LaneHandle) -> Option<Lane> {
        if handle.view.held().is_some() {
            return None;
        }
        let (settings, view) = (handle.settings.clone(), handle.view.clone());
        Some(Lane::new(self.world.clone(), settings, view))
    }

    /// Runs a lane; a panic in it holds its certificate and nothing else.
    fn spawn(&self, handle: &LaneHandle, lane: Lane) {
        let Some(waiting) = handle.waiting.borrow_mut().take() else {
            return;
        };
        let task = tokio::task::spawn_local(lane.run(waiting));
        *handle.task.borrow_mut() = Some(task.abort_handle());
        let (world, view) = (self.world.clone(), handle.view.clone());
        let certificate = handle.settings.name.clone();
        tokio::task::spawn_local(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                let why =
                    "an internal error (a panic, see the journal); what is published stays, and \
                           a reload or restart of renewd tries again"
                        .to_owned();
                view.hold(why.clone());
                world.changed();
                journal::emit(&Event::CertificateHeld { certificate, why });
            }
        });
    }

    /// Says so when units may refuse to reload.
    fn stale_rule(&self) -> Option<String> {
        let why = (self.setup.stale_rule)(&self.settings.borrow())?;
        journal::emit(&Event::PolkitStale);
        Some(format!("{why}; run \"renewctl apply\" as root"))
    }

    /// Resolves when every lane has answered: the watchdog is fed by progress.
    pub async fn progress(&self) {
        let answers: Vec<_> = self
            .lanes
            .borrow()
            .values()
            // A held one has no lane.
            .filter(|handle| handle.view.held().is_none())
            .map(|handle| {
                let (reply, answer) = oneshot::channel();
                handle.tell(Command::Ping(reply));
                answer
            })
            .collect();
        join_all(answers).await;
    }

    /// The line that `systemctl status` shows.
    pub fn status_line(&self) -> String {
        report::status_line(&self.status(), self.world.now())
    }
}

async fn tell_of_clock_steps(world: Rc<World>) {
    let mut steps = world.clock.steps();
    while steps.changed().await.is_ok() {
        let detail = format!("it stands at {} now", world.now().strftime("%FT%TZ"));
        journal::emit(&Event::ClockStepped { detail });
    }
}
