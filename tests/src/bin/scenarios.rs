//! Runs the scenarios on a real systemd: `scenarios --help`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, ValueEnum};
use renewd_tests::failure::Result;
use renewd_tests::machine;
use renewd_tests::overlay::enter_private_namespace;
use renewd_tests::packages::Packages;
use renewd_tests::rootfs::{Cache, Debian, target_directory};
use renewd_tests::runner::{Plan, Tally, require_runtime};
use renewd_tests::scenarios;

/// Runs the scenarios on a real systemd, in machines made by systemd-nspawn. Needs root.
#[derive(Parser)]
struct Arguments {
    /// The Debian releases to run on.
    #[arg(long, value_enum, default_value = "both")]
    debian: Releases,
    /// How many machines run at once [default: three for two processors].
    #[arg(long)]
    jobs: Option<usize>,
    /// Print the names of the scenarios and what their sabotage twins plant, and run nothing.
    #[arg(long)]
    list: bool,
    /// Keep a machine in which something failed until Enter is pressed, and say how to look into it.
    #[arg(long)]
    pause: bool,
    /// Leave the sabotage twins out.
    #[arg(long)]
    no_sabotage: bool,
    /// The directory with the two .deb files [default: packages in cargo's target directory].
    #[arg(long)]
    packages: Option<PathBuf>,
    /// Run only the scenarios whose name contains one of these.
    filter: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Releases {
    #[value(name = "12")]
    Bookworm,
    #[value(name = "13")]
    Trixie,
    Both,
    /// The newest systemd there is
    Sid,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in scenarios::all() {
            println!("{}\n    twin: {}", scenario.name, scenario.fault);
        }
        return ExitCode::SUCCESS;
    }
    match carry_out(&arguments) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(tally)) => {
            println!("{} passed, {} failed", tally.passed, tally.failed);
            if tally.failed == 0 && tally.passed > 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(failure) => {
            eprintln!("scenarios: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// `None` where the newest release cannot be had.
fn carry_out(arguments: &Arguments) -> Result<Option<Tally>> {
    require_runtime()?;
    enter_private_namespace()?;
    machine::sweep();
    let directory = match &arguments.packages {
        Some(directory) => directory.clone(),
        None => target_directory()?.join("packages"),
    };
    let (packages, cache) = (Packages::find(&directory)?, Cache::open()?);
    let newest = matches!(arguments.debian, Releases::Sid);
    let mut scenarios = scenarios::all();
    if arguments.filter.is_empty() && newest {
        scenarios = scenarios::of_systemd();
    } else if !arguments.filter.is_empty() {
        scenarios.extend_from_slice(scenarios::long());
        scenarios.retain(|scenario| {
            arguments
                .filter
                .iter()
                .any(|part| scenario.name.contains(part.as_str()))
        });
    }
    let authorities = directory.join(scenarios::AUTHORITIES);
    scenarios.retain(|scenario| {
        let lacking = scenarios::lacks(scenario, &authorities);
        if let Some(authority) = lacking {
            println!("NOT RUN: {}: there is no {authority}", scenario.name);
        }
        lacking.is_none()
    });
    let debians = match arguments.debian {
        Releases::Bookworm => vec![Debian::Bookworm],
        Releases::Trixie => vec![Debian::Trixie],
        Releases::Both => Debian::SUPPORTED.to_vec(),
        Releases::Sid => vec![Debian::Sid],
    };
    // They wait for most of the time.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores + cores / 2);
    let plan = Plan {
        scenarios,
        debians,
        twins: !arguments.no_sabotage,
        jobs,
        pause: arguments.pause,
        cache: &cache,
        packages: &packages,
    };
    if newest {
        // What is broken in there every now and then is not ours to mend; what breaks on it is.
        let bare = Plan {
            scenarios: scenarios::first().to_vec(),
            twins: false,
            ..plan.clone()
        };
        match bare.carry_out() {
            Ok(tally) if tally.failed == 0 => {}
            Ok(_) => {
                println!("NOT RUN on Debian's unstable: it does not boot here");
                return Ok(None);
            }
            Err(failure) => {
                println!("NOT RUN on Debian's unstable: {failure}");
                return Ok(None);
            }
        }
    }
    plan.carry_out().map(Some)
}
