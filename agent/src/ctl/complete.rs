//! What a shell offers for TAB: commands and options from the parser, names of certificates from the daemon.
//!
//! The scripts that the packages bring ask this very program, by [`VARIABLE`], so they never fall behind it. A
//! daemon that does not answer, or not soon, has no names to offer: nobody who presses TAB wants an error.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate};
use tokio::time::timeout;

use super::Cli;
use crate::control::client::StatusClient;
use crate::control::report::StatusReport;

/// The environment variable by which a shell's script asks; it holds the shell's name.
pub const VARIABLE: &str = "RENEWCTL_COMPLETE";

/// A person is waiting for the cursor.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers a shell and ends the process; does nothing where no shell asks.
pub(super) fn answer() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// The certificates that the daemon knows.
pub(super) fn certificates() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let report = status().unwrap_or_default();
        let candidates = report.certificates.into_iter().map(|certificate| {
            CompletionCandidate::new(certificate.name).help(Some(certificate.state.into()))
        });
        candidates.collect()
    })
}

/// The certificates that are published and that the daemon does not know.
pub(super) fn leftovers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some(report) = status() else {
            return Vec::new();
        };
        let published = std::fs::read_dir(place("--state", "/var/lib/renewd").join("certs"));
        let names = published.into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| report.certificates.iter().all(|known| known.name != *name))
            .map(CompletionCandidate::new)
            .collect()
    })
}

fn status() -> Option<StatusReport> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let directory = place("--runtime", "/run/renewd");
    let asked = async { StatusClient::connect(&directory).await?.status().await };
    runtime.block_on(async { timeout(PATIENCE, asked).await.ok()?.ok() })
}

/// A place as the line that is being completed has it; the parser cannot read an unfinished one.
fn place(option: &str, default: &str) -> PathBuf {
    let words: Vec<OsString> = std::env::args_os().collect();
    given(&words, option).map_or_else(|| default.into(), PathBuf::from)
}

fn given(words: &[OsString], option: &str) -> Option<OsString> {
    words.iter().enumerate().rev().find_map(|(at, word)| {
        if word == OsStr::new(option) {
            return words.get(at + 1).cloned();
        }
        let rest = word.to_str()?.strip_prefix(option)?;
        rest.strip_prefix('=').map(OsString::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_an_unfinished_line() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let line = words("renewctl -- renewctl --runtime /run/x show a");
        assert_eq!(given(&line, "--runtime"), Some("/run/x".into()));
        let line = words("renewctl -- renewctl --runtime=/run/x show a");
        assert_eq!(given(&line, "--runtime"), Some("/run/x".into()));
        assert_eq!(given(&line, "--state"), None);
    }
}
