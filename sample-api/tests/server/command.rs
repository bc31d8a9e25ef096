//! The program itself: its command line, its exit codes, and what it tells systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use crate::site::{DEADLINE, Pair, Site};

pub(crate) struct Program<'a> {
    site: &'a Site,
    config: PathBuf,
}

impl<'a> Program<'a> {
    pub(crate) fn new(site: &'a Site, more: &str) -> Self {
        let config = site.path().join("config.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nhealth = \"127.0.0.1:0\"\ncertificate = {:?}\nadmin = {:?}\n{more}",
            site.directory(),
            site.path().join("admin.sock"),
        );
        fs::write(&config, text).unwrap();
        Self { site, config }
    }

    pub(crate) fn command(&self, name: &str) -> Command {
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

/// What the program says where nobody reads the journal.
pub(crate) struct Said(pub(crate) PathBuf);

impl Said {
    /// The first line with that in it.
    pub(crate) fn line(&self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = fs::read_to_string(&self.0).unwrap_or_default();
            if let Some(line) = text.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no line with {part:?} in {text}");
            std::thread::yield_now();
        }
    }

    fn port(&self) -> u16 {
        let line = self.line(" ready");
        let address = line.split("listen=Some(").nth(1).unwrap();
        let port = address.split(')').next().unwrap().rsplit(':').next();
        port.unwrap().parse().unwrap()
    }
}

/// curl, as a client that somebody else has written.
fn curl(site: &Site, port: u16, pair: &Pair, arguments: &[&str]) -> Output {
    let file = |name: &str, text: &str| {
        let path = site.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    Command::new("curl")
        .args(["--silent", "--show-error", "--cacert"])
        .arg(file("curl-ca.pem", &site.authority.bundle()))
        .arg("--cert")
        .arg(file("curl-cert.pem", &pair.chain))
        .arg("--key")
        .arg(file("curl-key.pem", &pair.key))
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .args(arguments)
        .arg(format!("https://localhost:{port}/whoami"))
        .output()
        .expect("curl is installed")
}

#[test]
fn each_request_leaves_a_line_with_who_asked_what_was_decided_and_its_trace() {
    let site = Site::new();
    let policy = site.path().join("policy.toml");
    let text = "[[role]]\nname = \"web\"\ncallers = [\"spiffe://example.internal/*\"]\nmethods = [\"GET\"]\npaths = [\"/whoami\"]\n";
    fs::write(&policy, text).unwrap();
    let program = Program::new(&site, &format!("policy = {policy:?}\n"));
    let said = Said(site.path().join("stderr"));
    let child = program
        .command("serve")
        .stderr(fs::File::create(&said.0).unwrap())
        .spawn()
        .unwrap();
    let _ended = Ended(child);
    let port = said.port();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    let web = site.authority.client(&["spiffe://example.internal/web"]);
    let other = site.authority.client(&["other.example"]);
    for (pair, options) in [
        (&web, &["--http1.1", "-H", &parent][..]),
        (&other, &["--http2"]),
    ] {
        let answer = curl(&site, port, pair, options);
        assert!(
            answer.status.success(),
            "{}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
    let line = said.line("decision=\"allowed\"");
    for part in [
        "GET /whoami",
        "identity=\"spiffe://example.internal/web\"",
        &format!("serial=\"{:08x}\"", web.serial),
        "role=\"web\"",
        "code=200",
        "latency_us=",
        &format!("trace={trace}"),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let line = said.line("decision=\"denied\"");
    assert!(
        line.contains("identity=\"other.example\"") && line.contains("code=403"),
        "{line}"
    );
}

pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sockets_of_systemd_are_served_by_their_names() {
    let site = Site::new();
    let program = Program::new(&site, "");
    let ports = [0; 2].map(|_| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    });
    let said = Said(site.path().join("stderr"));
    let child = Command::new("systemd-socket-activate")
        .args(ports.map(|port| format!("--listen=127.0.0.1:{port}")))
        .arg("--fdname=listen:listen")
        .arg(env!("CARGO_BIN_EXE_renewd-sample-api"))
        .arg("serve")
        .arg("--config")
        .arg(&program.config)
        .env_remove("JOURNAL_STREAM")
        .env_remove("NOTIFY_SOCKET")
        .stderr(fs::File::create(&said.0).unwrap())
        .spawn()
        .expect("systemd-socket-activate is installed");
    let _ended = Ended(child);
    said.line("Listening on");
    let pair = site.authority.client(&["spiffe://example.internal/web"]);
    for port in ports {
        // The first one starts it, having waited in the queue.
        let answer = curl(&site, port, &pair, &["--http2"]);
        assert!(
            answer.status.success(),
            "{}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
}

#[test]
fn what_it_binds_itself_it_asks_systemd_to_keep() {
    let site = Site::new();
    let serving = Program::new(&site, "").serve();
    let told = serving.told("READY=1");
    for name in ["FDNAME=kept-listen", "FDNAME=kept-health"] {
        assert!(told.iter().any(|line| line == name), "{told:?}");
    }
}
