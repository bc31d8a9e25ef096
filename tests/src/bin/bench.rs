//! `bench`: the sample API beside nginx, HAProxy and a minimal axum server, in one run and in turns.
//!
//! Exit status: 0 when everything was measured, whatever came out; 69 when it could not be.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use renewd_tests::bench::{self, Kind, Measure, Plan, Report};
use renewd_tests::demo;
use renewd_tests::failure::{Failure, Result};

const NOT_MEASURED: u8 = 69;

/// Compare the sample API with nginx, HAProxy and a minimal axum server
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Very little of everything, to try this program; servers that are not installed are left out
    #[arg(long)]
    quick: bool,
    /// Print one JSON object with each round's figures
    #[arg(long)]
    json: bool,
    /// Measure only this; may be repeated
    #[arg(long, value_enum, value_name = "MEASURE")]
    only: Vec<Measure>,
    /// Rounds of each measure; the default is for the figures of docs/performance.md
    #[arg(long)]
    rounds: Option<usize>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(error) = demo::become_guarded(&arguments) {
        eprintln!(
            "bench: cannot start {}: {error}",
            arguments[3].to_string_lossy()
        );
        return ExitCode::from(NOT_MEASURED);
    }
    let arguments = Arguments::parse();
    match compare(&arguments) {
        Ok(report) => {
            let text = match arguments.json {
                true => report.json().to_string(),
                false => report.to_string(),
            };
            // A reader that went away does not change what was measured.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::from(NOT_MEASURED)
        }
    }
}

fn compare(arguments: &Arguments) -> Result<Report> {
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        match kind.program() {
            Ok(_) => kinds.push(kind),
            Err(missing) if arguments.quick && kind != Kind::SampleApi => {
                eprintln!("bench: left out: {missing}");
            }
            Err(missing) => return Err(missing),
        }
    }
    let mut plan = match arguments.quick {
        true => Plan::quick(kinds),
        false => Plan::whole(kinds),
    };
    if !arguments.only.is_empty() {
        plan.measures
            .retain(|measure| arguments.only.contains(measure));
    }
    plan.rounds = arguments.rounds.unwrap_or(plan.rounds);
    // Sockets are made in it, whose paths must be short.
    let directory = tempfile::Builder::new()
        .prefix("renewd-bench.")
        .tempdir_in("/tmp")
        .map_err(Failure::io("make a directory in", "/tmp"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::io("start", "a runtime"))?;
    runtime.block_on(bench::run(&plan, directory.path(), |step| {
        eprintln!("bench: {step}")
    }))
}
