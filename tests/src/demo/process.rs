//! The programs under demonstration, as child processes that never outlive it.
//!
//! It must never leave one behind: each dies with its handle, and with this process, however
//! that ends. Its neighbour is [`super::place`], which holds their logs.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::error::DemoError;
use super::place::{Place, io};

/// First argument of the program itself when it is to become one of its children.
const GUARDED: &str = "--guarded";
/// Time to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of a log that are shown when something failed.
const TAIL: usize = 30;

/// The programs, found beside the one that runs.
pub(super) struct Programs {
    pub(super) renewd: PathBuf,
    pub(super) renewctl: PathBuf,
    pub(super) sample_api: PathBuf,
}

impl Programs {
    pub(super) fn beside_this_one() -> Result<Self, DemoError> {
        let this = this_program()?;
        let beside = |name| {
            let path = this.with_file_name(name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(DemoError::Missing { path })
            }
        };
        Ok(Self {
            renewd: beside("renewd")?,
            renewctl: beside("renewctl")?,
            sample_api: beside("renewd-sample-api")?,
        })
    }
}

/// Turns this process into the program that its arguments name, tied to its parent's life.
///
/// The tie must be made by the child itself, between fork and exec; doing so without `unsafe`
/// takes a program in between, and that is this one. Returns if the arguments do not ask for it,
/// and otherwise only when it failed.
#[must_use]
pub fn become_guarded(arguments: &[OsString]) -> Option<std::io::Error> {
    let [_, mode, parent, program, rest @ ..] = arguments else {
        return None;
    };
    if mode != GUARDED {
        return None;
    }
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return Some(error.into());
    }
    // The parent may have died before the tie was made.
    if getppid().to_string().as_str() != parent {
        return Some(std::io::Error::other("the parent is gone"));
    }
    Some(std::process::Command::new(program).args(rest).exec())
}

/// A command that dies with this process and knows nothing of the host's systemd or bus.
///
/// Must be spawned on the main thread: the tie is to the thread that forks.
pub(crate) fn guarded(program: &Path, no_bus: &Path) -> Result<Command, DemoError> {
    let mut command = Command::new(this_program()?);
    command
        .arg(GUARDED)
        .arg(std::process::id().to_string())
        .arg(program)
        // Ctrl-C is for the demo alone; it ends the others in their order.
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .env_clear()
        .env("DBUS_SYSTEM_BUS_ADDRESS", unix_address(no_bus));
    for name in [
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "RUST_LOG",
        "RUST_BACKTRACE",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Ok(command)
}

/// A program that runs until it is stopped.
pub(super) struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Process {
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[OsString],
        place: &Place,
    ) -> Result<Self, DemoError> {
        let log = place.path("log").join(name).with_extension("log");
        let out = || File::options().create(true).append(true).open(&log);
        let open = |source| io("write", &log, source);
        let child = guarded(program, &place.no_bus())?
            .args(arguments)
            .stdout(out().map_err(open)?)
            .stderr(out().map_err(open)?)
            .spawn()
            .map_err(|source| io("start", program, source))?;
        Ok(Self { name, log, child })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// # Errors
    ///
    /// When the program has ended.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        match self.ended() {
            Some(status) => Err(DemoError::Ended {
                name: self.name,
                status,
            }),
            None => Ok(()),
        }
    }

    /// Asks it to end, then makes it; whether it did so by itself.
    pub(super) async fn stop(&mut self) -> bool {
        self.signal(Signal::SIGTERM);
        if timeout(GRACE, self.child.wait()).await.is_ok() {
            return true;
        }
        self.kill().await;
        false
    }

    pub(super) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        // Nothing to do about a process that not even SIGKILL ends.
        let _ = timeout(GRACE, self.child.wait()).await;
    }

    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// To its whole group, as long as it has not been waited for (its number may be reused then).
    fn signal(&self, signal: Signal) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // An error means that it has just ended.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn this_program() -> Result<PathBuf, DemoError> {
    std::env::current_exe().map_err(|source| io("find", Path::new("this program"), source))
}

fn unix_address(path: &Path) -> OsString {
    let mut address = OsString::from("unix:path=");
    address.push(path);
    address
}
