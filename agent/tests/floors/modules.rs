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
    // Its kinds never import each other either, see KINDS.
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

/// The composition root of issuers. It names each kind's module by its [`KIND`], and nobody else names one.
const KINDS: &str = "kinds";
/// What a kind is known by.
const KIND: &str = "KIND";

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

/// The modules of kinds of issuers: those right below `issuer` that have a [`KIND`].
fn kinds(sources: &[Source]) -> Vec<&str> {
    let known = sources.iter().filter(|source| source.names(KIND));
    known
        .filter_map(|source| match &source.module[..] {
            [top, module] if top == "issuer" => Some(module.as_str()),
            _ => None,
        })
        .collect()
}

/// Who names a kind without being it, and which kinds have no line in the composition root.
fn kinds_named(sources: &[Source]) -> Violations {
    let kinds = kinds(sources);
    let mut violations = Vec::new();
    let mut listed = Vec::new();
    for source in sources {
        for path in source.paths() {
            let Some((kind, rest)) = below_issuer(&path, source, sources) else {
                continue;
            };
            let is_its_own =
                matches!(&source.module[..], [top, own, ..] if top == "issuer" && own == kind);
            if !kinds.contains(&kind) || is_its_own {
                continue;
            }
            if source.top() == KINDS && rest == KIND {
                listed.push(kind.to_owned());
            } else {
                violations.push(format!(
                    "{}: issuer::{kind} is a kind of issuers, named by {KINDS} only, and by its {KIND}",
                    source.file
                ));
            }
        }
    }
    let forgotten = kinds
        .into_iter()
        .filter(|kind| !listed.iter().any(|listed| listed == kind));
    violations.extend(forgotten.map(|kind| format!("issuer::{kind} has no line in {KINDS}")));
    violations
}

/// The module right below `issuer` that a path may lead to, and the rest of it. One that is shorter counts as well: an
/// import may have made it so, unless there is a module of that name just there.
fn below_issuer<'a>(
    path: &'a str,
    source: &Source,
    sources: &[Source],
) -> Option<(&'a str, &'a str)> {
    if let Some(path) = path.strip_prefix("crate::") {
        let path = path.strip_prefix("issuer::")?;
        return Some(path.split_once("::").unwrap_or((path, "")));
    }
    let path = path.strip_prefix("issuer::").unwrap_or(path);
    let (first, rest) = path.split_once("::")?;
    let is_here = |other: &Source| match other.module.split_last() {
        Some((name, place)) => name == first && place == source.module && source.top() != "issuer",
        None => false,
    };
    (!sources.iter().any(is_here)).then_some((first, rest))
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

fn agent() -> Vec<Source> {
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
fn only_their_composition_root_names_kinds_of_issuers_and_it_names_them_all() {
    let sources = agent();
    assert!(kinds(&sources).len() >= 7, "the kinds are gone");
    none(kinds_named(&sources));
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

#[test]
fn planted_names_of_kinds_are_found() {
    let listed = "use crate::issuer; f([&issuer::paper::KIND, &issuer::stone::KIND]);";
    let planted = |list: &str, module: &[&str], text: &str| {
        kinds_named(&[
            Source::new("paper.rs", &["issuer", "paper"], "pub use keys::KIND;"),
            Source::new("stone.rs", &["issuer", "stone"], "pub const KIND: u8 = 1;"),
            Source::new("kinds.rs", &["kinds"], list),
            Source::new("planted.rs", module, text),
        ])
    };
    let own = "use super::api::Api; fn f() -> super::super::paper::Settings {}";
    none(planted(listed, &["issuer", "paper", "api"], own));
    none(planted(
        listed,
        &["driver"],
        "use crate::issuer::kind::Kind;",
    ));
    let words = ["planted.rs", "issuer::paper is a kind"];
    for (module, text) in [
        (&["config"][..], "use crate::issuer::paper::Settings;"),
        (&["app"], "use crate::issuer::{Issuer, paper};"),
        (
            &["app"],
            "use crate::issuer; fn f() -> issuer::paper::Paper {}",
        ),
        (&["issuer", "stone"], "use super::paper::Directory;"),
        (&["issuer", "stone", "api"], "use super::super::paper::Api;"),
        (&["issuer", "kind"], "use super::paper::Settings;"),
        (&["issuer"], "pub use paper::Paper;"),
        (&["issuer"], "use self::paper::Api;"),
        (
            &["driver"],
            "use crate::issuer::*; fn f() -> paper::Paper {}",
        ),
        (&["kinds"], "use crate::issuer::paper::Settings;"),
        (&["paper"], "use crate::issuer::paper::Settings;"),
    ] {
        found(&planted(listed, module, text), &words);
    }
    let short = "use crate::issuer; f([&issuer::stone::KIND]);";
    found(
        &planted(short, &["app"], ""),
        &["issuer::paper has no line"],
    );
}
