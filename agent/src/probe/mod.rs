//! The probe: TLS handshakes with a dependent that read the certificate it really serves (design,
//! section 3).
//!
//! * [`target`](ProbeTarget) is an address as the configuration writes it;
//! * `run` repeats handshakes until K in a row are right, or the deadline;
//! * `handshake` makes one: `connect`, `starttls`, TLS; `judge` says what it proves;
//! * `witness` is what takes down what a server shows, and never believes it.
//!
//! A name, a date or an unknown CA never ends a handshake early: what was served is read first and
//! judged afterwards, so that the reason is the true one. Nothing is sent to a server but a handshake and
//! its goodbye. The probe never decides what follows from its findings: that is the core's.

mod connect;
#[cfg(test)]
pub mod fake;
mod handshake;
mod judge;
mod run;
mod starttls;
mod target;
mod witness;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use renewd_core::leaf::{LeafError, LeafFacts};
use renewd_core::proof::ProbeReport;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, UnixTime};

pub use target::{Address, ProbeTarget, Protocol, TargetError};

/// What a dependent should serve.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The published leaf, read.
    pub leaf: LeafFacts,
    /// The same in DER: what is served is compared with it byte for byte.
    pub leaf_der: Vec<u8>,
    /// The CA certificates that the chain must lead to, as it is sent.
    pub anchors: Vec<CertificateDer<'static>>,
    /// The instant at which the chain must be valid.
    pub now: UnixTime,
}

impl Expected {
    /// Expects a leaf.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate, or its dates are out of range.
    pub fn new(
        leaf_der: Vec<u8>,
        anchors: Vec<CertificateDer<'static>>,
        now: UnixTime,
    ) -> Result<Self, LeafError> {
        Ok(Self {
            leaf: LeafFacts::from_der(&leaf_der)?,
            leaf_der,
            anchors,
            now,
        })
    }
}

/// How long and how often.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many handshakes in a row must be right, per address (K); 0 counts as 1.
    pub handshakes: u32,
    /// The pause between the handshakes of a run that is right so far. Old processes that are told to
    /// go only after new ones were started accept for a moment more (nginx: a tenth of a second): the
    /// handshakes must not all fall into it.
    pub apart: Duration,
    /// How long each address has, from the call on; all are probed at the same time.
    pub deadline: Duration,
    /// How long one handshake may take, from connecting to its end.
    pub handshake_timeout: Duration,
    /// The pause after the first run that failed; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a server stays silent before a client certificate counts as accepted.
    pub quiet: Duration,
    /// A client certificate to present to servers that ask; its acceptance is then part of the proof.
    pub client: Option<Arc<CertifiedKey>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 3,
            apart: Duration::from_millis(75),
            deadline: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(5),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
            quiet: Duration::from_millis(300),
            client: None,
        }
    }
}

/// A probe, from which nothing can be told but what was found.
pub trait Probe: Send + Sync {
    /// Probes all addresses of one dependent. Ends within [`Limits::deadline`]; dropping the future ends it
    /// at once.
    fn probe<'a>(
        &'a self,
        targets: &'a [ProbeTarget],
        expected: &'a Expected,
        limits: Limits,
    ) -> Pin<Box<dyn Future<Output = ProbeReport> + Send + 'a>>;
}

/// The probe by real handshakes.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsProbe;

impl Probe for TlsProbe {
    fn probe<'a>(
        &'a self,
        targets: &'a [ProbeTarget],
        expected: &'a Expected,
        limits: Limits,
    ) -> Pin<Box<dyn Future<Output = ProbeReport> + Send + 'a>> {
        Box::pin(run::all(targets, expected, limits))
    }
}
