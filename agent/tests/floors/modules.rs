//! The floors inside the crates, as their text says.

use super::manifest::{Manifest, workspace};
use super::source::Source;
use super::{Violations, found, none};

/// Each module of the daemon, from the lowest floor up, and what of this crate it may name. A longer path
/// allows that one thing.
const FLOORS: [(&str, &[&str]); 18] = [
    // Tools without state.
    ("keys", &[]),
    ("polkit", &[]),
    ("secret", &[]),
    ("table", &[]),
    // What every floor may tell an operator.
    ("journal", &[]),
    // Adapters: one for each outside world. They never import each other.
    ("clock", &["journal"]),
    ("control", &["journal"]),
    ("credentials", &["journal"]),
    ("inherited", &[]),
    ("notify", &[]),
    ("probe", &[]),
    // Its kinds never import each other either: see kinds.rs.
    ("issuer", &["journal", "keys", "secret", "table"]),
    // The words by which polkit knows requests stand where the rule is rendered.
    ("units", &["polkit::verbs"]),
    // Of the adapters it knows what a setting becomes or is bound by: a wrong one is refused when it is
    // read, with file and line, and not when it is used. Of issuers it knows that there are kinds.
    (
        "config",
        &[
            "credentials::LONGEST_NAMES",
            "issuer::kind",
            "probe::ProbeTarget",
            "table",
        ],
    ),
    // The composition root of issuers: which kinds there are.
    ("kinds", &["issuer"]),
    // Knows the adapters by their traits, and the control socket by what it must answer.
    (
        "driver",
        &[
            "clock::Clock",
            "config",
            "control::ControlError",
            "control::Daemon",
            "control::report",
            "credentials::Vault",
            "issuer",
            "journal",
            "keys",
            "probe",
            "units",
        ],
    ),
    // The command line: asks the daemon by the socket only.
    (
        "ctl",
        &[
            "config",
            "control",
            "credentials",
            "journal",
            "kinds",
            "polkit",
            "probe",
            "secret",
            "units",
        ],
    ),
    // The daemon's composition root.
    (
        "app",
        &[
            "clock",
            "config",
            "control",
            "credentials",
            "ctl",
            "driver",
            "inherited",
            "issuer",
            "journal",
            "keys",
            "kinds",
            "notify",
            "probe",
            "secret",
            "units",
        ],
    ),
];

/// The types behind the traits, with the modules that may name them.
const CONCRETE: &[(&str, &[&str])] = &[
    ("SystemClock", &["clock", "app"]),
    // `ctl` is composed by itself: it is another program.
    ("Systemd", &["units", "app", "ctl"]),
    ("TlsProbe", &["probe", "app"]),
];

fn misplaced(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.top().is_empty()) {
        let top = source.top();
        let Some((_, allowed)) = FLOORS.iter().find(|(module, _)| *module == top) else {
            violations.push(format!(
                "{}: module {top} has no floor: give it one in agent/tests/floors",
                source.file
            ));
            continue;
        };
        for path in source.paths() {
            let Some(path) = path.strip_prefix("crate::") else {
                continue;
            };
            let within = |place: &str| path == place || path.starts_with(&format!("{place}::"));
            if !within(top) && !allowed.iter().any(|place| within(place)) {
                violations.push(format!("{}: {top} must not name {path}", source.file));
            }
        }
    }
    violations
}

fn concrete(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for (name, places) in CONCRETE {
        for source in sources {
            if source.names(name) && !places.contains(&source.top()) {
                violations.push(format!(
                    "{}: {name} is a concrete type, named by {places:?} only",
                    source.file
                ));
            }
        }
    }
    violations
}

/// What acts on the world, or asks it for time or chance.
const ACTS: [&str; 14] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::sync",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "aws_lc_rs::rand",
    "jiff::Zoned::now",
    "jiff::Timestamp::now",
    "Timestamp::now",
    "tokio",
];

/// Of `std::net`, an address is a value.
const ADDRESSES: [&str; 4] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "AddrParseError"];

fn acting(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        for path in source.paths() {
            let within = |place: &&str| path == **place || path.starts_with(&format!("{place}::"));
            let socket = path
                .strip_prefix("std::net::")
                .is_some_and(|name| !ADDRESSES.contains(&name));
            if ACTS.iter().any(within) || socket {
                violations.push(format!("{}: the core is pure: {path}", source.file));
            }
        }
    }
    violations
}

/// Names of dependencies in a reader that must have none.
fn dependent(reader: &Source, dependencies: &[String]) -> Violations {
    let foreign = |path: &String| {
        let root = path.split("::").next().unwrap_or_default().to_owned();
        (root == "crate" && !path.starts_with("crate::reader")) || dependencies.contains(&root)
    };
    reader
        .paths()
        .into_iter()
        .filter(foreign)
        .map(|path| format!("{}: the reader stands alone: {path}", reader.file))
        .collect()
}

pub(crate) fn agent() -> Vec<Source> {
    Source::all(&workspace().join("agent/src"))
}

#[test]
fn modules_of_the_daemon_import_lower_floors_only() {
    let sources = agent();
    none(misplaced(&sources));
    for (number, (module, allowed)) in FLOORS.iter().enumerate() {
        for place in *allowed {
            let top = place.split("::").next();
            let below = FLOORS[..number].iter();
            assert!(
                below.clone().any(|(lower, _)| Some(*lower) == top),
                "{module} may name {place}, which is no lower floor"
            );
        }
        assert!(
            sources.iter().any(|source| source.top() == *module),
            "{module} is gone: take it out"
        );
    }
}

#[test]
fn only_the_composition_roots_name_concrete_types() {
    none(concrete(&agent()));
}

#[test]
fn the_core_names_nothing_that_acts() {
    none(acting(&Source::all(&workspace().join("agent/core/src"))));
}

#[test]
fn the_reader_names_no_dependency() {
    let manifest = Manifest::read("agent/store");
    let dependencies: Vec<String> = manifest
        .needs()
        .map(|other| other.package.replace('-', "_"))
        .collect();
    assert!(dependencies.contains(&"renewd_core".to_owned()));
    let sources = Source::all(&workspace().join("agent/store/src"));
    let reader = sources.iter().find(|source| source.top() == "reader");
    none(dependent(reader.unwrap(), &dependencies));
}

#[test]
fn planted_imports_are_found() {
    let planted = |module: &[&str], text: &str| [Source::new("planted.rs", module, text)];
    let tree = planted(
        &["probe", "run"],
        "use crate::{journal::{self, Event}, units::Units};",
    );
    found(&misplaced(&tree), &["probe must not name journal::self"]);
    found(&misplaced(&tree), &["probe must not name units::Units"]);
    let relative = planted(&["issuer", "local"], "fn f() { super::super::probe::g(); }");
    found(&misplaced(&relative), &["issuer must not name probe::g"]);
    let upward = planted(&["driver", "lane"], "use crate::app::Places;");
    found(&misplaced(&upward), &["driver must not name app::Places"]);
    let settings = planted(&["config"], "use crate::issuer::vault::VaultSettings;");
    found(
        &misplaced(&settings),
        &["config must not name issuer::vault::VaultSettings"],
    );
    let more = planted(&["config"], "use crate::probe::TlsProbe;");
    found(&misplaced(&more), &["config must not name probe::TlsProbe"]);
    found(&misplaced(&planted(&["new"], "")), &["has no floor"]);
    let type_ = planted(&["driver"], "fn f() -> TlsProbe { TlsProbe }");
    found(&concrete(&type_), &["TlsProbe is a concrete type"]);
    for acts in [
        "use std::{fs::File, time::Duration};",
        "use std::net::{IpAddr, TcpStream};",
        "fn f() -> Timestamp { Timestamp::now() }",
        "async fn f() { tokio::task::yield_now().await }",
    ] {
        let violations = acting(&planted(&["supply"], acts));
        assert_eq!(violations.len(), 1, "{acts}: {violations:?}");
    }
    let reader = Source::new("planted.rs", &["reader"], "use serde::Serialize;");
    found(&dependent(&reader, &["serde".to_owned()]), &["serde"]);
    let reader = Source::new("planted.rs", &["reader"], "use crate::store::Store;");
    found(&dependent(&reader, &[]), &["crate::store"]);
}
