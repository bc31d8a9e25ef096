//! A clock that stands still until a test moves it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};

use super::Clock;

/// Sleepers by their deadline, and by arrival.
type Sleepers = BTreeMap<(Timestamp, u64), oneshot::Sender<()>>;

/// Time in the hands of a test. Sleepers wait on true time, as they do on `CLOCK_BOOTTIME`: a step of the
/// wall clock moves no deadline, and wakes everyone.
pub(crate) struct FakeClock {
    /// By how much the wall clock is wrong.
    offset: Cell<SignedDuration>,
    /// The true time, which a host cannot know: it passes, and is never set.
    truth: Arc<Mutex<Timestamp>>,
    sleepers: Rc<RefCell<Sleepers>>,
    arrivals: Cell<u64>,
    steps: watch::Sender<u64>,
}

impl FakeClock {
    /// A clock that stands at this instant.
    pub(crate) fn at(now: Timestamp) -> Rc<Self> {
        Rc::new(Self {
            offset: Cell::new(SignedDuration::ZERO),
            truth: Arc::new(Mutex::new(now)),
            sleepers: Rc::default(),
            arrivals: Cell::new(0),
            steps: watch::Sender::new(0),
        })
    }

    /// How long until the first sleeper wakes; `None` when nobody sleeps.
    pub(crate) fn until_next(&self) -> Option<Duration> {
        let sleepers = self.sleepers.borrow();
        let live = sleepers.iter().find(|(_, sleeper)| !sleeper.is_closed());
        let ((at, _), _) = live?;
        Some(Duration::try_from(at.duration_since(self.truth())).unwrap_or_default())
    }

    fn truth(&self) -> Timestamp {
        *self.truth.lock().unwrap()
    }

    /// The true time, for those whose clock is right.
    pub(crate) fn teller(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let truth = self.truth.clone();
        move || *truth.lock().unwrap()
    }

    /// Time passes; with the host asleep or awake makes no difference.
    pub(crate) fn pass(&self, time: Duration) {
        let now = self.truth() + time;
        *self.truth.lock().unwrap() = now;
        let later = self.sleepers.borrow_mut().split_off(&(now, u64::MAX));
        for (_, sleeper) in self.sleepers.replace(later) {
            let _ = sleeper.send(());
        }
    }

    /// Somebody sets the clock back, and it was wrong for everyone.
    pub(crate) fn rewind(&self, by: Duration) {
        let truth = self.truth();
        *self.truth.lock().unwrap() = truth - by;
        self.step(SignedDuration::ZERO);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn step(&self, by: SignedDuration) {
        self.offset.set(self.offset.get() + by);
        self.steps.send_modify(|count| *count += 1);
        for (_, sleeper) in self.sleepers.take() {
            let _ = sleeper.send(());
        }
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.truth() + self.offset.get()
    }

    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()> {
        let at = (deadline - self.offset.get()).max(self.truth());
        self.arrivals.update(|arrivals| arrivals + 1);
        let (sender, receiver) = oneshot::channel();
        if at > self.truth() {
            let key = (at, self.arrivals.get());
            self.sleepers.borrow_mut().insert(key, sender);
        } else {
            let _ = sender.send(());
        }
        Box::pin(async move {
            let _ = receiver.await;
        })
    }

    fn steps(&self) -> watch::Receiver<u64> {
        self.steps.subscribe()
    }
}

#[tokio::test]
async fn the_fake_keeps_the_contract_of_the_trait() {
    let start: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
    let clock = FakeClock::at(start);
    let mut steps = clock.steps();
    let later = start + SignedDuration::from_secs(10);
    let sleep = clock.sleep_until(later);
    assert_eq!(clock.until_next(), Some(Duration::from_secs(10)));
    clock.pass(Duration::from_secs(10));
    sleep.await;
    assert_eq!(clock.now(), later);
    let sleep = clock.sleep_until(later + SignedDuration::from_hours(1));
    clock.step(SignedDuration::from_hours(-24));
    sleep.await;
    assert!(steps.has_changed().unwrap());
    assert_eq!(clock.now(), later - SignedDuration::from_hours(24));
    steps.mark_unchanged();
    assert_eq!(clock.until_next(), None);
}
