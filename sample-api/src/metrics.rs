//! What is counted, and how it is told (OpenMetrics 1.0).
//!
//! Owns: every counter. The number of series is bounded: labels are words of this file, role names (at most
//! [`crate::policy::MOST_ROLES`] of one policy, [`MOST_SERIES`] over all) and status codes.
//! Never does: influence what it counts. Neighbours: everybody counts, [`crate::routes`] shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

mod hot;
mod text;

use hot::Hot;

pub use text::{Gauges, Text};

/// Of `requests`: beyond it the role is called `other`. Policies come and go while the server runs.
pub const MOST_SERIES: usize = 1024;

/// Declares a label's values: an enum, its words and its counters.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// Every value, in the order of its counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it stands in metrics and logs.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

label! {
    /// How a handshake ended.
    Handshake {
        /// The client's certificate was verified.
        Full = "full",
        /// A ticket was taken.
        Resumed = "resumed",
        /// No certificate was shown.
        NoCertificate = "no_certificate",
        /// The client's has expired.
        Expired = "expired",
        /// The client's is not valid yet.
        NotYetValid = "not_yet_valid",
        /// It is of a CA that is not trusted.
        Untrusted = "untrusted",
        /// It is revoked.
        Revoked = "revoked",
        /// Nothing recent is known of its revocation.
        RevocationUnknown = "revocation_unknown",
        /// It is not for clients.
        WrongUsage = "wrong_usage",
        /// It cannot be verified for another reason.
        BadCertificate = "bad_certificate",
        /// The client spoke plain HTTP.
        PlainHttp = "plain_http",
        /// The client spoke something else, or nothing that we allow.
        Protocol = "protocol",
        /// It took too long.
        Timeout = "timeout",
        /// The client hung up.
        Abandoned = "abandoned",
        /// The client's identity has as many connections as it may.
        Limit = "limit",
    }
}

label! {
    /// Why a connection was told to end.
    Reason {
        /// Its client's certificate is revoked.
        Revoked = "revoked",
        /// Its client's CA is not trusted any more, or it is not verified any more for another reason.
        Untrusted = "untrusted",
        /// Its client's certificate has expired.
        Expired = "expired",
        /// Its client has no role any more.
        Policy = "policy",
        /// It is as old as a connection may get.
        Age = "age",
        /// The server stops.
        Stop = "stop",
    }
}

label! {
    /// What a client did not go on with.
    Stall {
        /// Sending a request.
        Request = "request",
        /// Taking a response.
        Response = "response",
    }
}

label! {
    /// What a reload is of.
    Part {
        /// Certificate, key, bundle and revocation lists.
        Certificate = "certificate",
        /// The policy.
        Policy = "policy",
    }
}

label! {
    /// How a reload ended.
    Reload {
        /// Something new is in use.
        Swapped = "swapped",
        /// It was in use already.
        Unchanged = "unchanged",
        /// It was refused; the old one is in use.
        Refused = "refused",
    }
}

/// Upper bounds of the histograms, in seconds; the last bucket is without.
const BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Durations by size.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Relaxed);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Relaxed);
    }

    fn take_in(&self, other: &Self) {
        let add = |sum: &AtomicU64, one: &AtomicU64| sum.fetch_add(one.load(Relaxed), Relaxed);
        for (sum, one) in self.buckets.iter().zip(&other.buckets) {
            add(sum, one);
        }
        add(&self.microseconds, &other.microseconds);
    }
}

/// One counter for each value of a label.
#[derive(Debug)]
struct Counters<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Counters<N> {
    fn add(&self, place: usize) {
        self.0[place].fetch_add(1, Relaxed);
    }

    fn of(&self, place: usize) -> u64 {
        self.0[place].load(Relaxed)
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    handshakes: Counters<{ Handshake::ALL.len() }>,
    handshake_durations: Histogram,
    reloads: [Counters<{ Reload::ALL.len() }>; Part::ALL.len()],
    drained: Counters<{ Reason::ALL.len() }>,
    forced: Counters<{ Reason::ALL.len() }>,
    idle_closed: AtomicU64,
    stalled: Counters<{ Stall::ALL.len() }>,
    trust_changes: AtomicU64,
    hot: Hot,
}

impl Metrics {
    /// A handshake ended so, after that time.
    pub fn handshake(&self, how: Handshake, took: Duration) {
        self.handshakes.add(how as usize);
        if matches!(how, Handshake::Full | Handshake::Resumed) {
            self.handshake_durations.add(took);
        }
    }

    /// How many handshakes ended so.
    pub fn handshakes(&self, how: Handshake) -> u64 {
        self.handshakes.of(how as usize)
    }

    /// A reload ended so.
    pub fn reload(&self, part: Part, how: Reload) {
        self.reloads[part as usize].add(how as usize);
    }

    /// How many reloads ended so.
    pub fn reloads(&self, part: Part, how: Reload) -> u64 {
        self.reloads[part as usize].of(how as usize)
    }

    /// A connection was told to end.
    pub fn drained(&self, reason: Reason) {
        self.drained.add(reason as usize);
    }

    /// How many connections were told to end, for that reason.
    pub fn drains(&self, reason: Reason) -> u64 {
        self.drained.of(reason as usize)
    }

    /// A connection was cut, having had its time to end.
    pub fn forced(&self, reason: Reason) {
        self.forced.add(reason as usize);
    }

    /// How many connections were cut, for that reason.
    pub fn forces(&self, reason: Reason) -> u64 {
        self.forced.of(reason as usize)
    }

    /// An HTTP/1.1 connection was closed while idle: its client could not be told.
    pub fn idle_closed(&self) {
        self.idle_closed.fetch_add(1, Relaxed);
    }

    /// How many were.
    pub fn idle_closes(&self) -> u64 {
        self.idle_closed.load(Relaxed)
    }

    /// A client did not go on, and was not waited for any longer.
    pub fn stalled(&self, what: Stall) {
        self.stalled.add(what as usize);
    }

    /// How many did not.
    pub fn stalls(&self, what: Stall) -> u64 {
        self.stalled.of(what as usize)
    }

    /// A request of that role was answered.
    pub fn request(&self, role: &str, code: u16, took: Duration) {
        self.hot.request(role, code, took);
    }

    /// How many requests of that role were answered so.
    pub fn requests(&self, role: &str, code: u16) -> u64 {
        let requests = self.hot.requests();
        let count = requests.get(role).and_then(|codes| codes.get(&code));
        count.copied().unwrap_or_default()
    }

    /// Bytes came over a connection, without what TLS adds.
    pub fn received(&self, bytes: usize) {
        self.hot.received(bytes);
    }

    /// Bytes went over a connection, without what TLS adds.
    pub fn sent(&self, bytes: usize) {
        self.hot.sent(bytes);
    }

    /// Clients are verified against something else from now on.
    pub fn trust_changed(&self) {
        self.trust_changes.fetch_add(1, Relaxed);
    }
}
