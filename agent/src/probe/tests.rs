//! The probe against servers that are right, and wrong in each way that has a reason of its own.

mod openssl;
mod pki;
mod served;
mod server;
mod starttls;
mod target;
mod unserved;

use std::time::Duration;

use renewd_core::proof::{ProbeReport, Reason};

use super::{Expected, Limits, Probe, ProbeTarget, TlsProbe};

/// Retries until right; only a test that fails waits for the deadline.
fn patient() -> Limits {
    Limits {
        deadline: Duration::from_secs(30),
        apart: Duration::ZERO,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(10),
        ..Limits::default()
    }
}

/// One run: a pause that reaches beyond the deadline is not waited for.
fn once() -> Limits {
    Limits {
        first_pause: Duration::from_secs(60),
        ..patient()
    }
}

async fn probe(target: &ProbeTarget, expected: &Expected, limits: Limits) -> ProbeReport {
    let targets = std::slice::from_ref(target);
    TlsProbe.probe(targets, expected, limits).await
}

#[track_caller]
fn assert_served(report: &ProbeReport, expected: &Expected) {
    assert_eq!(report.failure, None, "{}", report.detail);
    let seen = report.seen.as_ref().expect("a leaf was seen");
    assert_eq!(seen.serial, expected.leaf.serial);
}

#[track_caller]
fn assert_failed(report: &ProbeReport, reason: Reason, words: &str) {
    assert_eq!(report.failure, Some(reason), "{}", report.detail);
    assert!(report.detail.contains(words), "{}", report.detail);
}
