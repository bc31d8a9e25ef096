//! The scenarios: which there are, and in which order they run.
//!
//! One file for each subject; each scenario is a `const` with its sabotage twin beside it.

mod acme;
mod authority;
mod callers;
mod configuration;
mod credentials;
mod damage;
mod dependents;
mod disks;
mod doctor;
mod endurance;
mod evidence;
mod exec;
mod files;
mod harness;
mod jobs;
mod load;
mod manners;
mod manual;
mod nginx;
mod packages;
mod peers;
mod plain;
mod refusals;
mod revert;
mod rotation;
mod rpm;
mod sample_api;
mod supervision;
mod trust;
mod verdict;

use crate::scenario::Scenario;

/// Where beside the packages pebble is.
pub const PEBBLE: &str = "authorities/pebble";

/// All of them; what the others stand on comes first.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        harness::ALL,
        jobs::ALL,
        refusals::ALL,
        packages::ALL,
        manual::ALL,
        rpm::ALL,
        rotation::ALL,
        files::ALL,
        configuration::ALL,
        sample_api::ALL,
        credentials::ALL,
        acme::ALL,
        load::ALL,
        trust::ALL,
        peers::ALL,
        verdict::ALL,
        damage::ALL,
        disks::ALL,
        dependents::ALL,
        manners::ALL,
        evidence::ALL,
        doctor::ALL,
        revert::ALL,
        supervision::ALL,
        endurance::ALL,
        exec::ALL,
    ]
    .concat()
}

/// What every machine must do before anything else can be asked of it.
#[must_use]
pub fn first() -> &'static [Scenario] {
    harness::ALL
}

/// Those that need pebble, a certificate authority that not every host can fetch.
#[must_use]
pub fn of_acme() -> &'static [Scenario] {
    acme::ALL
}

/// Those that lean on systemd itself: worth running on the newest one, too.
#[must_use]
pub fn of_systemd() -> Vec<Scenario> {
    [
        jobs::ALL,
        refusals::ALL,
        packages::ALL,
        manual::ALL,
        rotation::ALL,
        configuration::ALL,
        supervision::ALL,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_a_twin_with_a_reason() {
        let all = all();
        for (index, scenario) in all.iter().enumerate() {
            assert!(
                all[..index].iter().all(|other| other.name != scenario.name),
                "{} twice",
                scenario.name
            );
            assert!(
                !scenario.fault.is_empty() && !scenario.red.is_empty(),
                "{} without a twin",
                scenario.name
            );
        }
    }
}
