//! What a load has counted, as it is handed on and printed.
//!
//! Plain data. Its neighbour is [`super::tally`], which fills it.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

/// A distinct leaf that fresh handshakes were shown.
#[derive(Clone, Debug, Serialize)]
pub struct Leaf {
    /// SHA-256 of the DER, lower-case hex.
    pub fingerprint: String,
    /// Serial number, lower-case hex without leading zeros.
    pub serial: String,
    /// From the start of the load to the end of the first handshake that showed it.
    pub first_seen_ms: f64,
    /// Handshakes that showed it.
    pub handshakes: u64,
    /// When the first handshake that showed it ended.
    #[serde(skip)]
    pub first_seen: Instant,
}

/// What the last fresh handshake was shown.
#[derive(Clone, Debug)]
pub struct FreshLeaf {
    /// When that handshake began.
    pub began: Instant,
    /// When the leaf it saw was seen for the first time.
    pub first_seen: Instant,
    /// Serial number, lower-case hex without leading zeros.
    pub serial: String,
}

/// Everything counted, as `load --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Kept connections.
    pub connections: usize,
    /// Requests of the kept connection that was answered least often.
    pub min_requests_per_connection: u64,
    /// Answers received in full, on kept and fresh connections together.
    pub requests: u64,
    /// Slow answers among them.
    pub streams: u64,
    /// Requests and connection attempts that ended without a complete 200.
    pub failed_requests: u64,
    /// Kept connections that the server ended, and should not have.
    pub dropped_connections: u64,
    /// Those of `connections` that were dropped, each once, however often it was opened again and dropped again.
    pub lost_connections: usize,
    /// Requests that met the end of a connection before anything was answered, and were asked once more; only where a
    /// server may end connections in good order.
    pub requests_asked_again: u64,
    /// Kept connections that such a server ended in good order.
    pub ended_connections: u64,
    /// Fresh handshakes that showed a leaf.
    pub handshakes: u64,
    /// Fresh connections that failed, counted in `failed_requests` too.
    pub failed_handshakes: u64,
    /// Distinct leaves that fresh handshakes showed.
    pub distinct_leaves_seen: usize,
    /// Those leaves, in the order they were first seen.
    pub leaves: Vec<Leaf>,
    /// 99th percentile of the latencies while nothing rotated; null without any.
    pub p99_ms_steady: Option<f64>,
    /// The same over the requests that a rotation touched.
    pub p99_ms_rotating: Option<f64>,
    /// What went wrong, word for word, and how often.
    pub faults: BTreeMap<String, u64>,
}
