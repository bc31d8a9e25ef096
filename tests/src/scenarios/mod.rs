//! The scenarios: which there are, and in which order they run.
//!
//! One file for each subject; each scenario is a `const` with its sabotage twin beside it.

mod acme;
mod authority;
mod caddy;
mod callers;
mod cfssl;
mod challenges;
mod configuration;
mod credentials;
mod crls;
mod damage;
mod dependents;
mod disks;
mod doctor;
mod endurance;
mod est;
mod evidence;
mod exec;
mod fallback;
mod files;
mod harness;
mod jobs;
mod load;
mod logins;
mod manners;
mod manual;
mod nginx;
mod pace;
mod packages;
mod peers;
mod plain;
mod records;
mod refusals;
mod revert;
mod roots;
mod rotation;
mod rpm;
mod sample_api;
mod spiffe;
mod step;
mod supervision;
mod trust;
mod vault;
mod verdict;

use std::path::Path;

use crate::scenario::Scenario;

/// What beside the packages has the certificate authorities that not every host can fetch.
pub const AUTHORITIES: &str = "authorities";

/// Which scenarios need which of [`AUTHORITIES`], each a file or a directory that `tests/servers/NAME.sh` fetches.
const NEEDS: &[(&str, &[Scenario])] = &[
    ("pebble", acme::ALL),
    ("cfssl", cfssl::ALL),
    ("step-ca", step::ALL),
    ("openbao", vault::ALL),
    ("openbao", logins::ALL),
    ("openbao", crls::ALL),
    ("openbao", roots::OF_AN_ENGINE),
    ("openbao", fallback::ALL),
    ("pebble", fallback::ALL),
    ("estserver", est::ALL),
    ("pebble", challenges::ALL),
    ("pebble", records::ALL),
    ("caddy", caddy::ALL),
    ("spiffe", spiffe::ALL),
];

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
        challenges::ALL,
        records::ALL,
        caddy::ALL,
        est::ALL,
        spiffe::ALL,
        load::ALL,
        trust::ALL,
        roots::ALL,
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
        cfssl::ALL,
        step::ALL,
        vault::ALL,
        logins::ALL,
        crls::ALL,
        roots::OF_AN_ENGINE,
        fallback::ALL,
    ]
    .concat()
}

/// Those that take minutes, and are run by name only.
#[must_use]
pub fn long() -> &'static [Scenario] {
    pace::ALL
}

/// What every machine must do before anything else can be asked of it.
#[must_use]
pub fn first() -> &'static [Scenario] {
    harness::ALL
}

/// The authority that a scenario needs and that is not in the directory; `None` where it can run.
#[must_use]
pub fn lacks(scenario: &Scenario, authorities: &Path) -> Option<&'static str> {
    let mut needed = NEEDS
        .iter()
        .filter(|(_, scenarios)| scenarios.iter().any(|one| one.name == scenario.name));
    needed
        .find(|(authority, _)| !authorities.join(authority).exists())
        .map(|(authority, _)| *authority)
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_scenario_is_left_out_only_for_want_of_an_authority_that_a_script_fetches() {
        let none = tempfile::tempdir().unwrap();
        let lacking = |scenario: &&Scenario| lacks(scenario, none.path()).is_some();
        let needing: BTreeSet<_> = NEEDS
            .iter()
            .flat_map(|(_, scenarios)| scenarios.iter().map(|one| one.name))
            .collect();
        assert_eq!(needing.len(), all().iter().filter(lacking).count());
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
        for (authority, _) in NEEDS {
            let script = scripts.join(authority).with_extension("sh");
            assert!(script.exists(), "{}", script.display());
            std::fs::write(none.path().join(authority), "").unwrap();
        }
        assert_eq!(all().iter().filter(lacking).count(), 0);
    }

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
