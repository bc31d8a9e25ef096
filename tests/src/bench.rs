//! The comparison: the sample API, nginx, HAProxy and a minimal axum server, in one run and in turns.
//!
//! It owns the order of the work. What counts is the CPU time of the *server*, from the kernel's clocks of its processes:
//! on a small machine the load generator is the limit otherwise. It must never judge by time whether a run was good:
//! whoever reads the figures does. Neighbours: `docs/performance.md` says what is measured and why, [`crate::load`]
//! keeps connections busy while certificates rotate.

mod client;
mod crypto;
mod goals;
mod pki;
mod report;
mod rotation;
mod server;
mod setup;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use goals::Goal;
pub use report::Report;
pub use rotation::Run;
pub use server::Kind;

use crate::failure::{Failure, Result, expect};
use pki::Pki;
use server::Server;

/// What is measured, besides rotations: one figure per server and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// CPU time of a handshake with both certificates.
    Full,
    /// CPU time of a handshake with a ticket.
    Resumed,
    /// CPU time of a request over HTTP/1.1.
    Http1,
    /// CPU time of a request over HTTP/2.
    Http2,
    /// Memory with idle connections.
    Memory,
    /// A rotation every two seconds below busy connections.
    Rotation,
}

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who takes part, in the order of their turns.
    pub kinds: Vec<Kind>,
    /// What is measured.
    pub measures: Vec<Measure>,
    /// Rounds of each measure but memory.
    pub rounds: usize,
    /// Handshakes of a round.
    pub handshakes: usize,
    /// Requests of a round.
    pub requests: usize,
    /// Idle connections, few first.
    pub idle: Vec<usize>,
    /// Busy connections below rotations.
    pub busy: usize,
    /// Rotations of a round.
    pub rotations: usize,
    /// Time between two rotations.
    pub every: Duration,
    /// Whether the figures are held against the goals.
    pub judged: bool,
}

impl Plan {
    /// What `docs/performance.md` reports.
    #[must_use]
    pub fn whole(kinds: Vec<Kind>) -> Self {
        Self {
            kinds,
            measures: vec![
                Measure::Full,
                Measure::Resumed,
                Measure::Http1,
                Measure::Http2,
                Measure::Memory,
                Measure::Rotation,
            ],
            rounds: 5,
            handshakes: 1000,
            requests: 40_000,
            idle: vec![1000, 10_000],
            busy: 200,
            rotations: 5,
            every: Duration::from_secs(2),
            judged: true,
        }
    }

    /// So little of everything that only the program itself is tried.
    #[must_use]
    pub fn quick(kinds: Vec<Kind>) -> Self {
        Self {
            rounds: 1,
            handshakes: 16,
            requests: 100,
            idle: vec![10, 20],
            busy: 4,
            rotations: 1,
            every: Duration::from_millis(600),
            judged: false,
            ..Self::whole(kinds)
        }
    }
}

/// Everything that was measured, as it is handed on.
#[derive(Clone, Debug, Default)]
struct Figures {
    /// Microseconds of CPU time by measure and server, one per round.
    cpu: BTreeMap<(Measure, Kind), Vec<f64>>,
    /// Microseconds of bare cryptography: signature, two verifications, X25519; one per round.
    bare: Vec<[f64; 3]>,
    /// Bytes by connections and server.
    memory: BTreeMap<(usize, Kind), u64>,
    rotation: BTreeMap<Kind, Vec<Run>>,
}

/// Compares, with its files below `directory`; each step is told to `progress`. To be called on the main thread: the
/// servers die with it.
///
/// # Errors
/// When a server does not start, or does not answer as it should.
pub async fn run(plan: &Plan, directory: &Path, mut progress: impl FnMut(&str)) -> Result<Report> {
    allow_descriptors(plan)?;
    let pki = Pki::make(directory)?;
    let mut figures = Figures::default();
    let mut servers = Vec::new();
    for kind in &plan.kinds {
        servers.push(start(*kind, directory, &pki).await?);
    }
    for measure in &plan.measures {
        for round in 1..=plan.rounds {
            if *measure == Measure::Memory {
                break;
            }
            progress(&format!("{measure:?}, round {round} of {}", plan.rounds));
            for server in &mut servers {
                if *measure == Measure::Rotation {
                    let run = rotation::run(plan, server, &pki).await;
                    let run = run.map_err(|failure| told(failure, server))?;
                    figures.rotation.entry(server.kind).or_default().push(run);
                } else {
                    let used = work::cpu(*measure, plan, server, &pki).await;
                    let used = used.map_err(|failure| told(failure, server))?;
                    let key = (*measure, server.kind);
                    figures.cpu.entry(key).or_default().push(used);
                }
            }
            if *measure == Measure::Full {
                figures.bare.push(work::bare(plan.handshakes)?);
            }
        }
    }
    drop(servers);
    if plan.measures.contains(&Measure::Memory) {
        progress("Memory");
        for kind in &plan.kinds {
            // A fresh one: what a server has kept of its work before is not what idle connections need.
            let server = start(*kind, directory, &pki).await?;
            let memory = work::memory(&plan.idle, &server, &pki).await;
            for (connections, bytes) in memory.map_err(|failure| told(failure, &server))? {
                figures.memory.insert((connections, *kind), bytes);
            }
        }
    }
    Ok(Report::new(plan, &figures))
}

async fn start(kind: Kind, directory: &Path, pki: &Pki) -> Result<Server> {
    let own: PathBuf = tempfile::tempdir_in(directory)
        .map_err(Failure::io("make a directory in", directory))?
        .keep();
    Server::start(kind, &own, pki).await
}

/// What the server itself said may be the cause.
fn told(failure: Failure, server: &Server) -> Failure {
    Failure::Program {
        command: server.kind.name().to_owned(),
        status: failure.to_string(),
        output: server.said(),
    }
}

/// Each connection takes a descriptor here and one in the server, which inherits what is allowed.
fn allow_descriptors(plan: &Plan) -> Result<()> {
    let refused = |error: nix::Error| Failure::io("allow", "open files")(error.into());
    let needed = plan.idle.iter().chain([&plan.busy]).max().unwrap_or(&0) + 1000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(refused)?;
    expect(
        most >= needed as u64,
        format_args!("`ulimit -Hn` of at least {needed}"),
        most,
    )?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(refused)
}
