//! The servers that are compared, at work.
//!
//! It owns their processes, what these have used, and how each is made to serve a new leaf. It must never read a clock
//! while a server is still busy with what came before. Its neighbours are [`super::setup`], which configures them, and
//! [`super::work`] and [`super::rotation`], which put them to work.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Child;

use super::client::{Client, Way};
use super::pki::{CLIENT, Pki, Prepared};
use super::setup::Setup;
use crate::demo::guarded;
use crate::failure::{Failure, Result, expect};

/// For a server to begin.
const START: Duration = Duration::from_secs(20);
/// Between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(20);
/// How long a server may take to come to rest after its work.
const REST: Duration = Duration::from_secs(2);

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `renewd-sample-api`, with identity, policy and metrics.
    SampleApi,
    /// nginx.
    Nginx,
    /// HAProxy.
    HaProxy,
    /// The minimal server of axum and rustls.
    Minimal,
}

impl Kind {
    /// In the order in which they take turns.
    pub const ALL: [Self; 4] = [Self::SampleApi, Self::Nginx, Self::HaProxy, Self::Minimal];

    /// As it stands in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SampleApi => "sample API",
            Self::Nginx => "nginx",
            Self::HaProxy => "HAProxy",
            Self::Minimal => "minimal axum",
        }
    }

    /// Where its program is; ours are beside this one.
    ///
    /// # Errors
    /// When it is not there, with what to do about it.
    pub fn program(self) -> Result<PathBuf> {
        let (name, remedy) = match self {
            Self::SampleApi => (
                "renewd-sample-api",
                "make bench, or cargo build with the same profile",
            ),
            Self::Minimal => (
                "minimal",
                "make bench, or cargo build with the same profile",
            ),
            Self::Nginx => (
                "nginx",
                "apt-get install nginx-light (the service that it starts is not needed)",
            ),
            Self::HaProxy => (
                "haproxy",
                "apt-get install haproxy (the service that it starts is not needed)",
            ),
        };
        let this = std::env::current_exe().map_err(Failure::io("find", "this program"))?;
        let places: Vec<PathBuf> = match self {
            Self::SampleApi | Self::Minimal => vec![this.with_file_name(name)],
            Self::Nginx | Self::HaProxy => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
                let searched: Vec<_> = std::env::split_paths(&path).chain(usual).collect();
                searched.iter().map(|place| place.join(name)).collect()
            }
        };
        let found = places.into_iter().find(|path| path.is_file());
        found.ok_or_else(|| Failure::Missing {
            what: name.to_owned(),
            remedy: remedy.to_owned(),
        })
    }

    /// Every client is answered this.
    pub(super) fn answer() -> String {
        format!("hello, {CLIENT}\n")
    }
}

/// A server at work. It ends when dropped.
pub(super) struct Server {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    /// What is published for it.
    certificate: PathBuf,
    generation: u64,
    admin: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Server {
    /// Starts one, with its files in `directory`, and returns when it serves.
    pub(super) async fn start(kind: Kind, directory: &Path, pki: &Pki) -> Result<Self> {
        let program = kind.program()?;
        let certificate = directory.join("certificate");
        fs::create_dir_all(&certificate).map_err(Failure::io("make", &certificate))?;
        pki.prepare(&certificate, 1)?.publish()?;
        let (address, health) = free_addresses()?;
        let setup = Setup {
            directory,
            certificate: &certificate,
            address,
            health,
        };
        let arguments = setup.arguments(kind)?;
        let log = directory.join("log");
        let out = File::create(&log).map_err(Failure::io("make", &log))?;
        let err = out.try_clone().map_err(Failure::io("make", &log))?;
        let not_started = |found: String| Failure::Expectation {
            expected: format!("{} to start", kind.name()),
            found,
        };
        let command = guarded(&program, &directory.join("no-bus"));
        let child = command
            .map_err(|error| not_started(error.to_string()))?
            .args(arguments)
            .env("RUST_LOG", "error")
            .env("TOKIO_WORKER_THREADS", "2")
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(Failure::io("start", &program))?;
        let admin = setup.admin();
        let mut server = Self {
            kind,
            address,
            certificate,
            generation: 1,
            admin,
            log,
            child,
        };
        server.serves(pki).await?;
        Ok(server)
    }

    /// A client of it.
    pub(super) fn client(&self, pki: &Pki, way: Way) -> Result<Client> {
        Client::new(pki, self.address, &Kind::answer(), way)
    }

    /// CPU time that its processes have used, once it has come to rest.
    pub(super) async fn cpu(&self) -> Result<Duration> {
        let end = Instant::now() + REST;
        let mut used = self.used()?;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.used()?;
            // A timer that goes off is rest, too.
            if now - used < Duration::from_micros(300) || Instant::now() > end {
                return Ok(now);
            }
            used = now;
        }
    }

    /// Memory of its processes in bytes; what they share counts once.
    pub(super) async fn memory(&self) -> Result<u64> {
        self.cpu().await?;
        let mut sum = 0;
        for pid in self.processes()? {
            let path = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            let kib = text
                .lines()
                .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
            sum += kib.and_then(|kib| kib.parse().ok()).unwrap_or(0) * 1024;
        }
        Ok(sum)
    }

    /// Writes the next generation aside.
    pub(super) fn prepare(&mut self, pki: &Pki) -> Result<Prepared> {
        self.generation += 1;
        pki.prepare(&self.certificate, self.generation)
    }

    /// Publishes, and tells the server in its own way, if it must be told.
    pub(super) async fn publish(&self, prepared: &Prepared) -> Result<()> {
        prepared.publish()?;
        match self.kind {
            // It watches.
            Kind::SampleApi => Ok(()),
            Kind::Nginx | Kind::Minimal => {
                let pid = Pid::from_raw(self.id()?);
                kill(pid, Signal::SIGHUP)
                    .map_err(|error| Failure::io("signal", self.kind.name())(error.into()))
            }
            Kind::HaProxy => {
                let file = self.certificate.join("current/combined.pem");
                let file = file.display();
                let set = format!("set ssl cert {file} <<\n{}\n\n", prepared.combined);
                self.tell(&set.replace("\n\n\n", "\n\n")).await?;
                let done = self.tell(&format!("commit ssl cert {file}\n")).await?;
                expect(done.contains("Success"), "a committed certificate", done)
            }
        }
    }

    /// What it said.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn tell(&self, command: &str) -> Result<String> {
        let told = async {
            let mut stream = UnixStream::connect(&self.admin).await?;
            stream.write_all(command.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        told.await.map_err(Failure::io("ask", &self.admin))
    }

    async fn serves(&mut self, pki: &Pki) -> Result<()> {
        let end = Instant::now() + START;
        let client = self.client(pki, Way::Full)?;
        while let Err(last) = client.keep().await {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > end {
                return Err(Failure::Program {
                    command: self.kind.name().to_owned(),
                    status: ended.map_or_else(|| last.to_string(), |status| status.to_string()),
                    output: self.said(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn id(&self) -> Result<i32> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.ok_or_else(|| Failure::Expectation {
            expected: format!("{} at work", self.kind.name()),
            found: self.said(),
        })
    }

    fn used(&self) -> Result<Duration> {
        let clock = |pid| clock_getcpuclockid(pid).and_then(clock_gettime);
        let mut sum = Duration::ZERO;
        for pid in self.processes()? {
            let used = clock(Pid::from_raw(pid));
            sum += used.map(Duration::from).map_err(|error| {
                Failure::io("read the clock of", self.kind.name())(error.into())
            })?;
        }
        Ok(sum)
    }

    /// It leads a group of its own.
    fn processes(&self) -> Result<Vec<i32>> {
        let group = self.id()?.to_string();
        let entries = fs::read_dir("/proc").map_err(Failure::io("read", "/proc"))?;
        let ids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(ids
            .filter(|pid: &i32| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // After the name, which may hold anything: state, parent, group.
                let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
                rest.split(' ').nth(2) == Some(&group)
            })
            .collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(id) = self.id() {
            // An error means that it has just ended.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// Two that the kernel says are free, both held until both are known.
fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let addresses = || {
        let (one, other) = (listen()?, listen()?);
        Ok((one.local_addr()?, other.local_addr()?))
    };
    addresses().map_err(Failure::io("get a free port on", "127.0.0.1"))
}
