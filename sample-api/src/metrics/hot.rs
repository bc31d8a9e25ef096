//! What is counted for every request and every read and write.
//!
//! Owns: one copy of these counters for each worker, so that none waits for a cache line that another has just written.
//! Never does: tell them apart to whoever reads; the sums are what counts.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use super::{Counters, Histogram, MOST_SERIES};

/// The codes of one role, 100 to 599; everything else is counted as 599.
type Codes = Counters<500>;

/// Two cache lines: processors fetch them in pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Copy {
    requests: RwLock<BTreeMap<String, Box<Codes>>>,
    durations: Histogram,
    received: AtomicU64,
    sent: AtomicU64,
}

/// The counters.
#[derive(Debug)]
pub(super) struct Hot {
    copies: Box<[Copy]>,
    /// The roles of all copies.
    roles: Mutex<BTreeSet<String>>,
}

impl Default for Hot {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self {
            copies: (0..workers).map(|_| Copy::default()).collect(),
            roles: Mutex::default(),
        }
    }
}

impl Hot {
    /// That of this thread, and of as few others as can be.
    fn own(&self) -> &Copy {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: Cell<usize> = Cell::new(THREADS.fetch_add(1, Relaxed));
        }
        &self.copies[NUMBER.get() % self.copies.len()]
    }

    pub(super) fn request(&self, role: &str, code: u16, took: Duration) {
        let place = usize::from(code.clamp(100, 599) - 100);
        let own = self.own();
        own.durations.add(took);
        // A panic elsewhere must not end the counting; a counter has no state that could be half done.
        if let Some(codes) = own
            .requests
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(role)
        {
            return codes.add(place);
        }
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let role = match roles.len() < MOST_SERIES || roles.contains(role) {
            true => role,
            false => "other",
        };
        roles.insert(role.to_owned());
        drop(roles);
        let mut known = own.requests.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(role.to_owned()).or_default().add(place);
    }

    pub(super) fn received(&self, bytes: usize) {
        // Most reads find none, and cost nothing here.
        if bytes > 0 {
            self.own().received.fetch_add(bytes as u64, Relaxed);
        }
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.own().sent.fetch_add(bytes as u64, Relaxed);
    }

    /// Requests by role and code.
    pub(super) fn requests(&self) -> BTreeMap<String, BTreeMap<u16, u64>> {
        let mut sums: BTreeMap<String, BTreeMap<u16, u64>> = BTreeMap::new();
        for copy in &self.copies {
            let known = copy.requests.read().unwrap_or_else(PoisonError::into_inner);
            for (role, codes) in known.iter() {
                let sums = sums.entry(role.clone()).or_default();
                for code in 100..600 {
                    let count = codes.of(usize::from(code) - 100);
                    if count > 0 {
                        *sums.entry(code).or_default() += count;
                    }
                }
            }
        }
        sums
    }

    pub(super) fn durations(&self) -> Histogram {
        let sum = Histogram::default();
        for copy in &self.copies {
            sum.take_in(&copy.durations);
        }
        sum
    }

    /// Bytes received, and sent.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let sum = |of: fn(&Copy) -> &AtomicU64| {
            self.copies.iter().map(|copy| of(copy).load(Relaxed)).sum()
        };
        (sum(|copy| &copy.received), sum(|copy| &copy.sent))
    }
}
