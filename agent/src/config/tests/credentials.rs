//! Which units may load a certificate as a systemd credential, and under which name.

use std::fs;

use super::super::load::load_at_start;
use super::super::{Held, load};
use super::errors::refused;
use super::loading::{GOOD, directory};
use super::{MAIN, environment, lines, load_certificate};

#[test]
fn a_credential_is_for_a_service_and_has_a_name_that_systemd_can_ask_for() {
    let unit = |unit: &str, credential: &str| {
        format!("names = [\"a.test\"]\n[unit.\"{unit}\"]\ncredential = \"{credential}\"\n")
    };
    refused(
        &unit("app.service", "tls:pem"),
        "/etc/renewd/certs.d/api.toml:3: unit.\"app.service\".credential: \
         \"tls:pem\" is no credential's name; \
         expected 1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit; \
         write the name that stands before the colon in LoadCredential=, such as \"tls.pem\"",
    );
    refused(
        &unit("app.socket", "tls.pem"),
        "/etc/renewd/certs.d/api.toml:3: unit.\"app.socket\".credential: app.socket is no service; \
         expected a service, which alone loads credentials; \
         name the service itself, or remove the key",
    );
    let long = |length: usize| format!("{}.service", "a".repeat(length - 8));
    refused(
        &unit(&long(77), "tls.pem"),
        &format!(
            "/etc/renewd/certs.d/api.toml:3: unit.\"{}\".credential: \
             is, with the unit's name, 84 bytes long; \
             expected at most 83, or systemd cannot ask for it; \
             choose a shorter name for the credential",
            long(77)
        ),
    );
    assert_eq!(load_certificate(&unit(&long(76), "tls.pem")).errors, []);
}

/// It is given its credentials when it starts; a reload alone would bring nothing.
#[test]
fn a_unit_with_a_credential_is_restarted_unless_it_says_otherwise() {
    let told = |keys: &str| {
        let text = format!("names = [\"a.test\"]\n[unit.\"app.service\"]\n{keys}");
        let loaded = load_certificate(&text);
        assert_eq!(loaded.errors, [], "{text}");
        let (_, own) = loaded.settings.units().next().unwrap();
        (own.dependent.on_change.label(), loaded.warnings.len())
    };
    assert_eq!(told("credential = \"tls.pem\"\n"), ("restart", 0));
    assert_eq!(
        told("credential = \"tls.pem\"\non_change = \"reload\"\n"),
        ("reload", 0)
    );
    assert_eq!(
        told("credential = \"tls.pem\"\non_change = \"signal:HUP\"\n"),
        ("signal:HUP", 1)
    );
}

/// systemd asks for a unit and a name, and there must be one answer.
#[test]
fn two_certificates_under_one_credential_of_a_unit_are_refused() {
    let with = |unit: &str, credential: &str| {
        format!("{GOOD}[unit.\"{unit}\"]\ncredential = \"{credential}\"\n")
    };
    let directory = directory(&[
        ("renewd.toml", MAIN),
        ("certs.d/one.toml", &with("app.service", "tls.pem")),
        ("certs.d/three.toml", &with("app.service", "other.pem")),
        ("certs.d/two.toml", &with("other.service", "tls.pem")),
    ]);
    let loaded = load(directory.path(), &environment());
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let accepted = loaded.settings.accepted_texts().clone();

    let second = directory.path().join("certs.d/two.toml");
    fs::write(second, with("app.service", "tls.pem")).unwrap();
    let loaded = load(directory.path(), &environment());
    let [error] = lines(&loaded.errors).try_into().unwrap();
    assert!(
        error.contains(
            "certs.d/two.toml:2: unit.\"app.service\".credential: certificate one is given"
        ),
        "{error}"
    );
    let start = load_at_start(directory.path(), &accepted, &environment());
    assert_eq!(start.held[&"two".parse().unwrap()], Held::LastAccepted);
    assert_eq!(start.settings.certificates.len(), 3);
}
