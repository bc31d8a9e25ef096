//! One run of the program, from its start to the end of what it started.
//!
//! A thread of its own binds itself ([`super::confine`]), starts the program in a process group of its own, and
//! watches it. Who drops a [`Running`] waits until the group is gone: [`GRACE`] at most, for a program that obeys no SIGTERM.

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use tokio::sync::mpsc;

use super::confine::Confinement;
use super::error::ProgramError;
use super::family::Family;
use super::said::Said;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
const BUFFER: usize = 16 * 1024;
/// What is read of stderr before the deadline is looked at again.
const READS: usize = 16;

/// Names and values, and no others.
pub(super) type Environment = Vec<(&'static str, OsString)>;

/// What is to be run.
pub(super) struct Job {
    pub(super) command: Vec<String>,
    pub(super) environment: Environment,
    pub(super) input: Vec<u8>,
    pub(super) timeout: Duration,
    pub(super) output_limit: usize,
    pub(super) confinement: Confinement,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    TooMuch,
    Cancelled,
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) how: How,
    pub(super) output: Vec<u8>,
    pub(super) last_said: Option<String>,
}

/// What is heard of a run; the end comes last.
#[derive(Debug)]
pub(super) enum Told {
    /// The kernel has no Landlock.
    Unconfined,
    /// A line on stderr.
    Line(String),
    /// It is over.
    Ended(Result<Ended, ProgramError>),
}

/// A program that runs. Dropped, it ends.
pub(super) struct Running {
    told: mpsc::UnboundedReceiver<Told>,
    /// Dropped, it tells the thread to end.
    cancel: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a program.
pub(super) fn start(job: Job) -> Result<Running, ProgramError> {
    let (cancelled, cancel) = io::pipe().map_err(ProgramError::System)?;
    let (tell, told) = mpsc::unbounded_channel();
    let thread = Builder::new()
        .name("issuer program".to_owned())
        .spawn(move || supervise(job, cancelled, &tell))
        .map_err(ProgramError::System)?;
    Ok(Running {
        told,
        cancel: Some(cancel),
        thread: Some(thread),
    })
}

impl Running {
    /// What is heard next.
    pub(super) async fn told(&mut self) -> Told {
        let told = self.told.recv().await;
        let told = told.unwrap_or(Told::Ended(Err(ProgramError::Worker)));
        if let Told::Ended(_) = told {
            // All that is left to the thread is to reap what was killed.
            self.thread = None;
        }
        told
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.cancel.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been heard of.
            let _ = thread.join();
        }
    }
}

fn supervise(job: Job, cancelled: PipeReader, tell: &mpsc::UnboundedSender<Told>) {
    // Nobody listens any more when the run was cancelled.
    let say = |told| _ = tell.send(told);
    match job.confinement.bind_this_thread() {
        Ok(true) => {}
        Ok(false) => say(Told::Unconfined),
        Err(error) => return say(Told::Ended(Err(error.into()))),
    }
    let family = match Family::start(&job) {
        Ok(family) => family,
        Err(error) => return say(Told::Ended(Err(error))),
    };
    let mut watch = match Watch::over(family, job, cancelled) {
        Ok(watch) => watch,
        Err(error) => return say(Told::Ended(Err(ProgramError::System(error)))),
    };
    let ended = watch.until_its_end(|line| say(Told::Line(line)));
    say(Told::Ended(ended.map_err(ProgramError::System)));
}

struct Watch {
    family: Family,
    /// Readable when the leader has ended, whatever it left behind.
    leader_ended: OwnedFd,
    cancelled: PipeReader,
    stdin: Option<ChildStdin>,
    input: Vec<u8>,
    stdout: Option<ChildStdout>,
    output: Vec<u8>,
    output_limit: usize,
    stderr: Option<ChildStderr>,
    said: Said,
    deadline: Instant,
}

impl Watch {
    fn over(mut family: Family, job: Job, cancelled: PipeReader) -> io::Result<Self> {
        let leader = &mut family.leader;
        let (stdin, stdout, stderr) = (
            leader.stdin.take(),
            leader.stdout.take(),
            leader.stderr.take(),
        );
        for pipe in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ] {
            pipe.map_or(Ok(()), |pipe| ioctl_fionbio(pipe, true))?;
        }
        Ok(Self {
            leader_ended: pidfd_open(family.group, PidfdFlags::empty())?,
            family,
            cancelled,
            stdin,
            input: job.input,
            stdout,
            output: Vec::new(),
            output_limit: job.output_limit,
            stderr,
            said: Said::default(),
            deadline: Instant::now() + job.timeout,
        })
    }

    fn until_its_end(&mut self, mut tell: impl FnMut(String)) -> io::Result<Ended> {
        // Why it is being ended, once it is.
        let mut ending: Option<How> = None;
        let how = loop {
            let (ended, cancelled) = self.wait(ending.is_none())?;
            if ended {
                // What it left behind must not keep stdout open, nor go on.
                self.family.signal(Signal::KILL);
            }
            self.move_bytes(&mut tell);
            if let Some(how) = ending {
                if ended || Instant::now() >= self.deadline {
                    break how;
                }
                continue;
            }
            if self.output.len() > self.output_limit {
                ending = Some(How::TooMuch);
            } else if ended {
                let status = self.family.reap()?;
                break match (status.code(), status.signal()) {
                    (Some(code), _) => How::Exited(code),
                    (None, signal) => How::Signalled(signal.unwrap_or_default()),
                };
            } else if cancelled {
                ending = Some(How::Cancelled);
            } else if Instant::now() >= self.deadline {
                ending = Some(How::TimedOut);
            }
            if ending.is_some() {
                self.family.signal(Signal::TERM);
                self.deadline = Instant::now() + GRACE;
                (self.stdin, self.stdout) = (None, None);
            }
        };
        self.said.end_line(&mut tell);
        Ok(Ended {
            how,
            output: std::mem::take(&mut self.output),
            last_said: self.said.last.take(),
        })
    }

    /// Waits until there is something to do; says whether the program has ended, and whether it is to end.
    fn wait(&self, may_be_cancelled: bool) -> io::Result<(bool, bool)> {
        let mut awaited = vec![PollFd::new(&self.leader_ended, PollFlags::IN)];
        if may_be_cancelled {
            awaited.push(PollFd::new(&self.cancelled, PollFlags::IN));
        }
        let before_pipes = awaited.len();
        let stdin = self.stdin.as_ref();
        awaited.extend(stdin.map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        let stdout = self.stdout.as_ref();
        awaited.extend(stdout.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let stderr = self.stderr.as_ref();
        awaited.extend(stderr.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut awaited, Some(&left)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        let happened = |index: usize| {
            index < before_pipes
                && awaited
                    .get(index)
                    .is_some_and(|fd| !fd.revents().is_empty())
        };
        Ok((happened(0), happened(1)))
    }

    /// Writes and reads as much as goes without waiting.
    fn move_bytes(&mut self, tell: impl FnMut(String)) {
        self.write_input();
        self.read_output();
        self.read_said(tell);
    }

    fn write_input(&mut self) {
        while let Some(stdin) = &mut self.stdin {
            match stdin.write(&self.input) {
                Ok(written) => {
                    self.input.drain(..written);
                    if self.input.is_empty() {
                        self.stdin = None;
                    }
                }
                Err(error) if is_later(&error) => return,
                // It need not read what it does not want to know.
                Err(_) => self.stdin = None,
            }
        }
    }

    fn read_output(&mut self) {
        let mut buffer = [0; BUFFER];
        while self.output.len() <= self.output_limit
            && let Some(stdout) = &mut self.stdout
        {
            match stdout.read(&mut buffer) {
                Ok(read @ 1..) => self.output.extend_from_slice(&buffer[..read]),
                Err(error) if is_later(&error) => return,
                Ok(0) | Err(_) => self.stdout = None,
            }
        }
    }

    fn read_said(&mut self, mut tell: impl FnMut(String)) {
        let mut buffer = [0; BUFFER];
        for _ in 0..READS {
            let Some(stderr) = &mut self.stderr else {
                return;
            };
            match stderr.read(&mut buffer) {
                Ok(read @ 1..) => self.said.hear(&buffer[..read], &mut tell),
                Err(error) if is_later(&error) => return,
                Ok(0) | Err(_) => self.stderr = None,
            }
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
