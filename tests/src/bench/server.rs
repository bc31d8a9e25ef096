//! The servers that are compared, set up alike: TLS 1.3, client certificates required, two workers, no logs.
//!
//! It owns their configurations, their processes, what these have used, and how each is made to serve a new leaf.
//! It must never favour one: whatever is set for one of them is set for all, where they have it. Its neighbours are
//! [`super::work`] and [`super::rotation`], which put them to work.

use std::ffi::OsString;
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
    fn answer() -> String {
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

/// Where a server finds everything.
struct Setup<'a> {
    directory: &'a Path,
    certificate: &'a Path,
    address: SocketAddr,
    health: SocketAddr,
}

impl Setup<'_> {
    fn admin(&self) -> PathBuf {
        self.directory.join("admin.sock")
    }

    /// Writes the configuration and returns the arguments.
    fn arguments(&self, kind: Kind) -> Result<Vec<OsString>> {
        let config = self.directory.join("config");
        let text = match kind {
            Kind::SampleApi => self.sample_api()?,
            Kind::Nginx => self.nginx(),
            Kind::HaProxy => self.haproxy(),
            Kind::Minimal => String::new(),
        };
        fs::write(&config, text).map_err(Failure::io("write", &config))?;
        let given: &[&str] = match kind {
            Kind::SampleApi => &["serve", "--config"],
            Kind::Nginx => &["-e", "stderr", "-c"],
            Kind::HaProxy => &["-db", "-f"],
            Kind::Minimal => {
                let pairs = [
                    ("--listen", self.address.to_string().into()),
                    ("--certificate", self.certificate.into()),
                    ("--answer", Kind::answer().into()),
                ];
                return Ok(pairs
                    .into_iter()
                    .flat_map(|(name, value): (_, OsString)| [name.into(), value])
                    .collect());
            }
        };
        let given = given.iter().map(Into::into);
        Ok(given.chain([config.into()]).collect())
    }

    fn sample_api(&self) -> Result<String> {
        let policy = self.directory.join("policy.toml");
        let text = "[[role]]\n\
             name = \"reader\"\n\
             callers = [\"spiffe://bench.internal/*\"]\n\
             methods = [\"GET\"]\n\
             paths = [\"/\", \"/stream\"]\n\n\
             [[role]]\n\
             name = \"operator\"\n\
             callers = [\"spiffe://bench.internal/ops/**\"]\n\
             methods = [\"*\"]\n\
             paths = [\"/**\"]\n";
        fs::write(&policy, text).map_err(Failure::io("write", &policy))?;
        Ok(format!(
            "listen = \"{}\"\n\
             certificate = \"{}\"\n\
             health = \"{}\"\n\
             admin = \"{}\"\n\
             policy = \"{}\"\n\
             audit = false\n\
             next_request = \"1h\"\n",
            self.address,
            self.certificate.display(),
            self.health,
            self.admin().display(),
            policy.display(),
        ))
    }

    fn nginx(&self) -> String {
        let current = self.certificate.join("current");
        let (current, directory) = (current.display(), self.directory.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {directory}/{name};\n"))
            .concat();
        format!(
            "daemon off;\n\
             worker_processes 2;\n\
             worker_rlimit_nofile 20000;\n\
             pid {directory}/pid;\n\
             error_log stderr crit;\n\
             events {{ worker_connections 19000; }}\n\
             http {{\n\
             {temporary}\
             access_log off;\n\
             default_type text/plain;\n\
             keepalive_timeout 1h;\n\
             keepalive_requests 1000000000;\n\
             server {{\n\
             listen {address} ssl http2 backlog=4096;\n\
             ssl_protocols TLSv1.3;\n\
             ssl_ecdh_curve X25519;\n\
             ssl_certificate {current}/fullchain.pem;\n\
             ssl_certificate_key {current}/key.pem;\n\
             ssl_client_certificate {current}/ca.pem;\n\
             ssl_verify_client on;\n\
             ssl_session_timeout 1h;\n\
             location = / {{ return 200 \"{answer}\"; }}\n\
             }}\n\
             }}\n",
            address = self.address,
            answer = Kind::answer(),
        )
    }

    fn haproxy(&self) -> String {
        let current = self.certificate.join("current");
        format!(
            "global\n  \
               nbthread 2\n  \
               maxconn 10200\n  \
               no strict-limits\n  \
               stats socket {admin} mode 600 level admin\n\
             defaults\n  \
               mode http\n  \
               timeout client 1h\n  \
               timeout http-keep-alive 1h\n  \
               timeout http-request 10s\n\
             frontend bench\n  \
               bind {address} ssl crt {current}/combined.pem ca-file {current}/ca.pem verify required ssl-min-ver TLSv1.3 curves X25519 alpn h2,http/1.1 backlog 4096\n  \
               http-request return status 200 content-type text/plain string \"{answer}\"\n",
            admin = self.admin().display(),
            address = self.address,
            current = current.display(),
            answer = Kind::answer().replace('\n', "\\n"),
        )
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
