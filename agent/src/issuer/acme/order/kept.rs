//! What is on disk of an order that is not finished.

use std::collections::BTreeMap;

use jiff::Timestamp;
use renewd_core::leaf::Fingerprint;
use serde::{Deserialize, Serialize};

use super::super::super::Order;
use super::super::AcmeIssuer;

/// What is kept of an order until it is finished.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptOrder {
    pub(super) url: String,
    pub(super) account: String,
    pub(super) names: Vec<String>,
    pub(super) profile: Option<String>,
    /// What the CA may ask for, by its token: also while we are away, and it finds the answer when we are back.
    #[serde(default)]
    pub(super) answers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) sent: Option<Sent>,
}

/// The certificate request that the CA was given to sign: it may do so while we are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) csr: Fingerprint,
    pub(super) at: Timestamp,
}

/// What was put up for the order that a file of this text is of.
pub(in super::super) fn answers(text: &str) -> BTreeMap<String, String> {
    let kept = serde_json::from_str::<KeptOrder>(text);
    kept.map(|kept| kept.answers).unwrap_or_default()
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
        .is_some_and(|sent| sent.csr == Fingerprint::of(asked.csr))
}
