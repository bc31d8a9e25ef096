//! A booted machine: a real systemd in `systemd-nspawn`, over an overlay in memory.
//!
//! Owns the machine from boot to removal, and every way into it. Several run at once without meeting: each has its own
//! name, control group, network and process namespace. What a scenario does in it is the scenario's; what renewd offers
//! is in [`crate::agent`].

mod inside;
mod sweep;

pub use sweep::sweep;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::cgroup::ControlGroup;
use crate::failure::{Failure, Result, expect};
use crate::overlay::Overlay;
use crate::packages::{self, Packages};
use crate::program::{Finished, run};
use crate::wait::wait_until;

/// A boot takes half a second; this much allows for a loaded host.
const BOOT: Duration = Duration::from_secs(60);
/// What a single command in a machine may take.
const COMMAND: Duration = Duration::from_secs(60);
/// With `--keep-unit`, nspawn ends with this code when the machine asked to be rebooted (`EXIT_FORCE_RESTART`).
const REBOOT: i32 = 133;

/// Enters the control groups given before `--`, then becomes nspawn in a process namespace of its own: when the runner
/// dies, however it dies, the kernel ends all of the machine.
const START: &str = r#"
while [ "$1" != -- ]; do echo $$ > "$1"; shift; done
shift
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc systemd-nspawn "$@"
"#;

/// A running machine. Dropping it ends it and removes all that it left on the host.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: the process, its group, the mounts, the directory below them.
    process: Run,
    group: ControlGroup,
    overlay: Overlay,
    scratch: TempDir,
    name: String,
    packages: String,
}

/// One boot of a machine.
#[derive(Debug)]
struct Run {
    nspawn: Child,
    /// The machine's init, as the host sees it; 0 until it is known.
    init: u32,
}

impl Machine {
    /// Boots a machine over the layers (topmost first), and waits until systemd has started all that is enabled.
    ///
    /// # Errors
    /// When it does not come up; the console is in the error.
    pub fn boot(layers: &[&Path], packages: &Packages) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "renewd-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let scratch = tempfile::Builder::new()
            .prefix(&name)
            .tempdir()
            .map_err(Failure::io("make", "a directory for temporary files"))?;
        let overlay = Overlay::in_memory(layers, scratch.path())?;
        let group = ControlGroup::create(&name)?;
        let packages = packages.directory().display().to_string();
        let process = start(&name, &overlay, &group, scratch.path(), &packages)?;
        let mut machine = Self {
            process,
            group,
            overlay,
            scratch,
            name,
            packages,
        };
        machine.await_boot()?;
        Ok(machine)
    }

    /// Shuts the machine down in order, and boots it again on the same disk.
    ///
    /// # Errors
    /// When it does not shut down, or does not come up again.
    pub fn reboot(&mut self) -> Result<()> {
        let status = self.shut_down("reboot")?;
        expect(
            status.code() == Some(REBOOT),
            "the machine asks to be booted again",
            status,
        )?;
        // The group goes on as it is: one that was killed kills what systemd 257 clones into it (`CLONE_INTO_CGROUP`)
        // for ever after, and nothing is left in it anyway.
        self.process = start(
            &self.name,
            &self.overlay,
            &self.group,
            self.scratch.path(),
            &self.packages,
        )?;
        self.await_boot()
    }

    /// Shuts the machine down in order.
    ///
    /// # Errors
    /// When it does not.
    pub fn power_off(&mut self) -> Result<()> {
        let status = self.shut_down("poweroff")?;
        expect(status.success(), "the machine powers off", status)
    }

    /// The journal of this boot; after the machine's end, that of all boots, read from its disk.
    #[must_use]
    pub fn journal(&self) -> String {
        let arguments = [
            "journalctl",
            "--no-pager",
            "--quiet",
            "--output=short-monotonic",
        ];
        let inside = self.attempt(&[&arguments[..], &["--boot"]].concat());
        let text = inside.and_then(Finished::success).or_else(|_| {
            let directory = format!(
                "--directory={}",
                self.overlay.root().join("var/log/journal").display()
            );
            run(&[&arguments[..], &[&directory]].concat(), &[], COMMAND).and_then(Finished::success)
        });
        text.unwrap_or_else(|failure| format!("no journal: {failure}"))
    }

    /// The network namespace, for a client of this process that talks to the machine's loopback addresses.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn network(&self) -> Result<File> {
        let path = format!("/proc/{}/ns/net", self.process.init);
        File::open(&path).map_err(Failure::io("open", &path))
    }

    /// The command that opens a shell in the machine.
    #[must_use]
    pub fn way_in(&self) -> String {
        format!("nsenter --target {} --all", self.process.init)
    }

    /// Where a file of the machine's disk is for a program of the host; not for `/run` and `/tmp`, which are no part of
    /// the disk.
    #[must_use]
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.overlay.root().join(path.trim_start_matches('/'))
    }

    fn shut_down(&mut self, verb: &str) -> Result<ExitStatus> {
        // The command's own end is not looked at: systemd may end it before it has answered.
        self.attempt(&["systemctl", "--no-block", verb])?;
        let nspawn = &mut self.process.nspawn;
        wait_until("the machine has shut down", BOOT, || {
            let ended = nspawn
                .try_wait()
                .map_err(Failure::io("await", "systemd-nspawn"))?;
            ended.ok_or_else(|| Failure::Expectation {
                expected: "an ended machine".into(),
                found: "a running one".into(),
            })
        })
    }

    fn await_boot(&mut self) -> Result<()> {
        let outcome = wait_until("the machine's init runs", BOOT, || {
            self.process.expect_running()?;
            self.process.init = grandchild(self.process.nspawn.id())?;
            // Degraded is up, too: a scenario that cares for failed units looks at them.
            let state = self.attempt(&["systemctl", "is-system-running"])?.output();
            expect(
                matches!(state.trim(), "running" | "degraded"),
                "a running system",
                state.trim(),
            )
        });
        outcome.map_err(|failure| Failure::Expectation {
            expected: "a booted machine".to_owned(),
            found: format!(
                "{failure}\n{}",
                fs::read_to_string(self.scratch.path().join("console")).unwrap_or_default()
            ),
        })
    }
}

impl Run {
    fn expect_running(&mut self) -> Result<()> {
        let ended = self
            .nspawn
            .try_wait()
            .map_err(Failure::io("await", "systemd-nspawn"))?;
        expect(
            ended.is_none(),
            "systemd-nspawn runs",
            format_args!("{ended:?}"),
        )
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.nspawn.kill().ok();
        self.nspawn.wait().ok();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.group.kill();
        // nspawn removes these itself, unless it was killed.
        for place in ["propagate", "unix-export"] {
            fs::remove_dir(
                Path::new("/run/systemd/nspawn")
                    .join(place)
                    .join(&self.name),
            )
            .ok();
        }
    }
}

fn start(
    name: &str,
    overlay: &Overlay,
    group: &ControlGroup,
    scratch: &Path,
    packages: &str,
) -> Result<Run> {
    let console_path = scratch.join("console");
    let console = File::create(&console_path).map_err(Failure::io("make", &console_path))?;
    let errors = console
        .try_clone()
        .map_err(Failure::io("duplicate", &console_path))?;
    let mut command = Command::new("sh");
    command
        .args(["-euc", START, "start"])
        .args(group.doors())
        .args(["--", "--quiet", "--boot", "--register=no", "--keep-unit"]);
    command
        // What a container may not ask for, its kernel seems not to have.
        .arg(
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
        )
        .args(["--private-network", "--machine", name, "--directory"])
        .arg(overlay.root());
    command.arg(format!("--bind-ro={packages}:{}", packages::IN_MACHINE));
    command.stdin(Stdio::null()).stdout(console).stderr(errors);
    let nspawn = command
        .spawn()
        .map_err(Failure::io("start", "systemd-nspawn"))?;
    Ok(Run { nspawn, init: 0 })
}

/// The machine's init: the child of nspawn, which is the child of the `unshare` that we started.
fn grandchild(process: u32) -> Result<u32> {
    let child = |parent: u32| -> Result<u32> {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let mut text = String::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(Failure::io("read", &path))?;
        let first = text
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        first.ok_or_else(|| Failure::Expectation {
            expected: format!("a child of process {parent}"),
            found: "none yet".into(),
        })
    };
    child(process).and_then(child)
}
