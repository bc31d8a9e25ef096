//! A program and all that it starts: its process group, and those that left it ([`super::strays`]).
//!
//! The group is killed before its leader is reaped: until then its number cannot be another's.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::error::ProgramError;
use super::run::Job;
use super::strays::Mark;

/// The program and its process group. Dropped, they are killed and reaped.
pub(super) struct Family {
    pub(super) leader: Child,
    pub(super) group: Pid,
    mark: Mark,
    /// The group's number may be another's now.
    reaped: bool,
}

impl Family {
    pub(super) fn start(job: &Job) -> Result<Self, ProgramError> {
        let failed = |source| ProgramError::Start {
            program: job.command[0].clone(),
            source,
        };
        let mark = Mark::new().map_err(ProgramError::System)?;
        let leader = Command::new(&job.command[0])
            .args(&job.command[1..])
            .env_clear()
            .envs(job.environment.iter().map(|(name, value)| (name, value)))
            .env(Mark::NAME, mark.value())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let group = Pid::from_child(&leader);
        Ok(Self {
            leader,
            group,
            mark,
            reaped: false,
        })
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It may have ended.
        let _ = kill_process_group(self.group, signal);
    }

    /// Kills what is left, and says how the leader ended.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        if !self.reaped {
            self.signal(Signal::KILL);
            self.mark.kill_all();
        }
        self.reaped = true;
        self.leader.wait()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.reap();
    }
}
