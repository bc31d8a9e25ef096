//! What a program started and let go into a session of its own: no signal to its process group reaches that.
//!
//! It is known by its environment, where each run of a program has a mark that goes on to all that it starts. Whoever empties
//! the environment is not found: it lasts as long as the service at most, whose control group it cannot leave.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long is looked again, for what was started meanwhile, and waited for those that the kernel keeps in a system call.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long is waited between two looks.
const MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// The most that is read of an environment: more than the kernel allows for one, on a usual stack.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// The mark of one run.
pub(super) struct Mark(String);

impl Mark {
    /// The variable.
    pub(super) const NAME: &str = "RENEWD_RUN";

    /// One that no other run has, of no other daemon on the host or in a container of it.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(format!("{:032x}", u128::from_ne_bytes(bytes))))
    }

    pub(super) fn value(&self) -> &str {
        &self.0
    }

    /// Kills all that have it, until there are none, or it has taken too long.
    pub(super) fn kill_all(&self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let found: Vec<_> = processes().filter_map(|pid| self.marked(pid)).collect();
            if found.is_empty() {
                return;
            }
            for process in &found {
                // It may have ended.
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
            let ends = |process| PollFd::new(process, PollFlags::IN);
            let mut ends: Vec<_> = found.iter().map(ends).collect();
            let _ = poll(&mut ends, Some(&MOMENT));
        }
    }

    /// The process, if it has the mark. It is held first, so that it is the one that is looked at.
    fn marked(&self, pid: Pid) -> Option<OwnedFd> {
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let mut environment = Vec::new();
        // Of other users' processes it cannot be read, of one that has ended it is empty.
        let file = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
        file.take(MOST_BYTES).read_to_end(&mut environment).ok()?;
        let mark = format!("{}={}", Self::NAME, self.0);
        let mut variables = environment.split(|byte| *byte == 0);
        variables
            .any(|variable| variable == mark.as_bytes())
            .then_some(process)
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}
