//! The daemon's configuration, a main file and a certificate's: what is refused is refused by file and line, in one
//! line, and then nothing of it is in force; what is accepted is accepted again as it is kept for the next start.

use std::path::Path;

use renewd::config::{AnyAccounts, Environment, Held, Texts, load_texts};
use renewd::kinds::KINDS;
use renewd::probe::ProbeTarget;

use crate::split;

pub(crate) fn run(data: &[u8]) {
    let [main, certificate, target] = split::texts(data);
    let (lines, own_lines) = (main.lines().count(), certificate.lines().count());
    let texts = Texts {
        main: Some(main),
        certificates: [("api".parse().expect("a name"), certificate)].into(),
    };
    let environment = Environment::new("web1.example", &"0".repeat(32), AnyAccounts, KINDS);
    let load = |texts: &Texts| load_texts(Path::new("/etc/renewd"), texts, &environment);
    let loaded = load(&texts);
    for error in &loaded.errors {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        let last = match error.location.file.ends_with("renewd.toml") {
            true => lines,
            false => own_lines,
        };
        let line = error.location.line.map(|line| line as usize);
        assert!(
            line.is_none_or(|line| (1..=last + 1).contains(&line)),
            "{text}"
        );
    }
    let in_force = !loaded.settings.certificates.is_empty();
    assert_eq!(in_force, loaded.errors.is_empty() && loaded.held.is_empty());
    assert!(loaded.held.values().all(|held| *held == Held::Nothing));
    if in_force {
        assert_eq!(*loaded.settings.accepted_texts(), texts);
        let again = load(loaded.settings.accepted_texts()).settings;
        assert_eq!(format!("{again:?}"), format!("{:?}", loaded.settings));
    }
    if let Ok(target) = target.parse::<ProbeTarget>() {
        let written = target.to_string();
        assert_eq!(written.parse().as_ref(), Ok(&target), "{written}");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const MAIN: &str = include_str!("../../../../docs/examples/renewd.toml");
    const LOCAL: &str = "[issuer.internal]\ntype = \"local\"\n";
    let certificates = [
        include_str!("../../../../docs/examples/full.toml"),
        include_str!("../../../../docs/examples/minimal.toml"),
        include_str!("../../../../docs/examples/postgres.toml"),
        include_str!("../../../../docs/examples/spiffe-fleet.toml"),
    ];
    let targets = [
        "127.0.0.1:443",
        "smtp://[::1]:25",
        "postgres:/run/x?sni=y",
        "ldap://a.b",
    ];
    let mut seeds = Vec::new();
    for (certificate, target) in certificates.iter().zip(targets) {
        seeds.push(split::text(&[MAIN, certificate, target]));
        seeds.push(split::text(&[LOCAL, certificate, target]));
    }
    seeds
}
