//! Rotations below busy connections: what callers notice, and when the new certificate is there.
//!
//! It must never shake hands of its own while latencies are counted, beyond those that are there all the time. Its
//! neighbour is [`crate::load`], which keeps the connections busy and counts what becomes of them.

use std::time::{Duration, Instant};

use super::Plan;
use super::client::Way;
use super::pki::Pki;
use super::server::Server;
use crate::failure::{Failure, Result};
use crate::load::{Ends, Load, Plan as LoadPlan};

/// Requests per second of each connection.
const RATE: usize = 10;
/// How long after a publishing a request counts as touched by it.
const WINDOW: Duration = Duration::from_millis(500);
/// What came before this is the beginning, in which hands are shaken.
const WARM: Duration = Duration::from_secs(1);
/// For each connection to be answered, and for a new certificate to be shown.
const DEADLINE: Duration = Duration::from_secs(20);
/// Between two fresh handshakes while latencies are counted.
const FRESH_EVERY: Duration = Duration::from_millis(100);
/// Between two publishings that are only looked at for the time until they show.
const APART: Duration = Duration::from_millis(300);

/// One round of one server.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Run {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not.
    pub lost: u64,
    /// Kept connections that the server ended.
    pub closed: u64,
    /// 99th percentile in milliseconds of the requests that no rotation touched.
    pub p99_outside: Option<f64>,
    /// The same of those that one touched.
    pub p99_inside: Option<f64>,
    /// Milliseconds from each publishing to the end of the first handshake with the new leaf.
    pub visible: Vec<f64>,
}

/// Rotates under load, then publishes as often again and looks how soon it shows.
pub(super) async fn run(plan: &Plan, server: &mut Server, pki: &Pki) -> Result<Run> {
    let refused = |error: &dyn std::error::Error| Failure::Expectation {
        expected: "a load".to_owned(),
        found: error.to_string(),
    };
    let url = format!("https://{}/", server.address);
    let load = Load::start(&LoadPlan {
        url: url.parse().map_err(|error| refused(&error))?,
        files: pki.files.clone(),
        connections: plan.busy,
        streams: 0,
        rate: u32::try_from(plan.busy * RATE).unwrap_or(u32::MAX),
        stream_seconds: 1,
        handshake_every: FRESH_EVERY,
        ends: Ends::AreLosses,
    })
    .map_err(|error| refused(&error))?;
    load.ready(DEADLINE)
        .await
        .map_err(|error| refused(&error))?;
    let tally = load.tally();
    tokio::time::sleep(WARM.min(plan.every)).await;
    tally.forget_latencies();
    for _ in 0..plan.rotations {
        let prepared = server.prepare(pki)?;
        let due = Instant::now() + plan.every;
        let window = tally.rotating();
        server.publish(&prepared).await?;
        tokio::time::sleep(WINDOW).await;
        drop(window);
        tokio::time::sleep_until(due.into()).await;
    }
    let counted = tally.report();
    let client = server.client(pki, Way::Full)?;
    let mut visible = Vec::with_capacity(plan.rotations);
    for _ in 0..plan.rotations {
        let prepared = server.prepare(pki)?;
        tokio::time::sleep(APART).await;
        let published = Instant::now();
        server.publish(&prepared).await?;
        // A server that reloads may refuse one; the load counts what is lost.
        while !matches!(client.shake().await, Ok((leaf, _)) if leaf == prepared.leaf) {
            if published.elapsed() > DEADLINE {
                return Err(Failure::Expectation {
                    expected: format!("the new certificate within {DEADLINE:?}"),
                    found: "the old one".to_owned(),
                });
            }
        }
        visible.push(published.elapsed().as_secs_f64() * 1e3);
    }
    let ended = load.stop().await;
    Ok(Run {
        answered: ended.requests,
        lost: ended.failed_requests,
        closed: ended.dropped_connections,
        p99_outside: counted.p99_ms_steady,
        p99_inside: counted.p99_ms_rotating,
        visible,
    })
}
