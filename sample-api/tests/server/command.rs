//! The program itself: its command line, its exit codes, and what it tells systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use crate::site::{DEADLINE, Pair, Site};

struct Program<'a> {
    site: &'a Site,
    config: PathBuf,
}

impl<'a> Program<'a> {
    fn new(site: &'a Site, more: &str) -> Self {
        let config = site.path().join("config.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nhealth = \"127.0.0.1:0\"\ncertificate = {:?}\nadmin = {:?}\n{more}",
            site.directory(),
            site.path().join("admin.sock"),
        );
        fs::write(&config, text).unwrap();
        Self { site, config }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_renewd-sample-api"));
        command.arg(name).arg("--config").arg(&self.config);
        command
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET");
        command
    }

    fn run(&self, name: &str) -> (i32, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(name).output().unwrap();
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        (status.code().unwrap(), said)
    }

    fn serve(&self) -> Serving {
        let notify = self.site.path().join("notify.sock");
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let child = self
            .command("serve")
            .env("NOTIFY_SOCKET", notify)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Serving { child, socket }
    }
}

struct Serving {
    child: Child,
    socket: UnixDatagram,
}

impl Serving {
    /// Everything that systemd is told up to a message that starts so.
    fn told(&self, until: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).expect(until);
            let text = String::from_utf8_lossy(&buffer[..length]);
            all.extend(text.lines().map(str::to_owned));
            if all.iter().any(|line| line.starts_with(until)) {
                return all;
            }
        }
    }

    fn terminate(mut self) -> Option<i32> {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        self.told("STOPPING=1");
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running after SIGTERM");
            std::thread::yield_now();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_tells_systemd_when_it_is_ready_what_it_serves_and_when_it_stops() {
    let site = Site::new();
    let serving = Program::new(&site, "").serve();
    let told = serving.told("READY=1");
    assert!(
        told.iter()
            .any(|line| line.starts_with("STATUS=serving generation 1,")),
        "{told:?}"
    );
    site.publish(2, &site.authority.server());
    serving.told("STATUS=serving generation 2,");
    assert_eq!(serving.terminate(), Some(0));
}

#[test]
fn reload_succeeds_only_if_the_new_pair_is_in_use() {
    let site = Site::new();
    let program = Program::new(&site, "");
    let serving = program.serve();
    serving.told("READY=1");
    let mode = fs::metadata(site.path().join("admin.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    site.publish(2, &site.authority.server());
    let (code, said) = program.run("reload");
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("serving generation 2, "), "{said}");

    let mixed = Pair {
        key: site.authority.server().key,
        chain: site.authority.server().chain,
        serial: 0,
    };
    site.publish(3, &mixed);
    let (code, said) = program.run("reload");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("generation 3 refused: key.pem and fullchain.pem do not make a pair"),
        "{said}"
    );
    serving.told("STATUS=serving generation 2, serial");

    let (code, said) = program.run("status");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("serving generation 2,")
            && said.contains("last reload: generation 3 refused"),
        "{said}"
    );
    assert_eq!(serving.terminate(), Some(0));

    let (code, said) = program.run("reload");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no server answers at"), "{said}");
}

#[test]
fn a_server_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let site = Site::new();
    let program = Program::new(&site, "");
    let first = program.serve();
    first.told("READY=1");
    drop(first);
    fs::remove_file(site.path().join("notify.sock")).unwrap();
    let second = program.serve();
    second.told("READY=1");
    assert_eq!(program.run("status").0, 0);
}

#[test]
fn it_does_not_start_without_a_usable_certificate_and_says_why() {
    let site = Site::empty();
    let program = Program::new(&site, "");
    let (code, said) = program.run("serve");
    assert_eq!(code, 1);
    assert!(said.contains("no certificate is published here"), "{said}");

    fs::remove_dir(site.directory()).unwrap();
    let (code, said) = program.run("serve");
    assert_eq!(code, 1);
    assert!(
        said.contains("cannot watch the certificate's directory"),
        "{said}"
    );
}

#[test]
fn a_broken_configuration_is_refused_by_file_and_line() {
    let site = Site::new();
    let program = Program::new(&site, "lissten = 1\n");
    for command in ["serve", "reload", "status"] {
        let (code, said) = program.run(command);
        assert_eq!(code, 78, "{said}");
        assert!(
            said.contains("config.toml:5: unknown field `lissten`"),
            "{said}"
        );
    }
}
