//! The work of one round, and what it cost the server.
//!
//! It must never count work that was not done as said: a full handshake that was resumed, or the other way round, is a
//! failure. Its neighbour is [`super::client`], which does each piece.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Client, Kept, Shared, Way};
use super::crypto::Bare;
use super::pki::Pki;
use super::server::Server;
use super::{Measure, Plan};
use crate::failure::{Failure, Result, expect_equal};

/// Clients that shake hands at the same time.
const SHAKERS: usize = 8;
/// Connections with requests over HTTP/1.1.
const KEPT: usize = 50;
/// Connections with requests over HTTP/2, and requests at a time on each.
const SHARED: usize = 10;
const STREAMS: usize = 5;
/// How long connections have been idle when the memory is measured.
const RESTED: Duration = Duration::from_secs(2);
/// Idle connections that are opened at the same time.
const OPENERS: usize = 16;

/// Does one thing after the other, beside its like.
enum Worker {
    Shake(Client, Way),
    Kept(Box<Kept>),
    Shared(Shared),
}

impl Worker {
    async fn work(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            match self {
                Self::Shake(client, way) => {
                    let (_, came) = client.shake().await?;
                    expect_equal("the handshake", way, &came)?;
                }
                Self::Kept(kept) => kept.ask().await?,
                Self::Shared(shared) => shared.ask().await?,
            }
        }
        Ok(())
    }
}

/// One round of one measure; returns microseconds of the server's CPU time for each piece.
pub(super) async fn cpu(measure: Measure, plan: &Plan, server: &Server, pki: &Pki) -> Result<f64> {
    let (mut workers, amount) = (Vec::new(), amount(measure, plan));
    match measure {
        Measure::Full => {
            for _ in 0..SHAKERS {
                workers.push(Worker::Shake(server.client(pki, Way::Full)?, Way::Full));
            }
        }
        Measure::Resumed => {
            for _ in 0..SHAKERS {
                let client = server.client(pki, Way::Resumed)?;
                // The first has no ticket.
                client.shake().await?;
                workers.push(Worker::Shake(client, Way::Resumed));
            }
        }
        Measure::Http2 => {
            let client = server.client(pki, Way::Full)?;
            for _ in 0..SHARED {
                let shared = client.share().await?;
                workers.extend((0..STREAMS).map(|_| Worker::Shared(shared.clone())));
            }
        }
        Measure::Http1 | Measure::Memory | Measure::Rotation => {
            let client = server.client(pki, Way::Full)?;
            for _ in 0..KEPT {
                workers.push(Worker::Kept(Box::new(client.keep().await?)));
            }
        }
    }
    let each = amount.div_ceil(workers.len());
    let done = each * workers.len();
    let before = server.cpu().await?;
    let mut all = JoinSet::new();
    for mut worker in workers {
        all.spawn(async move { worker.work(each).await.map(|()| worker) });
    }
    // Connections are closed when all is counted.
    let mut ended = Vec::new();
    while let Some(worker) = all.join_next().await {
        ended.push(worker.map_err(|panic| Failure::Panic(panic.to_string()))??);
    }
    let used = server.cpu().await? - before;
    Ok(micros(used) / done as f64)
}

fn amount(measure: Measure, plan: &Plan) -> usize {
    match measure {
        Measure::Full | Measure::Resumed => plan.handshakes,
        _ => plan.requests,
    }
}

/// Microseconds of one handshake's worth of bare cryptography.
pub(super) fn bare(times: usize) -> Result<[f64; 3]> {
    let measured = Bare::measure(u32::try_from(times).unwrap_or(u32::MAX));
    let Bare {
        sign,
        verify,
        agree,
    } = measured.map_err(|_| Failure::Expectation {
        expected: "cryptography".to_owned(),
        found: "an error of aws-lc-rs".to_owned(),
    })?;
    Ok([sign, verify, agree].map(micros))
}

/// Opens ever more connections that have asked once and are idle since; returns the server's memory with each number.
pub(super) async fn memory(
    counts: &[usize],
    server: &Server,
    pki: &Pki,
) -> Result<Vec<(usize, u64)>> {
    let client = Arc::new(server.client(pki, Way::Full)?);
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for &count in counts {
        let mut openers = JoinSet::new();
        let wanted = count - open.len();
        for opener in 0..OPENERS {
            let client = client.clone();
            let share = wanted / OPENERS + usize::from(opener < wanted % OPENERS);
            openers.spawn(async move {
                let mut opened = Vec::with_capacity(share);
                for _ in 0..share {
                    opened.push(client.keep().await?);
                }
                Ok::<_, Failure>(opened)
            });
        }
        while let Some(opened) = openers.join_next().await {
            open.extend(opened.map_err(|panic| Failure::Panic(panic.to_string()))??);
        }
        // What a server gives up only after a while counts as given up.
        tokio::time::sleep(RESTED).await;
        found.push((count, server.memory().await?));
    }
    // Each of them was really open all the while.
    for kept in open.iter_mut().step_by(97) {
        kept.ask().await?;
    }
    Ok(found)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
