//! Handshakes until K in a row are right, or the deadline. Owns repetition and the words of the report; must
//! never call an address served that failed once among the last K.

use std::time::Duration;

use futures_util::future::join_all;
use renewd_core::proof::{ProbeReport, Reason, SeenLeaf};
use tokio::time::{Instant, sleep};

use super::handshake::handshake;
use super::judge::{Failure, Prepared};
use super::target::ProbeTarget;
use super::{Expected, Limits};

/// Probes all addresses at the same time, each until it is right or the deadline.
pub(super) async fn all(
    targets: &[ProbeTarget],
    expected: &Expected,
    limits: Limits,
) -> ProbeReport {
    // A probe of nothing proves nothing.
    if targets.is_empty() {
        return ProbeReport {
            failure: Some(Reason::Refused),
            detail: "there is no address to probe".into(),
            seen: None,
        };
    }
    let prepared = Prepared::new(expected);
    let end = Instant::now() + limits.deadline;
    let each = targets
        .iter()
        .map(|target| address(target, &prepared, &limits, end));
    let failures: Vec<(&ProbeTarget, Failure)> = targets
        .iter()
        .zip(join_all(each).await)
        .filter_map(|(target, outcome)| Some((target, outcome.err()?)))
        .collect();
    report(targets, expected, &limits, failures)
}

/// Repeats runs until one is right. What the last one failed by is the failure.
async fn address(
    target: &ProbeTarget,
    prepared: &Prepared<'_>,
    limits: &Limits,
    end: Instant,
) -> Result<(), Failure> {
    let mut pause = limits.first_pause;
    let mut last: Option<Failure> = None;
    loop {
        let failure = match run(target, prepared, limits, end).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        // Cut short by the deadline, a handshake says less than the run before.
        let failure = match last.take() {
            Some(earlier) if failure.cut_short => earlier,
            _ => failure,
        };
        if Instant::now() + pause >= end {
            return Err(failure);
        }
        last = Some(failure);
        sleep(pause).await;
        pause = next_pause(pause, limits);
    }
}

fn next_pause(pause: Duration, limits: &Limits) -> Duration {
    pause.saturating_mul(2).min(limits.longest_pause)
}

/// K handshakes in a row. A wrong leaf does not end the run, so that the report can say whether all
/// processes of a server are stale or one; any other failure does.
async fn run(
    target: &ProbeTarget,
    prepared: &Prepared<'_>,
    limits: &Limits,
    end: Instant,
) -> Result<(), Failure> {
    let wanted = limits.handshakes.max(1);
    let mut wrong = 0_u32;
    let mut stale: Option<Failure> = None;
    for made in 1..=wanted {
        if made > 1 && stale.is_none() {
            sleep(limits.apart).await;
        }
        let begun = Instant::now();
        let until = end.min(begun + limits.handshake_timeout);
        let hurried = until - begun < limits.handshake_timeout / 2;
        match handshake(target, prepared, limits, until).await {
            Ok(()) => {}
            Err(failure) if failure.reason == Reason::WrongLeaf => {
                wrong += 1;
                stale = Some(failure);
            }
            Err(failure) => {
                let cut_short = hurried && failure.reason == Reason::Timeout;
                return Err(match stale {
                    Some(stale) if cut_short => counted(stale, wrong, made - 1),
                    _ => Failure {
                        what: match made {
                            1 => failure.what,
                            _ => format!("handshake {made} of {wanted}: {}", failure.what),
                        },
                        cut_short,
                        ..failure
                    },
                });
            }
        }
    }
    match stale {
        Some(stale) => Err(counted(stale, wrong, wanted)),
        None => Ok(()),
    }
}

fn counted(stale: Failure, wrong: u32, made: u32) -> Failure {
    Failure {
        what: format!("{wrong} of {made} handshakes {}", stale.what),
        ..stale
    }
}

fn report(
    targets: &[ProbeTarget],
    expected: &Expected,
    limits: &Limits,
    failures: Vec<(&ProbeTarget, Failure)>,
) -> ProbeReport {
    let list = |texts: Vec<String>, between| texts.join(between);
    if failures.is_empty() {
        let addresses = list(targets.iter().map(ToString::to_string).collect(), ", ");
        return ProbeReport {
            failure: None,
            detail: format!("{} handshakes on {addresses}", limits.handshakes.max(1)),
            seen: Some(SeenLeaf {
                fingerprint: expected.leaf.fingerprint,
                serial: expected.leaf.serial.clone(),
            }),
        };
    }
    let said = |(target, failure): &(&ProbeTarget, Failure)| format!("{target}: {}", failure.what);
    ProbeReport {
        failure: Some(failures[0].1.reason),
        detail: list(failures.iter().map(said).collect(), "; "),
        seen: failures
            .iter()
            .find_map(|(_, failure)| failure.seen.clone()),
    }
}
