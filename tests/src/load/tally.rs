//! What became of every request, connection and handshake, counted.
//!
//! It must never forget a fault: each is counted, and the first ones are kept word for word. Its
//! neighbours are [`super::busy`] and [`super::fresh`], which report to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use hdrhistogram::Histogram;

use super::report::{FreshLeaf, Leaf, Report};

/// Distinct fault texts that are kept; beyond them only the counters grow.
const FAULTS_KEPT: usize = 20;
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// The shared counters of a load under way.
#[derive(Debug)]
pub struct Tally {
    started: Instant,
    /// Odd while a rotation is under way; any change means that one began or ended.
    epoch: AtomicU64,
    per_connection: Vec<AtomicU64>,
    /// Which kept connections have had the beginning of an answer.
    begun: Vec<AtomicBool>,
    /// Which of them were lost at least once.
    lost: Vec<AtomicBool>,
    requests: AtomicU64,
    repeated: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    streams: AtomicU64,
    handshakes: AtomicU64,
    failed_handshakes: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    steady: Histogram<u64>,
    rotating: Histogram<u64>,
    leaves: Vec<Leaf>,
    latest: Option<FreshLeaf>,
    faults: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            started: Instant::now(),
            epoch: AtomicU64::new(0),
            per_connection: (0..connections).map(|_| AtomicU64::new(0)).collect(),
            begun: flags(connections),
            lost: flags(connections),
            requests: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            seen: Mutex::new(Seen {
                steady: histogram(),
                rotating: histogram(),
                leaves: Vec::new(),
                latest: None,
                faults: BTreeMap::new(),
            }),
        }
    }

    /// Counts requests as touched by a rotation for as long as the window is held.
    #[must_use]
    pub fn rotating(&self) -> Rotating<'_> {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        Rotating(self)
    }

    /// Counts latencies from here on only: what came before was the beginning.
    pub fn forget_latencies(&self) {
        let mut seen = self.seen();
        seen.steady.reset();
        seen.rotating.reset();
    }

    /// Answers received in full so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether nothing has failed and nothing was dropped so far.
    #[must_use]
    pub fn unharmed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) == 0 && self.dropped.load(Ordering::Relaxed) == 0
    }

    /// Everything counted so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let least = self
            .per_connection
            .iter()
            .map(|n| n.load(Ordering::Relaxed))
            .min();
        let seen = self.seen();
        Report {
            connections: self.connections(),
            min_requests_per_connection: least.unwrap_or(0),
            requests: self.requests(),
            streams: self.streams.load(Ordering::Relaxed),
            failed_requests: self.failed.load(Ordering::Relaxed),
            dropped_connections: self.dropped.load(Ordering::Relaxed),
            lost_connections: count(&self.lost),
            requests_asked_again: self.repeated.load(Ordering::Relaxed),
            ended_connections: self.ended.load(Ordering::Relaxed),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            failed_handshakes: self.failed_handshakes.load(Ordering::Relaxed),
            distinct_leaves_seen: seen.leaves.len(),
            leaves: seen.leaves.clone(),
            p99_ms_steady: p99_ms(&seen.steady),
            p99_ms_rotating: p99_ms(&seen.rotating),
            faults: seen.faults.clone(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.per_connection.len()
    }

    /// Kept connections that have not had the beginning of an answer yet.
    pub(super) fn silent(&self) -> usize {
        self.connections() - count(&self.begun)
    }

    pub(super) fn begun(&self, slot: usize) {
        self.begun[slot].store(true, Ordering::Relaxed);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// `began_in` is the epoch in which the request began.
    pub(super) fn answered(&self, slot: usize, latency: Duration, began_in: u64) {
        self.count_answer(slot);
        let touched = began_in % 2 == 1 || began_in != self.epoch();
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut seen = self.seen();
        let histogram = if touched {
            &mut seen.rotating
        } else {
            &mut seen.steady
        };
        histogram.saturating_record(micros);
    }

    pub(super) fn streamed(&self, slot: usize) {
        self.count_answer(slot);
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered_fresh(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, fault: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.keep_fault(fault);
    }

    pub(super) fn failed_handshake(&self, fault: &str) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        self.failed(fault);
    }

    pub(super) fn dropped(&self, slot: usize, fault: &str) {
        self.lost[slot].store(true, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.keep_fault(&format!("dropped connection: {fault}"));
    }

    /// A kept connection was closed in good order, by a server that may do so.
    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// A request met such an end, and is asked once more.
    pub(super) fn asked_again(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_leaf(&self, der: &[u8], began: Instant) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        let fingerprint = hex(digest(&SHA256, der).as_ref());
        let mut seen = self.seen();
        let place = seen
            .leaves
            .iter()
            .position(|leaf| leaf.fingerprint == fingerprint);
        let place = place.unwrap_or_else(|| {
            let now = Instant::now();
            seen.leaves.push(Leaf {
                fingerprint,
                serial: serial(der),
                first_seen_ms: now.duration_since(self.started).as_secs_f64() * 1e3,
                handshakes: 0,
                first_seen: now,
            });
            seen.leaves.len() - 1
        });
        let leaf = &mut seen.leaves[place];
        leaf.handshakes += 1;
        let latest = FreshLeaf {
            began,
            first_seen: leaf.first_seen,
            serial: leaf.serial.clone(),
        };
        seen.latest = Some(latest);
    }

    pub(super) fn latest_leaf(&self) -> Option<FreshLeaf> {
        self.seen().latest.clone()
    }

    pub(super) fn faults_as_text(&self) -> String {
        self.seen()
            .faults
            .iter()
            .fold(String::new(), |mut text, (fault, times)| {
                let _ = write!(text, "; {times}× {fault}");
                text
            })
    }

    /// Waits for a condition on the counters; whether it came true before the deadline.
    pub(super) async fn until(&self, deadline: Duration, holds: impl Fn() -> bool) -> bool {
        let end = Instant::now() + deadline;
        while !holds() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    fn count_answer(&self, slot: usize) {
        self.per_connection[slot].fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn keep_fault(&self, fault: &str) {
        let mut seen = self.seen();
        if seen.faults.len() < FAULTS_KEPT || seen.faults.contains_key(fault) {
            *seen.faults.entry(fault.to_owned()).or_default() += 1;
        }
    }

    /// A worker that panicked while counting has left whole numbers behind.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a rotation is under way.
#[derive(Debug)]
pub struct Rotating<'a>(&'a Tally);

impl Drop for Rotating<'_> {
    fn drop(&mut self) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

fn flags(connections: usize) -> Vec<AtomicBool> {
    (0..connections).map(|_| AtomicBool::new(false)).collect()
}

fn count(flags: &[AtomicBool]) -> usize {
    let set = flags.iter().filter(|flag| flag.load(Ordering::Relaxed));
    set.count()
}

/// Microseconds, from 1 µs to a minute, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid for three digits")
}

fn p99_ms(histogram: &Histogram<u64>) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // at most a minute in microseconds
    let ms = || histogram.value_at_quantile(0.99) as f64 / 1e3;
    (!histogram.is_empty()).then(ms)
}

fn serial(der: &[u8]) -> String {
    x509_parser::parse_x509_certificate(der).map_or_else(
        |_| "unreadable".to_owned(),
        |(_, leaf)| {
            hex(leaf.tbs_certificate.raw_serial())
                .trim_start_matches('0')
                .to_owned()
        },
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
