//! The scenarios: which there are, and in which order they run.
//!
//! One file for each subject; each scenario is a `const` with its sabotage twin beside it.

mod harness;

use crate::scenario::Scenario;

/// All of them; what the others stand on comes first.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [harness::ALL].concat()
}
