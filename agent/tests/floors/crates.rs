//! The floors between crates, as their manifests say.

use super::manifest::{Manifest, workspace};
use super::{Violations, found, none};

/// Each crate with its directory, and the crates of this workspace that it may depend on. Nothing else
/// among ours, not even for tests.
const CRATES: [(&str, &str, &[&str]); 7] = [
    ("agent/core", "renewd-core", &[]),
    ("agent/store", "renewd-store", &["renewd-core"]),
    ("agent", "renewd", &["renewd-core", "renewd-store"]),
    ("sample-api", "renewd-sample-api", &["renewd-store"]),
    (
        "packaging/manual",
        "renewd-manual",
        &["renewd", "renewd-sample-api"],
    ),
    ("tests", "renewd-tests", &[]),
    (
        "tests/fuzz",
        "renewd-fuzz",
        &["renewd", "renewd-core", "renewd-sample-api", "renewd-store"],
    ),
];

/// What the core is built from: none of it runs tasks, opens files or sockets.
const CORE_NEEDS: [&str; 7] = [
    "aws-lc-rs",
    "jiff",
    "rustls-pki-types",
    "serde",
    "thiserror",
    "webpki",
    "x509-parser",
];

fn upward(manifest: &Manifest) -> Violations {
    let (_, package, allowed) = CRATES
        .into_iter()
        .find(|(_, package, _)| *package == manifest.package)
        .unwrap_or_else(|| panic!("{} has no floor: give it one here", manifest.package));
    let ours = |name: &str| CRATES.iter().any(|(_, package, _)| *package == name);
    manifest
        .dependencies
        .iter()
        .filter(|other| ours(&other.package) && !allowed.contains(&other.package.as_str()))
        // A crate's tests may use it again with another feature.
        .filter(|other| other.package != package)
        .map(|other| {
            format!(
                "{package} must not depend on {} ({})",
                other.package, other.kind
            )
        })
        .collect()
}

fn impure(core: &Manifest) -> Violations {
    core.needs()
        .filter(|other| !CORE_NEEDS.contains(&other.package.as_str()))
        .map(|other| format!("renewd-core is pure, and must not need {}", other.package))
        .collect()
}

/// Consumers get a reader that needs the standard library only.
fn more_than_the_reader(sample_api: &Manifest) -> Violations {
    sample_api
        .dependencies
        .iter()
        .filter(|other| other.package == "renewd-store")
        .filter(|store| store.default_features || !store.features.is_empty())
        .map(|store| {
            format!(
                "renewd-sample-api needs only the reader of renewd-store: default-features = false, \
                 no features (found {:?})",
                store.features
            )
        })
        .collect()
}

fn reader_with_dependencies(store: &Manifest) -> Violations {
    let writer: Vec<&str> = store.features["writer"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry.as_str()?.strip_prefix("dep:"))
        .collect();
    store
        .needs()
        .filter(|other| !other.optional || !writer.contains(&other.package.as_str()))
        .map(|other| {
            format!(
                "renewd-store must need {} only with its feature writer",
                other.package
            )
        })
        .collect()
}

#[test]
fn every_crate_of_the_workspace_has_a_floor() {
    let text = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let mut members: Vec<&str> = manifest["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let mut known: Vec<&str> = CRATES.iter().map(|(directory, ..)| *directory).collect();
    members.sort_unstable();
    known.sort_unstable();
    assert_eq!(members, known);
}

#[test]
fn crates_depend_on_lower_floors_only() {
    for (directory, package, _) in CRATES {
        let manifest = Manifest::read(directory);
        assert_eq!(manifest.package, package);
        none(upward(&manifest));
    }
}

#[test]
fn the_core_is_built_from_nothing_that_acts() {
    none(impure(&Manifest::read("agent/core")));
}

#[test]
fn the_sample_api_knows_the_reader_and_nothing_else() {
    none(more_than_the_reader(&Manifest::read("sample-api")));
}

#[test]
fn the_reader_needs_the_standard_library_only() {
    none(reader_with_dependencies(&Manifest::read("agent/store")));
}

#[test]
fn planted_dependencies_are_found() {
    let planted = |package: &str, rest: &str| {
        Manifest::parse(&format!("[package]\nname = \"{package}\"\n{rest}"))
    };
    let tests = planted("renewd-tests", "[dependencies]\nrenewd.workspace = true");
    found(&upward(&tests), &["renewd-tests", "depend on renewd"]);
    let hidden =
        "[target.'cfg(unix)'.dev-dependencies]\nx = { package = \"renewd\", path = \"..\" }";
    found(
        &upward(&planted("renewd-store", hidden)),
        &["renewd-store", "depend on renewd"],
    );
    let core = planted("renewd-core", "[dependencies]\ntokio = \"1\"");
    found(&impure(&core), &["tokio"]);
    let api = planted(
        "renewd-sample-api",
        "[dependencies]\nrenewd-store.workspace = true",
    );
    found(&more_than_the_reader(&api), &["default-features"]);
    let store = planted(
        "renewd-store",
        "[features]\nwriter = [\"dep:serde\"]\n[dependencies]\nserde = { version = \"1\" }",
    );
    found(&reader_with_dependencies(&store), &["serde", "writer"]);
}
