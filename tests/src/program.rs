//! Programs of the host, run to their end under a deadline.
//!
//! Owns how a child process is started, fed and judged. It never runs anything inside a machine: [`crate::machine`] puts
//! its `nsenter` in front and comes here.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, Result};

/// A finished program.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command as one would type it.
    pub command: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote on standard output.
    pub stdout: String,
    /// What it wrote on standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether it ended with exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output and standard error, one after the other.
    #[must_use]
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Standard output of a program that had to end well.
    ///
    /// # Errors
    /// [`Failure::Program`] when it did not.
    pub fn success(self) -> Result<String> {
        if self.succeeded() {
            Ok(self.stdout)
        } else {
            Err(self.failure())
        }
    }

    /// The failure that this program stands for.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let status = self
            .code
            .map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        Failure::Program {
            command: self.command.clone(),
            status,
            output: self.output(),
        }
    }
}

/// Runs a program to its end, under `timeout(1)`, so that a hanging one is a failure with a name.
///
/// # Errors
/// [`Failure::Io`] when it could not be started. How it ended is for the caller to judge.
pub fn run(argv: &[&str], input: &[u8], within: Duration) -> Result<Finished> {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=2")
        .arg(format!("{:.3}", within.as_secs_f64()))
        .args(argv);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::io("start", argv[0]))?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let Output {
        status,
        stdout,
        stderr,
    } = thread::scope(|scope| {
        // A program that ends without reading its input breaks the pipe; how it ended says more than that.
        scope.spawn(move || stdin.write_all(input).and_then(|()| stdin.flush()).ok());
        child.wait_with_output()
    })
    .map_err(Failure::io("await", argv[0]))?;
    Ok(Finished {
        command: argv.join(" "),
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Runs a program of the host that has to end well, and returns its standard output.
///
/// # Errors
/// When it could not be started, took too long or ended badly.
pub fn run_host(argv: &[&str], within: Duration) -> Result<String> {
    run(argv, &[], within)?.success()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_and_named() {
        let finished = run(&["tail", "-f", "/dev/null"], &[], Duration::from_millis(50)).unwrap();
        assert_eq!(finished.code, Some(124));
        assert!(finished.failure().to_string().contains("tail -f /dev/null"));
    }

    #[test]
    fn a_program_gets_its_input_and_gives_its_output() {
        let finished = run(&["tr", "a-z", "A-Z"], b"proof", Duration::from_secs(5)).unwrap();
        assert_eq!(finished.success().unwrap(), "PROOF");
    }
}
