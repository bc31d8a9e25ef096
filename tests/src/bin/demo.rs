//! `demo`: renewd at work in a temporary directory, under load, with a verdict.
//!
//! Exit status: 0 if every check is green; 1 if one is red (with `SABOTAGE`: the one that the
//! planted fault must redden); 64 for a wrong setting; 70 if a planted fault reddened something
//! else only; 69 if it came to no verdict; 130 when interrupted.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use renewd_tests::demo::{self, DemoError, Sabotage, Settings, Style, Verdict};

const RED: u8 = 1;
const USAGE: u8 = 64;
const NO_VERDICT: u8 = 69;
const OTHER_RED: u8 = 70;
const INTERRUPTED: u8 = 130;

const HELP: &str = "\
demo: renewd, its sample API and 50 busy connections in a temporary directory

No arguments; the environment says what is wanted:
  JSON=1                        print one JSON object on stdout, progress on stderr
  KEEP=1                        leave the temporary directory behind
  SABOTAGE=stale|drop|mismatch  plant a fault, which must turn the verdict red";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(error) = demo::become_guarded(&arguments) {
        eprintln!(
            "demo: cannot start {}: {error}",
            arguments[3].to_string_lossy()
        );
        return ExitCode::from(NO_VERDICT);
    }
    if arguments.len() > 1 {
        println!("{HELP}");
        let asked = arguments.len() == 2 && (arguments[1] == "--help" || arguments[1] == "-h");
        return if asked {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(USAGE)
        };
    }
    let sabotage = match sabotage() {
        Ok(sabotage) => sabotage,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let json = is_set("JSON");
    let settings = Settings {
        sabotage,
        style: Style::fitting(json),
        keep: is_set("KEEP"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        // On this thread: the children are tied to the thread that starts them.
        Ok(runtime) => runtime.block_on(demo::run(settings)),
        Err(error) => {
            eprintln!("demo: no runtime: {error}");
            return ExitCode::from(NO_VERDICT);
        }
    };
    match outcome {
        Ok(verdict) => conclude(&verdict, sabotage, json),
        Err(error) => {
            eprintln!("demo: {}", with_sources(&error));
            ExitCode::from(match error {
                DemoError::Interrupted(_) => INTERRUPTED,
                _ => NO_VERDICT,
            })
        }
    }
}

fn conclude(verdict: &Verdict, sabotage: Option<Sabotage>, json: bool) -> ExitCode {
    let mut out = std::io::stdout();
    // A reader that went away does not change the verdict.
    let _ = if json {
        eprintln!("{verdict}");
        serde_json::to_string(verdict.numbers())
            .map_err(std::io::Error::from)
            .and_then(|numbers| writeln!(out, "{numbers}"))
    } else {
        writeln!(out, "\n{verdict}")
    };
    let Some(sabotage) = sabotage else {
        return ExitCode::from(if verdict.green() { 0 } else { RED });
    };
    let expected = sabotage.must_redden();
    if verdict.green() {
        eprintln!("demo: the planted fault ({sabotage:?}) went unnoticed");
        return ExitCode::SUCCESS;
    }
    if verdict.reddened(expected) {
        eprintln!("demo: as it must, the planted fault ({sabotage:?}) reddened: {expected}");
        return ExitCode::from(RED);
    }
    eprintln!("demo: the planted fault ({sabotage:?}) did not redden: {expected}");
    ExitCode::from(OTHER_RED)
}

fn sabotage() -> Result<Option<Sabotage>, String> {
    match std::env::var("SABOTAGE") {
        Ok(name) if !name.is_empty() => name.parse().map(Some),
        _ => Ok(None),
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
