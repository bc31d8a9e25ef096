//! What the record says of one dependent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::proof::Standing;
use crate::record::GenerationNumber;

/// What a dependent still owes for a published generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The generation that was published.
    pub generation: GenerationNumber,
    /// What must be done next.
    pub step: DebtStep,
    /// Failed tries so far.
    pub tries: u32,
    /// Not before this instant.
    pub not_before: Timestamp,
}

/// What must be done next to pay a debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DebtStep {
    /// Tell the unit: reload, restart, start or signal.
    Act,
    /// Probe it.
    Probe,
}

/// What is known of a dependent, and what it owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// What is known.
    pub standing: Standing,
    /// What it owes, if anything.
    pub debt: Option<Debt>,
    /// It was well until our own restart, and is not proven since: found *failed*, it is brought up
    /// again. One that a person stopped is *inactive*, and stays so.
    #[serde(default)]
    pub revive: bool,
}
