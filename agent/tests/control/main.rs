//! The control sockets and `renewctl`, over real sockets, with a stand-in for the driver.

mod abuse;
mod commands;
mod completion;
mod fake;
mod protocol;
mod waiting;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The user and group `nobody`/`nogroup`: 65534 on every Linux system.
const NOBODY: u32 = 65534;

/// How long anything may take here before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// `renewctl` with the directories of a test.
fn renewctl(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(reachable_renewctl());
    command
        .arg("--runtime")
        .arg(dir.join("run"))
        .arg("--state")
        .arg(dir.join("state"))
        .arg("--config")
        .arg(dir.join("config"))
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// A copy of the program where every user can execute it: the build directory may be closed to others.
fn reachable_renewctl() -> &'static Path {
    use std::sync::OnceLock;
    static COPY: OnceLock<std::path::PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let directory = open_dir().keep();
        let path = directory.join("renewctl");
        std::fs::copy(env!("CARGO_BIN_EXE_renewctl"), &path).unwrap();
        path
    })
}

/// A temporary directory that every user may enter.
fn open_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Runs to the end, with a deadline.
fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + DEADLINE;
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut texts = (Vec::new(), Vec::new());
        if let Some(stdout) = &mut stdout {
            stdout.read_to_end(&mut texts.0).unwrap();
        }
        if let Some(stderr) = &mut stderr {
            stderr.read_to_end(&mut texts.1).unwrap();
        }
        texts
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("still running: {:?}", reader.join().unwrap());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let (stdout, stderr) = reader.join().unwrap();
    Output {
        status,
        stdout,
        stderr,
    }
}

/// Runs a command; its exit code, standard output and standard error.
fn run(mut command: Command) -> (i32, String, String) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = finish(child);
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
