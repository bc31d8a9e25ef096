//! The composition root: names the concrete types, and the order in which a daemon comes up and goes.
//!
//! Configuration → store (and its lock) → sockets → recovery → `READY=1` → lanes. Nothing before READY asks
//! a CA, a unit or a service for anything: boots must not wait for each other.

mod configuration;
mod issuers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use clap::{Parser, ValueHint};
use renewd_core::schedule;
use renewd_store::disk::Disk;
use renewd_store::{Store, StoreError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, Settings};
use crate::control::{self, BindError, Daemon, Listeners};
use crate::credentials;
use crate::ctl;
use crate::driver::{Driver, Setup, World};
use crate::inherited::Inherited;
use crate::issuer::Challenges;
use crate::journal::{self, Event};
use crate::keys;
use crate::kinds::KINDS;
use crate::notify;
use crate::probe::TlsProbe;
use crate::secret::Secrets;
use crate::units::Systemd;

pub use issuers::issuer_directory;

use issuers::ConcreteIssuers;

/// Keeps short-lived TLS certificates fresh, and proves that they are in use.
#[derive(Debug, Clone, Parser)]
#[command(name = "renewd", version)]
pub struct Places {
    /// The configuration: renewd.toml and certs.d
    #[arg(
        long = "config",
        value_name = "DIR",
        default_value = "/etc/renewd",
        value_hint = ValueHint::DirPath
    )]
    pub configuration: PathBuf,
    /// What is kept and published
    #[arg(long, value_name = "DIR", default_value = "/var/lib/renewd", value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
    /// The sockets
    #[arg(long, value_name = "DIR", default_value = "/run/renewd", value_hint = ValueHint::DirPath)]
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
        journal::emit(&Event::LogFilterRefused { error });
    }
    match run(places) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = ExitCode::from(error.exit_code());
            let error = error.to_string();
            journal::emit(&Event::CannotStart { error });
            code
        }
    }
}

fn run(places: Places) -> Result<(), StartError> {
    journal::emit(&Event::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    if let Err(error) = keys::forbid_core_dumps() {
        let error = error.to_string();
        journal::emit(&Event::CoreDumpsPossible { error });
    }
    // Before there is a second thread.
    let inherited = Inherited::take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    let tasks = LocalSet::new();
    let result = tasks.block_on(&runtime, serve(places, inherited));
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

fn bind(places: &Places, mut inherited: Inherited) -> Result<Bound, StartError> {
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
    };
    let store = Store::open(&places.state, Disk::default())?;
    let loaded = configuration::load(places, &store, &Environment::of_this_host(KINDS))?;
    let listeners = control::bind(&places.runtime)?;
    let challenges = Arc::<Challenges>::default();
    for (name, serve) in KINDS.iter().flat_map(|kind| kind.sockets) {
        if let Some(socket) = inherited.tcp(name)? {
            serve(socket, Arc::clone(&challenges))?;
        }
    }
    let issuers = Box::new(ConcreteIssuers {
        challenges,
        state: places.state.clone(),
        secrets: Secrets {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        },
        runtime: places.runtime.clone(),
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
        environment: Box::new(|| Environment::of_this_host(KINDS)),
        issuers,
        stale_rule: Box::new(stale_rule),
        opening: Box::new(notify::still_starting),
        bad_files: configuration::bad_files(&loaded),
    };
    let vault = Arc::clone(&world.credentials);
    let socket = inherited.unix(credentials::SOCKET_NAME)?;
    vault.set_served(socket.is_some());
    let driver = Driver::recover(world, setup, loaded.settings);
    if let Some(socket) = socket {
        // Who waits since before the start is answered from what was recovered.
        credentials::serve(socket, vault, tell_of_credential)?;
    }
    Ok(Bound {
        listeners,
        driver,
        clock,
        signals,
    })
}

async fn serve(places: Places, inherited: Inherited) -> Result<(), StartError> {
    let Bound {
        listeners,
        driver,
        clock,
        mut signals,
    } = bind(&places, inherited)?;
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

fn tell_of_credential(outcome: credentials::Outcome) {
    journal::emit(&match outcome {
        Ok((asked, given)) => Event::CredentialGiven {
            certificate: given.certificate,
            generation: given.generation,
            unit: asked.unit,
            credential: asked.credential,
        },
        Err(refusal) => Event::CredentialRefused {
            unit: refusal.asked().map(|asked| asked.unit.clone()),
            why: refusal.to_string(),
        },
    });
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
