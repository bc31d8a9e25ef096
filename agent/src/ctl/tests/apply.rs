//! `apply`: what is written, and what must not be.

use std::fs;
use std::os::unix::fs::MetadataExt;

use renewd_core::unit::OnChange;

use super::{Host, mode};
use crate::ctl::apply::{Options, apply};
use crate::ctl::{Code, Failure, Output};
use crate::polkit::{self, Grant};

impl Host {
    async fn apply(&self) -> (Result<(), Failure>, String) {
        self.apply_with(false).await
    }

    async fn apply_with(&self, dry_run: bool) -> (Result<(), Failure>, String) {
        let options = Options {
            dry_run,
            user: "renewd".to_owned(),
            rule_file: self.path("rules.d/renewd.rules"),
            digest_file: self.path("digest"),
        };
        let mut text = Vec::new();
        let result = apply(
            &self.places,
            &options,
            &self.units,
            &mut Output::to(&mut text),
        )
        .await;
        (result, String::from_utf8(text).unwrap())
    }

    fn rule(&self) -> String {
        self.read("rules.d/renewd.rules")
    }
}

fn digest_of(units: &[&str]) -> String {
    let grants = units
        .iter()
        .flat_map(|unit| Grant::needed(&unit.parse().unwrap(), OnChange::Reload))
        .collect();
    format!("{}\n", polkit::digest("renewd", &grants))
}

#[tokio::test]
async fn the_rule_has_the_names_that_aliases_lead_to_and_the_digest_those_of_the_configuration() {
    let mut host = Host::new();
    host.certificate("api", "web.service", "");
    host.unit("web.service", |facts| {
        facts.canonical = "nginx.service".to_owned()
    });
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("Wrote"), "{text}");
    assert!(
        host.rule().contains("\"nginx.service reload\""),
        "{}",
        host.rule()
    );
    assert!(!host.rule().contains("web.service"), "{}", host.rule());
    assert_eq!(host.read("digest"), digest_of(&["web.service"]));
    for name in ["rules.d/renewd.rules", "digest"] {
        let metadata = fs::metadata(host.path(name)).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o644, "{name}");
    }
    assert_eq!(fs::read_dir(host.path("rules.d")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_rule_that_says_the_same_already_is_left_alone() {
    let mut host = Host::new();
    host.certificate("api", "nginx.service", "");
    host.unit("nginx.service", |_| ());
    host.apply().await.0.unwrap();
    let before = fs::metadata(host.path("rules.d/renewd.rules"))
        .unwrap()
        .ino();
    fs::remove_file(host.path("digest")).unwrap();
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("up to date"), "{text}");
    let after = fs::metadata(host.path("rules.d/renewd.rules"))
        .unwrap()
        .ino();
    assert_eq!(before, after);
    assert_eq!(host.read("digest"), digest_of(&["nginx.service"]));
}

#[tokio::test]
async fn one_bad_file_neither_fails_nor_takes_away_what_was_allowed() {
    let mut host = Host::new();
    host.unit("nginx.service", |_| ());
    host.unit("postfix.service", |_| ());
    host.certificate("api", "nginx.service", "");
    host.certificate("mail", "postfix.service", "");
    host.apply().await.0.unwrap();

    host.certificate("api", "nginx.service", "on_chance = \"reload\"");
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(
        text.contains("api.toml:4") && text.contains("stays allowed"),
        "{text}"
    );
    assert!(
        host.rule().contains("\"nginx.service reload\""),
        "{}",
        host.rule()
    );
    assert!(
        host.rule().contains("\"postfix.service reload\""),
        "{}",
        host.rule()
    );
    assert_eq!(
        host.read("digest"),
        digest_of(&["nginx.service", "postfix.service"])
    );

    // Once all is right, exactly what is configured is allowed.
    fs::remove_file(host.path("etc/certs.d/api.toml")).unwrap();
    host.apply().await.0.unwrap();
    assert!(!host.rule().contains("nginx"), "{}", host.rule());
}

#[tokio::test]
async fn a_file_that_others_can_write_is_left_out() {
    let mut host = Host::new();
    for unit in ["nginx.service", "sshd.service"] {
        host.unit(unit, |_| ());
    }
    host.certificate("api", "nginx.service", "");
    host.certificate("evil", "sshd.service", "");
    mode(&host.path("etc/certs.d/evil.toml"), 0o666);
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("evil is left out"), "{text}");
    assert!(
        host.rule().contains("nginx.service") && !host.rule().contains("sshd"),
        "{}",
        host.rule()
    );
}

#[tokio::test]
async fn nothing_is_taken_from_a_directory_that_others_can_write() {
    for place in ["etc", "etc/certs.d", "etc/renewd.toml"] {
        let host = Host::new();
        host.certificate("api", "nginx.service", "");
        mode(&host.path(place), 0o777);
        let (result, _) = host.apply().await;
        let failure = result.unwrap_err();
        assert_eq!(failure.code, Code::Permission, "{place}: {}", failure.what);
        assert!(!host.path("rules.d/renewd.rules").exists());
    }
}

#[tokio::test]
async fn without_polkit_it_says_so_and_leaves_no_digest() {
    let host = Host::new();
    host.certificate("api", "nginx.service", "");
    host.write("digest", "old\n");
    fs::remove_dir(host.path("rules.d")).unwrap();
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("polkit is not installed"), "{text}");
    assert!(!host.path("digest").exists());
}

#[tokio::test]
async fn without_a_bus_the_configured_names_are_written_and_nobody_is_told_that_they_are_right() {
    let host = Host::new();
    host.certificate("api", "nginx.service", "on_change = \"restart\"");
    host.write("digest", "old\n");
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("systemd could not be asked"), "{text}");
    assert!(
        host.rule().contains("\"nginx.service try-restart\""),
        "{}",
        host.rule()
    );
    assert!(!host.path("digest").exists(), "{}", host.read("digest"));
}

#[tokio::test]
async fn without_a_bus_what_aliases_led_to_before_stays_allowed() {
    let mut host = Host::new();
    host.certificate("api", "web.service", "");
    host.unit("web.service", |facts| {
        facts.canonical = "nginx.service".to_owned()
    });
    host.apply().await.0.unwrap();
    let bus = host.units.0.take();
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("stays allowed"), "{text}");
    assert!(
        host.rule().contains("\"nginx.service reload\""),
        "{}",
        host.rule()
    );
    assert!(!host.path("digest").exists());

    // Once systemd answers, exactly what is configured is allowed.
    host.units.0 = bus;
    host.apply().await.0.unwrap();
    assert!(!host.rule().contains("web.service"), "{}", host.rule());
    assert_eq!(host.read("digest"), digest_of(&["web.service"]));
}

#[tokio::test]
async fn a_unit_that_systemd_has_no_answer_for_counts_as_not_resolved() {
    let mut host = Host::new();
    host.certificate("api", "web.service", "");
    host.unit("web.service", |facts| {
        facts.canonical = "nginx.service".to_owned()
    });
    host.apply().await.0.unwrap();
    host.units.1.insert("web.service".parse().unwrap());
    let (result, text) = host.apply().await;
    result.unwrap();
    assert!(text.contains("web.service"), "{text}");
    assert!(
        host.rule().contains("\"nginx.service reload\""),
        "{}",
        host.rule()
    );
    assert!(!host.path("digest").exists());
}

#[tokio::test]
async fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let mut host = Host::new();
    host.certificate("api", "nginx.service", "");
    host.unit("nginx.service", |_| ());
    let (result, text) = host.apply_with(true).await;
    result.unwrap();
    assert!(text.contains("would be made"), "{text}");
    assert!(text.contains("+ reload nginx.service"), "{text}");
    assert_eq!(fs::read_dir(host.path("rules.d")).unwrap().count(), 0);
    assert!(!host.path("digest").exists());

    host.apply().await.0.unwrap();
    let (rule, digest) = (host.rule(), host.read("digest"));
    let (_, text) = host.apply_with(true).await;
    assert!(text.contains("is up to date"), "{text}");
    host.certificate("api", "db.service", "on_change = \"restart\"\n");
    host.unit("db.service", |_| ());
    let (_, text) = host.apply_with(true).await;
    for part in [
        "would be written anew",
        "+ restart db.service",
        "+ try-restart db.service",
        "- reload nginx.service",
        "Nothing was changed.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((host.rule(), host.read("digest")), (rule, digest));
}
