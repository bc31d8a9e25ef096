//! Real sockets: who is given what, and who holds up whom. The peer is this process, so its own user plays
//! systemd's; another user's process is tried on a real systemd (`tests/src/scenarios/credentials.rs`).

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use nix::unistd::geteuid;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::serve::serve_for;
use super::*;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n";
const PATIENCE: Duration = Duration::from_secs(20);

struct Host {
    directory: TempDir,
    vault: Arc<Vault>,
    outcomes: Mutex<Receiver<Outcome>>,
}

impl Host {
    /// Certificate "api" is for tls.pem of app.service, and published; "new" is for new.pem, and is not.
    fn new() -> Self {
        Self::answering(geteuid().as_raw())
    }

    fn answering(systemd: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let vault = Arc::new(Vault::default());
        for (certificate, credential) in [("api", "tls.pem"), ("new", "new.pem")] {
            let reader = (unit("app.service"), credential.parse().unwrap());
            vault.entrust(&certificate.parse().unwrap(), vec![reader]);
        }
        let pem = Zeroizing::new(KEY.to_owned());
        vault.hold(&"api".parse().unwrap(), 7, pem);
        let (tell, outcomes) = channel();
        let tell = Mutex::new(tell);
        let listener = UnixListener::bind(directory.path().join("sock")).unwrap();
        serve_for(systemd, listener, Arc::clone(&vault), move |outcome| {
            // The test may be over.
            let _ = tell.lock().unwrap().send(outcome);
        })
        .unwrap();
        Self {
            directory,
            vault,
            outcomes: Mutex::new(outcomes),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    /// Connects as systemd does, from an abstract address.
    fn connect(&self, address: &str) -> UnixStream {
        let stream: OwnedFd = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        let own = UnixAddr::new_abstract(address.as_bytes()).unwrap();
        bind(stream.as_raw_fd(), &own).unwrap();
        let server = UnixAddr::new(&self.path()).unwrap();
        connect(stream.as_raw_fd(), &server).unwrap();
        let stream = UnixStream::from(stream);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn read(&self, address: &str) -> Vec<u8> {
        read(self.connect(address))
    }

    fn outcome(&self) -> Outcome {
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.recv_timeout(PATIENCE).unwrap()
    }

    fn refusal(&self) -> Refusal {
        self.outcome().unwrap_err()
    }
}

fn read(mut stream: UnixStream) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn unit(name: &str) -> renewd_core::names::UnitName {
    name.parse().unwrap()
}

/// Addresses are shared by the whole host.
fn address(rest: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{count:x}/{rest}", std::process::id())
}

#[test]
fn a_configured_unit_is_given_the_published_generation() {
    let host = Host::new();
    let answer = host.read(&address("unit/app.service/tls.pem"));
    assert_eq!(answer, KEY.as_bytes());
    let (asked, given) = host.outcome().unwrap();
    assert_eq!(asked.unit.as_str(), "app.service");
    assert_eq!((given.certificate.as_str(), given.generation), ("api", 7));
    assert!(!format!("{asked:?} {given:?} {:?}", host.vault).contains("secret"));

    let next = Zeroizing::new("next".to_owned());
    host.vault.hold(&given.certificate, 8, next);
    assert_eq!(host.read(&address("unit/app.service/tls.pem")), b"next");
    assert_eq!(host.outcome().unwrap().1.generation, 8);
}

/// systemd takes at most a mebibyte; an empty answer would start the unit with an empty credential.
#[test]
fn a_unit_that_is_refused_gets_what_systemd_does_not_take_and_no_key() {
    let host = Host::new();
    for (rest, why) in [
        ("unit/other.service/tls.pem", "[unit.\"other.service\"]"),
        ("unit/app.service/other.pem", "credential = \"other.pem\""),
        ("unit/app.service/new.pem", "renewd-wait@new.service"),
    ] {
        let answer = host.read(&address(rest));
        assert!(answer.len() > 1 << 20, "{rest}: {}", answer.len());
        assert!(answer.iter().all(|byte| *byte == b'\n'), "{rest}");
        let refusal = host.refusal();
        assert!(refusal.to_string().contains(why), "{rest}: {refusal}");
        assert!(refusal.asked().is_some());
    }
}

#[test]
fn an_address_that_is_not_systemds_is_told_nothing() {
    let host = Host::new();
    for rest in [
        "unit/app.service",
        "unit/app.service/tls.pem/more",
        "nspawn/app.service/tls.pem",
        "unit/app/tls.pem",
        "unit/app.service/../tls.pem",
        "",
    ] {
        assert_eq!(host.read(&address(rest)), b"", "{rest}");
        assert_eq!(host.refusal(), Refusal::NoUnit, "{rest}");
    }
    let unnamed = UnixStream::connect(host.path()).unwrap();
    assert_eq!(read(unnamed), b"");
    assert_eq!(host.refusal(), Refusal::NoUnit);
}

#[test]
fn the_right_address_of_another_user_is_told_nothing() {
    let me = geteuid().as_raw();
    let host = Host::answering(me.wrapping_add(1));
    assert_eq!(host.read(&address("unit/app.service/tls.pem")), b"");
    assert_eq!(host.refusal(), Refusal::NotRoot(me));
}

#[test]
fn those_who_do_not_read_hold_up_nobody() {
    let host = Host::new();
    let idle: Vec<_> = (0..4 * MAX_CONNECTIONS)
        .map(|_| host.connect(&address("unit/app.service/tls.pem")))
        .collect();
    let answer = host.read(&address("unit/app.service/tls.pem"));
    assert_eq!(answer, KEY.as_bytes());
    for stream in idle {
        assert_eq!(read(stream), KEY.as_bytes());
    }
}

#[test]
fn a_unit_that_leaves_the_configuration_is_refused_and_its_key_is_let_go() {
    let host = Host::new();
    let api = "api".parse().unwrap();
    assert_eq!(host.vault.held(&api), Some(7));
    host.vault.entrust(&api, Vec::new());
    host.read(&address("unit/app.service/tls.pem"));
    assert!(matches!(host.refusal(), Refusal::NotConfigured(_)));
    assert_eq!(host.vault.held(&api), None);
    host.vault.hold(&api, 8, Zeroizing::new(KEY.to_owned()));
    assert_eq!(host.vault.held(&api), None, "held for nobody");
}
