//! Whose the published files are: what is configured, and what follows from it.

use super::super::{ErrorKind, Ownership};
use super::{MAIN, lines, load_certificate, load_pair};

const NAMES: &str = "names = [\"a.test\"]\n";

fn with_defaults(defaults: &str) -> String {
    format!("{MAIN}[defaults]\n{defaults}")
}

/// What `main` and the keys of one certificate make of its files: owner, group and mode.
fn ownership(main: &str, keys: &str) -> (u32, u32, u32) {
    let loaded = load_pair(main, &format!("{NAMES}{keys}"));
    assert_eq!(lines(&loaded.errors), Vec::<String>::new(), "{keys}");
    let Ownership { uid, gid, mode, .. } =
        loaded.settings.certificates[&"api".parse().unwrap()].ownership;
    (uid, gid, mode)
}

#[test]
fn an_owner_without_a_group_brings_its_own_so_that_it_can_enter_the_directory() {
    assert_eq!(ownership(MAIN, "owner = \"postgres\"\n"), (113, 113, 0o600));
    assert_eq!(ownership(MAIN, "owner = \"113\"\n"), (113, 113, 0o600));
    let defaults = with_defaults("owner = \"postgres\"\n");
    assert_eq!(ownership(&defaults, ""), (113, 113, 0o600));
    assert_eq!(ownership(&defaults, "owner = \"root\"\n"), (0, 0, 0o600));
    assert_eq!(ownership(MAIN, ""), (0, 0, 0o600));
    let settings = load_certificate(&format!("{NAMES}owner = \"113\"\n")).settings;
    let certificate = &settings.certificates[&"api".parse().unwrap()];
    assert_eq!(certificate.ownership.group, "postgres");
}

#[test]
fn a_group_that_is_set_holds_whoever_the_owner_is() {
    let group = "group = \"www-data\"\n";
    assert_eq!(ownership(MAIN, group), (0, 33, 0o640));
    let both = format!("owner = \"postgres\"\n{group}");
    assert_eq!(ownership(MAIN, &both), (113, 33, 0o640));
    // Of an owner that has no account, nothing but a group need be known.
    let both = format!("owner = \"4711\"\n{group}");
    assert_eq!(ownership(MAIN, &both), (4711, 33, 0o640));
    let defaults = with_defaults(group);
    assert_eq!(
        ownership(&defaults, "owner = \"4711\"\n"),
        (4711, 33, 0o640)
    );
}

#[test]
fn an_owner_without_an_account_needs_a_group() {
    let loaded = load_certificate(&format!("{NAMES}owner = \"4711\"\n"));
    let [error] = &loaded.errors[..] else {
        panic!("{:?}", lines(&loaded.errors));
    };
    assert_eq!(
        (error.kind, &*error.field),
        (ErrorKind::MissingKey, "group")
    );
    assert!(error.found.contains("4711"), "{error}");
    // A group that does not exist is one mistake, and not a missing one besides.
    let text = format!("{NAMES}owner = \"4711\"\ngroup = \"nobody-here\"\n");
    assert_eq!(load_certificate(&text).errors.len(), 1);
}

#[test]
fn an_owner_shut_out_by_the_group_root_is_told() {
    let loaded = load_certificate(&format!("{NAMES}owner = \"postgres\"\ngroup = \"root\"\n"));
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let [warning] = &loaded.warnings[..] else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(warning.to_string().contains("postgres"), "{warning}");
    for fine in ["group = \"root\"\n", "owner = \"postgres\"\n"] {
        let loaded = load_certificate(&format!("{NAMES}{fine}"));
        assert_eq!(loaded.warnings, [], "{fine}");
    }
}

#[test]
fn an_owner_or_group_that_the_sandbox_does_not_know_is_refused_with_the_remedy() {
    for (keys, line, key) in [
        ("owner = \"far\"\ngroup = \"root\"\n", 2, "owner"),
        ("owner = \"1234567\"\ngroup = \"root\"\n", 2, "owner"),
        ("group = \"far\"\n", 2, "group"),
    ] {
        let loaded = load_certificate(&format!("{NAMES}{keys}"));
        let errors = lines(&loaded.errors);
        assert_eq!(errors.len(), 1, "{errors:?}");
        let place = format!("/etc/renewd/certs.d/api.toml:{line}: {key}: ");
        assert!(errors[0].starts_with(&place), "{errors:?}");
        assert!(errors[0].contains("PrivateUsers=no"), "{errors:?}");
    }
}
