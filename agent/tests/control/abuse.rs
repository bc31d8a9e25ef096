//! Bad clients: each is dropped alone, and an honest one is served meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use renewd::control::{Limits, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_USER, RESERVED_CONNECTIONS};

use super::fake::{Fake, Server};
use super::{DEADLINE, NOBODY, open_dir, renewctl, run};

const GET_INFO: &[u8] = b"{\"method\":\"org.varlink.service.GetInfo\"}\0";

fn impatient() -> Limits {
    Limits {
        idle: Duration::from_millis(300),
        arrival: Duration::from_millis(300),
        write: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn connect(dir: &Path) -> UnixStream {
    let stream = UnixStream::connect(dir.join("run/status.sock")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Whether the server closes the connection: an end or a reset, not our own time-out.
fn is_closed(mut stream: UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn honest_client_is_served(dir: &Path) {
    let began = Instant::now();
    let (code, _, error) = run(renewctl(dir, &["status"]));
    assert_eq!(code, 0, "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn garbage_is_answered_by_closing() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    for garbage in [
        &b"not json\0"[..],
        b"\0\0\0",
        b"{\"method\":7}\0",
        b"[[[[[[\0",
        b"{\"method\":\"io.renewd.Status.Show\",\"parameters\":{\"name\":{}}}\0",
        b"\xff\xfe\0",
        &[b"[".repeat(5000), b"\0".to_vec()].concat(),
    ] {
        let mut stream = connect(dir.path());
        stream.write_all(garbage).unwrap();
        assert!(is_closed(stream), "{:?}", &garbage[..garbage.len().min(40)]);
    }
    honest_client_is_served(dir.path());
}

#[test]
fn a_message_without_end_is_cut_off() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let mut stream = connect(dir.path());
    let chunk = [b'x'; 4096];
    let mut sent = 0;
    while sent < 16 << 20 && stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 1 << 20, "{sent} bytes were taken");
    assert!(is_closed(stream));
    honest_client_is_served(dir.path());
}

#[test]
fn clients_that_hang_are_closed_after_a_while_and_hold_nobody_up() {
    let dir = open_dir();
    let _server = Server::start_with(dir.path(), &Fake::new(), "renewd-admin", impatient());
    let silent = connect(dir.path());
    let mut slow = connect(dir.path());
    slow.write_all(b"{\"method\":").unwrap();
    honest_client_is_served(dir.path());
    assert!(is_closed(silent));
    assert!(is_closed(slow));
}

#[test]
fn a_client_that_never_reads_is_closed_and_holds_nobody_up() {
    let dir = open_dir();
    let limits = Limits {
        reads_per_second: u32::MAX,
        ..impatient()
    };
    let _server = Server::start_with(dir.path(), &Fake::new(), "renewd-admin", limits);
    let mut stream = connect(dir.path());
    let calls = GET_INFO.repeat(100);
    while stream.write_all(&calls).is_ok() {}
    honest_client_is_served(dir.path());
}

#[test]
fn a_flood_of_calls_is_slowed_down() {
    let dir = open_dir();
    let limits = Limits {
        reads_per_second: 20,
        ..Limits::default()
    };
    let _server = Server::start_with(dir.path(), &Fake::new(), "renewd-admin", limits);
    let began = Instant::now();
    let mut stream = connect(dir.path());
    let mut byte = [0];
    for _ in 0..50 {
        stream.write_all(GET_INFO).unwrap();
        while stream.read(&mut byte).unwrap() == 1 && byte[0] != 0 {}
    }
    assert!(
        began.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_panic_in_one_call_ends_one_connection() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let (code, _, error) = run(renewctl(dir.path(), &["show", "panic"]));
    assert_eq!(code, 75, "{error}");
    honest_client_is_served(dir.path());
}

#[test]
fn more_connections_than_there_may_be_are_closed_at_once() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    // An answer shows that the connection is being served.
    let most = MAX_CONNECTIONS + RESERVED_CONNECTIONS;
    let held: Vec<UnixStream> = (0..most).map(|_| answered(dir.path())).collect();
    assert!(is_closed(connect(dir.path())));
    let (code, _, error) = run(renewctl(dir.path(), &["status"]));
    assert_eq!(code, 75, "{error}");
    drop(held);
    // The server notices the ends in its own time.
    let deadline = Instant::now() + DEADLINE;
    while run(renewctl(dir.path(), &["status"])).0 != 0 {
        assert!(Instant::now() < deadline);
    }
}

fn answered(dir: &Path) -> UnixStream {
    let mut stream = connect(dir);
    stream.write_all(GET_INFO).unwrap();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte[0] != 0 {}
    stream
}

#[test]
fn one_user_cannot_take_all_connections() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let holder = Holder::start(dir.path(), NOBODY);
    assert_eq!(holder.got, MAX_CONNECTIONS_PER_USER);
    honest_client_is_served(dir.path());
}

#[test]
fn all_users_together_cannot_shut_root_out() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let mut total = 0;
    let mut holders = Vec::new();
    for user in (0..=NOBODY).rev() {
        let holder = Holder::start(dir.path(), user);
        if holder.got == 0 {
            break;
        }
        total += holder.got;
        holders.push(holder);
    }
    assert_eq!(total, MAX_CONNECTIONS);
    honest_client_is_served(dir.path());
}

/// This same test program as another user, which holds all connections that it can get.
struct Holder {
    program: Child,
    got: usize,
}

impl Holder {
    fn start(dir: &Path, user: u32) -> Self {
        assert!(
            Uid::effective().is_root(),
            "this test acts as several users: run it as root"
        );
        let program = dir.join("holder");
        if !program.exists() {
            std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        }
        let mut program = Command::new(&program)
            .args(["--exact", "abuse::holder", "--ignored", "--nocapture"])
            .env("HOLD_CONNECTIONS_AT", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .uid(user)
            .gid(NOBODY)
            .spawn()
            .unwrap();
        // Lent: it must be able to go on writing.
        let lines = BufReader::new(program.stdout.as_mut().unwrap()).lines();
        let got = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("got ")?.1.parse().ok())
            .expect("the holder tells what it got");
        Self { program, got }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It holds them until its input ends.
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}

#[test]
#[ignore = "the program that a Holder starts as another user; by itself it has nothing to hold"]
fn holder() {
    let Some(dir) = std::env::var_os("HOLD_CONNECTIONS_AT") else {
        return;
    };
    let mut held = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        let mut stream = connect(Path::new(&dir));
        let mut byte = [0];
        if stream.write_all(GET_INFO).is_ok() && matches!(stream.read(&mut byte), Ok(1)) {
            held.push(stream);
        }
    }
    println!("got {}", held.len());
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn attached_descriptors_are_not_taken() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let stream = connect(dir.path());
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let file = std::fs::File::open("/dev/null").unwrap();
    let fds = [file.as_fd(); 50];
    let before = count();
    for byte in &GET_INFO[..GET_INFO.len() - 1] {
        // Each byte comes with fifty; the call never ends, so the server would have to keep them.
        zlink::unix_utils::sendmsg(&stream, &[*byte], &fds, None).unwrap();
    }
    honest_client_is_served(dir.path());
    // Tests run side by side in this process and open a few of their own.
    assert!(count() < before + 1000, "{before} -> {}", count());
}
