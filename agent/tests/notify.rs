//! What the daemon tells systemd, over a real socket: that a long start goes on, that it is ready, how it
//! stands, and that it stops.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DEADLINE: Duration = Duration::from_secs(20);

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon with these certificates that tells this socket.
fn start(directory: &Path, certificates: &[&str]) -> (Daemon, UnixDatagram) {
    fs::create_dir_all(directory.join("config/certs.d")).unwrap();
    fs::write(
        directory.join("config/renewd.toml"),
        "[issuer.internal]\ntype = \"local\"\n",
    )
    .unwrap();
    for name in certificates {
        let user = nix::unistd::geteuid();
        let group = nix::unistd::getegid();
        fs::write(
            directory.join(format!("config/certs.d/{name}.toml")),
            format!("names = [\"{name}.test\"]\nowner = \"{user}\"\ngroup = \"{group}\"\n"),
        )
        .unwrap();
    }
    let path = directory.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_renewd"));
    for place in ["config", "state", "runtime"] {
        command.arg(format!("--{place}")).arg(directory.join(place));
        fs::create_dir_all(directory.join(place)).unwrap();
    }
    let child = command
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Daemon(child), socket)
}

fn hear(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("another word in time");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_long_start_asks_for_time_before_it_is_ready_and_the_end_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, socket) = start(directory.path(), &["api", "web"]);
    let mut heard = Vec::new();
    while !heard
        .last()
        .is_some_and(|word: &String| word.contains("READY=1"))
    {
        heard.push(hear(&socket));
    }
    // One for each certificate that is opened, and nothing else before it is ready.
    let (ready, before) = heard.split_last().unwrap();
    assert_eq!(before.len(), 2, "{heard:?}");
    assert!(
        before
            .iter()
            .all(|word| word.starts_with("EXTEND_TIMEOUT_USEC=60000000")),
        "{heard:?}"
    );
    assert!(ready.contains("STATUS=2 certificates"), "{ready}");
    let pid = Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    loop {
        let word = hear(&socket);
        if word.contains("STOPPING=1") {
            assert!(word.contains("published files stay"), "{word}");
            break;
        }
        assert!(word.starts_with("STATUS="), "{word}");
    }
}
