//! The probe's one fake: it finds what it was told to, in order, and remembers what it was asked.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use renewd_core::leaf::Serial;
use renewd_core::proof::{ProbeReport, Reason, SeenLeaf};

use super::{Expected, Limits, Probe, ProbeTarget};

/// A probe without servers. When nothing is left of what it was told, everything is served.
#[derive(Debug, Default)]
pub struct FakeProbe {
    /// What the next probes find, the first one first: a reason, or served.
    pub findings: Mutex<VecDeque<Option<Reason>>>,
    /// The serials that were expected, in order.
    pub expected: Mutex<Vec<Serial>>,
}

impl Probe for FakeProbe {
    fn probe<'a>(
        &'a self,
        _targets: &'a [ProbeTarget],
        expected: &'a Expected,
        _limits: Limits,
    ) -> Pin<Box<dyn Future<Output = ProbeReport> + Send + 'a>> {
        let serial = expected.leaf.serial.clone();
        self.expected.lock().unwrap().push(serial.clone());
        let failure = self.findings.lock().unwrap().pop_front().flatten();
        let seen = failure.is_none().then_some(SeenLeaf {
            fingerprint: expected.leaf.fingerprint,
            serial,
        });
        Box::pin(std::future::ready(ProbeReport {
            failure,
            detail: String::new(),
            seen,
        }))
    }
}
