//! The composition root: names the concrete types, and the order in which a daemon comes up and goes.
//!
//! Configuration → store (and its lock) → sockets → recovery → `READY=1` → lanes. Nothing before READY asks
//! a CA, a unit or a service for anything: boots must not wait for each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use renewd_core::names::CertificateName;
use renewd_core::schedule;
use renewd_store::disk::Disk;
use renewd_store::{Store, StoreError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Environment, Held, IssuerKind, IssuerSettings, Loaded, Settings, Texts};
use crate::control::{self, BindError, Daemon, Listeners};
use crate::ctl;
use crate::driver::{Driver, Issuers, Setup, World};
use crate::issuer::Issuer;
use crate::issuer::local::{LocalIssuer, LocalSettings};
use crate::journal::{self, Event};
use crate::keys;
use crate::notify;
use crate::probe::TlsProbe;
use crate::units::Systemd;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// `renewd.toml` and `certs.d`.
    pub configuration: PathBuf,
    /// What is kept and published.
    pub state: PathBuf,
    /// The sockets.
    pub runtime: PathBuf,
}

/// Why the daemon could not start. The exit code follows sysexits(3).
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `renewd.toml` is bad, and there is no last accepted one.
    #[error("the configuration was refused, and there is none that was accepted before:\n{}", .0.join("\n"))]
    Configuration(Vec<String>),
    /// The store cannot be used.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// A socket cannot be made.
    #[error("{0}: {cause}", cause = std::error::Error::source(.0).map_or_else(String::new, ToString::to_string))]
    Bind(#[from] BindError),
    /// The operating system gave no clock, signal handler or runtime.
    #[error("the system refused what every daemon needs: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => 78,
            Self::Store(StoreError::Locked { .. }) | Self::Bind(BindError::InUse { .. }) => 75,
            Self::Store(_) => 74,
            Self::Bind(_) => 73,
            Self::System(_) => 71,
        }
    }
}

/// Runs the daemon until it is told to end.
pub fn main(places: Places) -> ExitCode {
    let filter = std::env::var("RENEWD_LOG").ok();
    if let Err(error) = journal::init("renewd", filter.as_deref()) {
        tracing::warn!("RENEWD_LOG cannot be read: {error}");
    }
    match run(places) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("renewd cannot start: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(places: Places) -> Result<(), StartError> {
    journal::emit(&Event::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    if let Err(error) = keys::forbid_core_dumps() {
        tracing::warn!("core dumps could not be forbidden: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    let tasks = LocalSet::new();
    let result = tasks.block_on(&runtime, serve(places));
    drop(tasks);
    // A key may still be in the making; nobody waits for it.
    runtime.shutdown_background();
    result
}

/// Everything that must hold before the daemon is ready.
struct Bound {
    listeners: Listeners,
    driver: Rc<Driver>,
    clock: Rc<dyn Clock>,
    signals: Signals,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

fn bind(places: &Places) -> Result<Bound, StartError> {
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
    };
    let store = Store::open(&places.state, Disk::default())?;
    let loaded = load(places, &store, &Environment::of_this_host())?;
    let listeners = control::bind(&places.runtime)?;
    let issuers = Box::new(ConcreteIssuers {
        state: places.state.clone(),
    });
    let chance = Box::new(random_share);
    let clock = SystemClock::start()?;
    let world = World::new(
        store,
        Rc::new(Systemd::new(None)),
        Rc::new(TlsProbe),
        clock.clone(),
        chance,
    );
    let setup = Setup {
        configuration: places.configuration.clone(),
        environment: Box::new(Environment::of_this_host),
        issuers,
        stale_rule: Box::new(stale_rule),
        bad_files: bad_files(&loaded),
    };
    let driver = Driver::recover(world, setup, loaded.settings);
    Ok(Bound {
        listeners,
        driver,
        clock,
        signals,
    })
}

/// At start, what is bad in the configuration is held on what was accepted last, and said.
fn load(places: &Places, store: &Store, environment: &Environment) -> Result<Loaded, StartError> {
    let last = accepted(store);
    let loaded = config::load_at_start(&places.configuration, &last, environment);
    let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    if loaded.settings.issuers.is_empty() && !errors.is_empty() {
        return Err(StartError::Configuration(errors));
    }
    for (certificate, held) in &loaded.held {
        let mut errors: Vec<String> = loaded
            .errors_of(certificate)
            .map(ToString::to_string)
            .collect();
        errors.push(match held {
            Held::LastAccepted => "it goes on as it was last accepted".to_owned(),
            Held::Nothing => {
                "it has no accepted settings; what is published stays, and is not renewed"
                    .to_owned()
            }
        });
        journal::emit(&Event::ConfigurationHeld {
            certificate: certificate.clone(),
            errors,
        });
    }
    if loaded.main_held {
        tracing::error!(
            "renewd.toml is bad; what was accepted last is in force:\n{}",
            errors.join("\n")
        );
    } else if loaded.held.is_empty() && !errors.is_empty() {
        tracing::error!("the configuration has errors:\n{}", errors.join("\n"));
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded)
}

/// What is wrong with the files that cannot be used.
fn bad_files(loaded: &Loaded) -> BTreeMap<CertificateName, String> {
    let text = |name| {
        let errors: Vec<String> = loaded.errors_of(name).map(ToString::to_string).collect();
        errors.join("; ")
    };
    let held = loaded.held.keys();
    held.map(|name| (name.clone(), text(name))).collect()
}

/// The texts that were accepted last. One that cannot be read is done without: it is needed only where a
/// file is bad.
fn accepted(store: &Store) -> Texts {
    let told = |error| tracing::warn!("an accepted configuration is done without: {error}");
    let mut texts = Texts::default();
    for file in store.accepted_names().map_err(told).unwrap_or_default() {
        if let Some(text) = store.load_accepted(&file).map_err(told).ok().flatten() {
            texts.take_in(&file, text);
        }
    }
    texts
}

async fn serve(places: Places) -> Result<(), StartError> {
    let Bound {
        listeners,
        driver,
        clock,
        mut signals,
    } = bind(&places)?;
    notify::ready(&driver.status_line());
    journal::emit(&Event::Ready {
        certificates: driver.status().certificates.len(),
    });
    driver.run();
    let control = listeners.serve(driver.clone());
    let status = tell_status(driver.clone());
    let watchdog = feed_watchdog(driver.clone(), clock);
    let reloads = async {
        while signals.hang_up.recv().await.is_some() {
            // Its faults are in the journal.
            let _ = driver.reload().await;
        }
    };
    tokio::select! {
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
        () = control => {}
        () = status => {}
        () = watchdog => {}
        () = reloads => {}
    }
    notify::stopping();
    journal::emit(&Event::Stopping);
    driver.stop();
    Ok(())
}

/// Keeps the line that `systemctl status` shows; wakes up when something changed.
async fn tell_status(driver: Rc<Driver>) {
    let mut changes = driver.changes();
    while changes.changed().await.is_ok() {
        notify::status(&driver.status_line());
    }
}

/// Feeds the watchdog when every lane has answered.
///
/// Waits on the clock's one timer: tokio's own wakes up several times on the way to a later deadline.
async fn feed_watchdog(driver: Rc<Driver>, clock: Rc<dyn Clock>) {
    let Some(interval) = notify::watchdog_interval() else {
        return std::future::pending().await;
    };
    loop {
        driver.progress().await;
        notify::watchdog();
        clock
            .sleep_until(schedule::after(clock.now(), interval))
            .await;
    }
}

/// Why units may refuse what these settings ask of them; root needs no rule.
fn stale_rule(settings: &Settings) -> Option<String> {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return None;
    }
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| uid.to_string(), |user| user.name);
    ctl::stale_rule(settings, &name, Path::new(ctl::DIGEST_FILE))
}

/// A random number in 0..1, from the operating system.
fn random_share() -> f64 {
    let mut bytes = [0; 8];
    // Without randomness there are no keys either; the middle will do for a back-off.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => (u64::from_be_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64,
        Err(_) => 0.5,
    }
}

struct ConcreteIssuers {
    state: PathBuf,
}

impl ConcreteIssuers {
    fn directory(&self, settings: &IssuerSettings) -> PathBuf {
        issuer_directory(&self.state, settings)
    }
}

/// Where an issuer keeps its state.
pub fn issuer_directory(state: &Path, settings: &IssuerSettings) -> PathBuf {
    state
        .join("store")
        .join("issuer")
        .join(settings.name.as_str())
}

impl Issuers for ConcreteIssuers {
    fn make(&self, settings: &IssuerSettings) -> Rc<dyn Issuer> {
        match &settings.kind {
            IssuerKind::Local(local) => Rc::new(LocalIssuer::new(
                self.directory(settings),
                LocalSettings {
                    common_name: format!("renewd {}", settings.name),
                    root_life: local.root_lifetime,
                    issuing_life: local.intermediate_lifetime,
                    constraints: local.constraints.clone(),
                },
                Arc::new(Timestamp::now),
            )),
        }
    }

    fn root_pem(&self, settings: &IssuerSettings) -> Result<String, String> {
        match &settings.kind {
            IssuerKind::Local(_) => {
                LocalIssuer::root_pem(&self.directory(settings)).map_err(|error| error.to_string())
            }
        }
    }
}
