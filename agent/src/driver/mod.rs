//! The driver: carries out what the pure core decides. One lane per certificate ([`lane`]), one per unit
//! ([`unit_lane`]), and this: the lanes' life, what operators see of them, and what they may ask.
//!
//! One certificate's way from due to served is in [`lane`]; the steps that take time are in [`work`]. The
//! driver never decides what follows from what: that is `renewd_core`'s.

pub mod lane;
mod narrate;
mod recover;
mod report;
pub mod unit_lane;
pub mod work;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::record::Record;
use renewd_core::unit::OnChange;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::{self, CertificateSettings, Environment, IssuerSettings, Settings};
use crate::control::report::{CertificateDetail, ReloadReport, StatusReport, Step};
use crate::control::{ControlError, Daemon};
use crate::driver::lane::{Command, Lane};
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

/// All certificates.
pub struct Driver {
    world: Rc<World>,
    configuration: PathBuf,
    environment: Environment,
    issuers: Box<dyn Issuers>,
    settings: RefCell<Settings>,
    lanes: RefCell<BTreeMap<CertificateName, LaneHandle>>,
    running: Cell<bool>,
}

/// A lane, seen from outside.
struct LaneHandle {
    settings: Rc<CertificateSettings>,
    view: Rc<RefCell<Record>>,
    commands: mpsc::UnboundedSender<Command>,
    /// Why the certificate is left alone, if it is.
    held: Rc<RefCell<Option<String>>>,
    waiting: RefCell<Option<mpsc::UnboundedReceiver<Command>>>,
    task: RefCell<Option<AbortHandle>>,
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
    pub fn recover(
        world: Rc<World>,
        configuration: PathBuf,
        environment: Environment,
        issuers: Box<dyn Issuers>,
        settings: Settings,
    ) -> Rc<Self> {
        let driver = Rc::new(Self {
            world,
            configuration,
            environment,
            issuers,
            settings: RefCell::default(),
            lanes: RefCell::default(),
            running: Cell::new(false),
        });
        driver.put_in_force(settings);
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
            spawn(handle, lane);
        }
    }

    /// Begins no further step. What is under way is in the records.
    pub fn stop(&self) {
        self.world.stopping.set(true);
        self.lanes.borrow_mut().clear();
    }

    fn make_lane(&self, handle: &LaneHandle) -> Option<Lane> {
        if handle.held.borrow().is_some() {
            return None;
        }
        let record = handle.view.borrow().clone();
        Some(Lane::new(
            self.world.clone(),
            handle.settings.clone(),
            record,
            handle.view.clone(),
        ))
    }

    /// Makes lanes of new settings, tells the others, and lets go of those that left.
    fn put_in_force(&self, settings: Settings) -> ReloadReport {
        let mut report = ReloadReport::default();
        let mut issuers: BTreeMap<IssuerName, Rc<dyn Issuer>> = BTreeMap::new();
        for (name, issuer) in &settings.issuers {
            let unchanged = self.settings.borrow().issuers.get(name) == Some(issuer);
            let held = self
                .world
                .issuers
                .borrow()
                .get(name)
                .cloned()
                .filter(|_| unchanged);
            let made = held.unwrap_or_else(|| self.issuers.make(issuer));
            issuers.insert(name.clone(), made);
        }
        *self.world.issuers.borrow_mut() = issuers;
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|name, _| {
            let stays = settings.certificates.contains_key(name);
            if !stays {
                report.removed.push(name.to_string());
            }
            stays
        });
        for (name, certificate) in &settings.certificates {
            let certificate = Rc::new(certificate.clone());
            match lanes.get_mut(name) {
                Some(handle) => {
                    if *handle.settings != *certificate {
                        report.changed.push(name.to_string());
                    }
                    handle.settings = certificate.clone();
                    let _ = handle.commands.send(Command::Configure(certificate));
                }
                None => {
                    report.added.push(name.to_string());
                    let handle = self.open(certificate);
                    if self.running.get()
                        && let Some(lane) = self.make_lane(&handle)
                    {
                        spawn(&handle, lane);
                    }
                    lanes.insert(name.clone(), handle);
                }
            }
        }
        drop(lanes);
        self.keep_accepted(&settings);
        *self.settings.borrow_mut() = settings;
        self.world.changed();
        report
    }

    fn open(&self, settings: Rc<CertificateSettings>) -> LaneHandle {
        let (record, held) = recover::record(&self.world, &settings);
        if let Some(why) = &held {
            journal::emit(&Event::CertificateHeld {
                certificate: settings.name.clone(),
                why: why.clone(),
            });
        }
        let (commands, waiting) = mpsc::unbounded_channel();
        LaneHandle {
            settings,
            view: Rc::new(RefCell::new(record)),
            commands,
            held: Rc::new(RefCell::new(held)),
            waiting: RefCell::new(Some(waiting)),
            task: RefCell::new(None),
        }
    }

    /// The next start falls back to these texts where a file has become bad.
    fn keep_accepted(&self, settings: &Settings) {
        let texts = settings.accepted_texts();
        let main = texts
            .main
            .iter()
            .map(|text| ("renewd.toml".to_owned(), text));
        let certificates = texts
            .certificates
            .iter()
            .map(|(name, text)| (format!("{name}.certificate.toml"), text));
        for (file, text) in main.chain(certificates) {
            if let Err(error) = self.world.store.save_accepted(&file, text) {
                tracing::warn!(
                    "the accepted configuration could not be kept for the next start: {error}"
                );
            }
        }
    }

    /// Resolves when every lane has answered: the watchdog is fed by progress.
    pub async fn progress(&self) {
        let answers: Vec<_> = self
            .lanes
            .borrow()
            .values()
            .filter(|handle| handle.held.borrow().is_none())
            .filter_map(|handle| {
                let (reply, answer) = oneshot::channel();
                handle
                    .commands
                    .send(Command::Ping(reply))
                    .ok()
                    .map(|()| answer)
            })
            .collect();
        join_all(answers).await;
    }

    /// The line that `systemctl status` shows.
    pub fn status_line(&self) -> String {
        report::status_line(&self.status(), self.world.now())
    }

    /// What only systemd can tell about a configuration: units that cannot do what is asked.
    async fn unit_errors(&self, settings: &Settings) -> Vec<String> {
        let mut errors = Vec::new();
        for (_, dependent) in settings.units() {
            let unit = &dependent.dependent.unit;
            if dependent.dependent.on_change != OnChange::Reload {
                continue;
            }
            let Ok(Ok(facts)) = timeout(ASK_SYSTEMD, self.world.units.facts(unit)).await else {
                continue;
            };
            if facts.load_state == "loaded" && !facts.can_reload {
                errors.push(report::cannot_reload(dependent));
            }
        }
        errors
    }
}

/// Runs a lane; a panic in it holds its certificate and nothing else.
fn spawn(handle: &LaneHandle, lane: Lane) {
    let Some(waiting) = handle.waiting.borrow_mut().take() else {
        return;
    };
    let task = tokio::task::spawn_local(lane.run(waiting));
    *handle.task.borrow_mut() = Some(task.abort_handle());
    let (held, certificate) = (handle.held.clone(), handle.settings.name.clone());
    tokio::task::spawn_local(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            let why =
                "an internal error; what is published stays, and a restart of renewd tries again"
                    .to_owned();
            journal::emit(&Event::CertificateHeld {
                certificate,
                why: why.clone(),
            });
            *held.borrow_mut() = Some(why);
        }
    });
}

impl Daemon for Driver {
    fn status(&self) -> StatusReport {
        let now = self.world.now();
        let lanes = self.lanes.borrow();
        let certificates = lanes
            .values()
            .map(|lane| {
                report::status(
                    &lane.settings,
                    &lane.view.borrow(),
                    lane.held.borrow().as_deref(),
                    now,
                )
            })
            .collect();
        StatusReport { certificates }
    }

    fn show(&self, name: &CertificateName) -> Option<CertificateDetail> {
        let lanes = self.lanes.borrow();
        let lane = lanes.get(name)?;
        let directory = self.world.store.certificates().join(name.as_str());
        let held = lane.held.borrow();
        Some(report::detail(
            &lane.settings,
            &lane.view.borrow(),
            held.as_deref(),
            &directory,
            self.world.now(),
        ))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.world.changes.subscribe()
    }

    fn renew(
        &self,
        names: Vec<CertificateName>,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ControlError> {
        if self.world.stopping.get() {
            return Err(ControlError::Stopping);
        }
        let lanes = self.lanes.borrow();
        let (watcher, steps) = mpsc::unbounded_channel();
        let chosen = names
            .iter()
            .map(|name| {
                lanes
                    .get(name)
                    .ok_or_else(|| ControlError::NoSuchCertificate(name.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        for lane in chosen {
            if let Some(why) = lane.held.borrow().as_ref() {
                return Err(ControlError::Failed(format!(
                    "{} is held: {why}",
                    lane.settings.name
                )));
            }
            let _ = lane.commands.send(Command::Renew(watcher.clone()));
        }
        Ok(steps)
    }

    fn reload(&self) -> LocalBoxFuture<'_, Result<ReloadReport, Vec<String>>> {
        Box::pin(async {
            let loaded = config::load(&self.configuration, &self.environment);
            let mut errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            if errors.is_empty() {
                errors = self.unit_errors(&loaded.settings).await;
            }
            if !errors.is_empty() {
                journal::emit(&Event::ConfigurationRefused {
                    errors: errors.clone(),
                });
                return Err(errors);
            }
            let mut report = self.put_in_force(loaded.settings);
            report
                .warnings
                .extend(loaded.warnings.iter().map(ToString::to_string));
            journal::emit(&Event::ConfigurationReloaded {
                certificates: self.lanes.borrow().len(),
            });
            Ok(report)
        })
    }

    fn forget(&self, name: CertificateName) -> LocalBoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            if self.lanes.borrow().contains_key(&name) {
                return Err(ControlError::StillConfigured(name.to_string()));
            }
            let known = self
                .world
                .store
                .record_names()
                .map_err(|error| ControlError::Failed(error.to_string()))?;
            let published = self.world.store.certificates().join(name.as_str());
            if !known.contains(&name) && !published.exists() {
                return Err(ControlError::NoSuchCertificate(name.to_string()));
            }
            self.world
                .store
                .forget(&name)
                .map_err(|error| ControlError::Failed(error.to_string()))
        })
    }

    fn ca_root(&self, issuer: Option<&IssuerName>) -> Result<String, ControlError> {
        let settings = self.settings.borrow();
        let issuers = &settings.issuers;
        let chosen = match issuer {
            Some(name) => issuers
                .get(name)
                .ok_or_else(|| format!("there is no issuer named {name}")),
            None if issuers.len() > 1 => {
                let names: Vec<_> = issuers.keys().map(IssuerName::as_str).collect();
                Err(format!("say which issuer: {}", names.join(", ")))
            }
            None => issuers
                .values()
                .next()
                .ok_or_else(|| "no issuer is configured".to_owned()),
        };
        chosen
            .and_then(|settings| self.issuers.root_pem(settings))
            .map_err(ControlError::NoSuchIssuer)
    }
}
