//! The clock: the wall's time for decisions, `CLOCK_BOOTTIME` for waiting, and word of clock steps.
//!
//! Owns one `timerfd` for all sleepers, so that an idle daemon wakes up for its next deadline and for
//! nothing else; suspend counts (`CLOCK_BOOTTIME`). A second one on `CLOCK_REALTIME`, far ahead and with
//! `TFD_TIMER_CANCEL_ON_SET` (timerfd_create(2)), tells when somebody set the clock. Never decides what
//! a deadline means: sleepers look again at the wall.

#[cfg(test)]
pub(crate) mod fake;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{
    ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags,
};
use nix::time::{ClockId, clock_gettime};
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::journal::{self, Event};

/// Time, as the driver uses it.
pub trait Clock {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Waits until the wall clock should stand at `deadline`; may end early, never late: suspend
    /// counts, and a step of the clock ends every wait.
    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()>;
    /// Changes whenever the wall clock was set.
    fn steps(&self) -> watch::Receiver<u64>;
}

/// Sleepers by their deadline on `CLOCK_BOOTTIME`, and by arrival.
type Sleepers = BTreeMap<(Duration, u64), oneshot::Sender<()>>;

/// A timer that tasks can wait for.
struct Timer {
    timer: TimerFd,
    /// The same open file description: tokio's one safe door for a foreign descriptor that becomes
    /// readable is a pipe's reading end, and all that is asked of it is poll(2) and read(2).
    expirations: pipe::Receiver,
}

impl Timer {
    fn new(clock: TimerClock) -> io::Result<Self> {
        let timer = TimerFd::new(clock, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let expirations =
            pipe::Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, expirations })
    }

    /// Waits until the timer has expired, or was cancelled because the clock was set.
    async fn expired(&self) -> io::Result<()> {
        loop {
            self.expirations.readable().await?;
            match self.expirations.try_read(&mut [0; 8]) {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(Errno::ECANCELED as i32) => {
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The system's clocks.
pub struct SystemClock {
    timer: Rc<Timer>,
    sleepers: Rc<RefCell<Sleepers>>,
    arrivals: RefCell<u64>,
    steps: watch::Sender<u64>,
}

impl std::fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemClock")
            .field("sleepers", &self.sleepers.borrow().len())
            .finish_non_exhaustive()
    }
}

impl SystemClock {
    /// Makes the timers and starts to serve sleepers; on a `LocalSet`.
    ///
    /// # Errors
    /// When the kernel gives no timer (out of descriptors).
    pub fn start() -> io::Result<Rc<Self>> {
        let timer = Rc::new(Timer::new(TimerClock::CLOCK_BOOTTIME)?);
        let wall = Timer::new(TimerClock::CLOCK_REALTIME)?;
        let clock = Rc::new(Self {
            timer: timer.clone(),
            sleepers: Rc::default(),
            arrivals: RefCell::new(0),
            steps: watch::Sender::new(0),
        });
        tokio::task::spawn_local(serve_sleepers(timer, clock.sleepers.clone()));
        tokio::task::spawn_local(watch_wall(wall, Rc::downgrade(&clock)));
        Ok(clock)
    }

    fn wake_everyone(&self) {
        for (_, sleeper) in std::mem::take(&mut *self.sleepers.borrow_mut()) {
            let _ = sleeper.send(());
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()> {
        let wait =
            Duration::try_from(deadline.duration_since(self.now())).unwrap_or(Duration::ZERO);
        // A moment more than asked: who looks at the wall again must not find it short by a rounding.
        let at = boottime() + wait + Duration::from_millis(1);
        let arrival = {
            let mut arrivals = self.arrivals.borrow_mut();
            *arrivals += 1;
            *arrivals
        };
        let (sender, receiver) = oneshot::channel();
        self.sleepers.borrow_mut().insert((at, arrival), sender);
        arm(&self.timer, &self.sleepers);
        let forget = Forget {
            key: (at, arrival),
            sleepers: self.sleepers.clone(),
        };
        Box::pin(async move {
            let _forget = forget;
            let _ = receiver.await;
        })
    }

    fn steps(&self) -> watch::Receiver<u64> {
        self.steps.subscribe()
    }
}

/// Takes a sleeper off the list that stopped waiting.
struct Forget {
    key: (Duration, u64),
    sleepers: Rc<RefCell<Sleepers>>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.sleepers.borrow_mut().remove(&self.key);
    }
}

fn boottime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Sets the timer to the first sleeper's deadline. A deadline of a sleeper that left is not taken
/// back: one early wake-up is cheaper than a system call for each.
fn arm(timer: &Timer, sleepers: &RefCell<Sleepers>) {
    let first = sleepers.borrow().keys().next().map(|(at, _)| *at);
    let result = match first {
        Some(at) => timer.timer.set(
            Expiration::OneShot(TimeSpec::from_duration(at)),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME,
        ),
        None => timer.timer.unset(),
    };
    if let Err(error) = result {
        let error = error.to_string();
        journal::emit(&Event::TimerRefused { error });
    }
}

async fn serve_sleepers(timer: Rc<Timer>, sleepers: Rc<RefCell<Sleepers>>) {
    while timer.expired().await.is_ok() {
        let now = boottime();
        let later = sleepers.borrow_mut().split_off(&(now, u64::MAX));
        for (_, sleeper) in std::mem::replace(&mut *sleepers.borrow_mut(), later) {
            let _ = sleeper.send(());
        }
        arm(&timer, &sleepers);
    }
}

async fn watch_wall(wall: Timer, clock: std::rc::Weak<SystemClock>) {
    // As far ahead as any kernel takes: the timer is there to be cancelled.
    let far = Expiration::OneShot(TimeSpec::from_duration(Duration::from_secs(
        u32::MAX.into(),
    )));
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    while wall.timer.set(far, flags).is_ok() && wall.expired().await.is_ok() {
        let Some(clock) = clock.upgrade() else { return };
        clock.steps.send_modify(|count| *count += 1);
        clock.wake_everyone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_local_set(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn sleepers_wake_in_the_order_of_their_deadlines_and_never_before_them() {
        on_a_local_set(async {
            let clock = SystemClock::start().unwrap();
            let start = clock.now();
            let at = |millis: i64| start + jiff::SignedDuration::from_millis(millis);
            let (late, early) = (clock.sleep_until(at(60)), clock.sleep_until(at(20)));
            early.await;
            assert!(clock.now() >= at(20));
            late.await;
            assert!(clock.now() >= at(60));
            assert!(clock.sleepers.borrow().is_empty());
        });
    }

    #[test]
    fn a_sleeper_that_leaves_is_forgotten() {
        on_a_local_set(async {
            let clock = SystemClock::start().unwrap();
            drop(clock.sleep_until(clock.now() + jiff::SignedDuration::from_hours(1)));
            assert!(clock.sleepers.borrow().is_empty());
        });
    }
}
