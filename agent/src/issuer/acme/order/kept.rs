//! What is on disk of an order: as long as it is not finished, and until what came of it is kept.

use jiff::Timestamp;
use renewd_core::leaf::Fingerprint;
use renewd_core::schedule;
use serde::{Deserialize, Serialize};

use super::super::super::Order;
use super::super::AcmeIssuer;
use super::super::challenge::Proof;
use super::LONGEST_SIGNING;

/// What is kept of an order until there is another one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptOrder {
    pub(super) url: String,
    pub(super) account: String,
    pub(super) names: Vec<String>,
    pub(super) profile: Option<String>,
    /// The kind of challenge that these are shown by.
    #[serde(default)]
    pub(super) challenge: String,
    /// What the CA may look for: also while we are away, and it finds it when we are back. Records of names are there
    /// until they are taken out.
    #[serde(default)]
    pub(super) proofs: Vec<Proof>,
    #[serde(default)]
    pub(super) sent: Option<Sent>,
    /// The chain was had. Only who brings the same request again, for he lost it before it was kept, has a use for it.
    #[serde(default)]
    pub(super) done: bool,
}

impl KeptOrder {
    /// Whether it is for the same as another one, however far each is.
    pub(super) fn is_for(&self, other: &Self) -> bool {
        (&self.account, &self.names, &self.profile)
            == (&other.account, &other.names, &other.profile)
    }

    /// Whether there may be a way on with this certificate request.
    pub(super) fn is_open_to(&self, csr: &[u8]) -> bool {
        !self.done || self.sent.is_some_and(|sent| sent.is_of(csr))
    }
}

/// The certificate request that the CA was given to sign: it may do so while we are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) csr: Fingerprint,
    pub(super) at: Timestamp,
}

impl Sent {
    /// That it was given this one now.
    pub(super) fn now(csr: &[u8]) -> Self {
        Self {
            csr: Fingerprint::of(csr),
            at: Timestamp::now(),
        }
    }

    pub(super) fn is_of(&self, csr: &[u8]) -> bool {
        self.csr == Fingerprint::of(csr)
    }
}

/// What was put up, by this kind of challenge, for the order that a file of this text is of.
pub(in super::super) fn proofs(text: &str, challenge: &str) -> Vec<Proof> {
    let kept = serde_json::from_str::<KeptOrder>(text).ok();
    let kept = kept.filter(|kept| kept.challenge == challenge);
    kept.map(|kept| kept.proofs).unwrap_or_default()
}

/// Whether the order that a file of this text is of was done so long ago that nobody goes on with it. The certificate may
/// be gone, too.
pub(in super::super) fn is_past(text: &str, now: Timestamp) -> bool {
    let kept = serde_json::from_str::<KeptOrder>(text).ok();
    let sent = kept.filter(|kept| kept.done).and_then(|kept| kept.sent);
    sent.is_some_and(|sent| schedule::between(sent.at, now) > LONGEST_SIGNING.1)
}

/// Whether a file is of an order.
pub(in super::super) fn is_kept_in(file: &str) -> bool {
    file.starts_with("order-") && file.ends_with(".json")
}

pub(super) fn file(asked: Order<'_>) -> String {
    format!("order-{}.json", asked.certificate)
}

/// Whether the CA was given this certificate request to sign, and its order is not over.
pub(in super::super) fn is_with_the_ca(issuer: &AcmeIssuer, asked: Order<'_>) -> bool {
    let text = issuer
        .kept()
        .ok()
        .and_then(|kept| kept.read(&file(asked)).ok());
    let kept = text.flatten();
    let kept = kept.and_then(|text| serde_json::from_str::<KeptOrder>(&text).ok());
    kept.and_then(|kept| kept.sent)
        .is_some_and(|sent| sent.is_of(asked.csr))
}
