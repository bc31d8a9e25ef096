//! `check`: the configuration's findings with systemd's beside them.

use super::Host;
use crate::ctl::check::check;
use crate::ctl::{Code, Failure, Output};
use crate::units::Units;

impl Host {
    async fn check(&self, offline: bool) -> (Result<(), Failure>, String) {
        let mut text = Vec::new();
        let units = (!offline).then_some(&self.units as &dyn Units);
        let result = check(&self.places, &[], units, &mut Output::to(&mut text)).await;
        (result, String::from_utf8(text).unwrap())
    }
}

#[tokio::test]
async fn a_right_configuration_passes() {
    let mut host = Host::new();
    host.certificate("api", "nginx.service", "");
    host.unit("nginx.service", |_| ());
    let (result, text) = host.check(false).await;
    result.unwrap();
    assert_eq!(text, "1 certificate is right.\n");
}

#[tokio::test]
async fn every_fault_is_told_with_its_file_and_line() {
    let host = Host::new();
    host.certificate("api", "nginx.service", "on_chance = \"reload\"");
    host.write("etc/certs.d/b.toml", "names = 7\n");
    let (result, text) = host.check(true).await;
    assert_eq!(result.unwrap_err().code, Code::Config);
    assert!(text.contains("api.toml:4: "), "{text}");
    assert!(text.contains("b.toml:1: "), "{text}");
    assert!(text.contains("2 errors"), "{text}");
}

#[tokio::test]
async fn a_unit_that_cannot_reload_is_an_error_in_its_place() {
    let mut host = Host::new();
    host.certificate("api", "simple.service", "");
    host.unit("simple.service", |facts| facts.can_reload = false);
    let (result, text) = host.check(false).await;
    assert_eq!(result.unwrap_err().code, Code::Config);
    assert!(
        text.contains("api.toml:3: unit.\"simple.service\".on_change: "),
        "{text}"
    );
    assert!(text.contains("set on_change to \"restart\""), "{text}");
    host.check(true).await.0.unwrap();
}

#[tokio::test]
async fn a_lasting_service_cannot_be_started_on_change() {
    let mut host = Host::new();
    host.certificate("api", "nginx.service", "on_change = \"start\"");
    host.unit("nginx.service", |_| ());
    assert_eq!(host.check(false).await.0.unwrap_err().code, Code::Config);
    host.unit("nginx.service", |facts| {
        facts.service_type = "oneshot".to_owned()
    });
    host.check(false).await.0.unwrap();
}

#[tokio::test]
async fn what_may_be_meant_is_a_warning_with_its_remedy() {
    let mut host = Host::new();
    host.certificate("a", "postgresql.service", "");
    host.certificate("b", "absent.service", "");
    host.certificate("c", "late.service", "");
    host.unit("postgresql.service", |facts| facts.is_umbrella = true);
    host.unit("late.service", |facts| {
        facts.after = vec!["renewd.service".to_owned()];
        facts.needs_daemon_reload = true;
    });
    let (result, text) = host.check(false).await;
    result.unwrap();
    for part in [
        "postgresql@15-main.service",
        "absent.service does not exist",
        "take After=renewd.service out",
        "systemctl daemon-reload",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn without_a_bus_it_says_that_the_units_were_not_looked_at() {
    let host = Host::new();
    host.certificate("api", "nginx.service", "");
    let (result, text) = host.check(false).await;
    result.unwrap();
    assert!(text.contains("units were not looked at"), "{text}");
}

#[tokio::test]
async fn a_unit_that_will_not_get_its_credential_is_told() {
    const LOADED: (&str, &str) = ("tls.pem", "/run/renewd-credentials.sock");
    let loads = |(name, path): (&str, &str)| vec![(name.to_owned(), path.to_owned())];
    let mut host = Host::new();
    host.certificate("api", "app.service", "credential = \"tls.pem\"");
    host.unit("app.service", |facts| facts.credentials = loads(LOADED));
    host.unit("renewd-credentials.socket", |_| ());
    let (result, text) = host.check(false).await;
    result.unwrap();
    assert_eq!(text, "1 certificate is right.\n");

    host.unit("app.service", |facts| {
        facts.credentials = loads(("tls.pem", "/etc/app.pem"));
    });
    host.unit("renewd-credentials.socket", |facts| {
        facts.activity = renewd_core::unit::Activity::NotRunning;
        facts.active_state = "inactive".to_owned();
    });
    let (result, text) = host.check(false).await;
    result.unwrap();
    for part in [
        "api.toml:3: unit.\"app.service\".credential: app.service does not load it",
        "LoadCredential=tls.pem:/run/renewd-credentials.sock",
        "renewd-credentials.socket, which it is loaded from, is inactive",
        "systemctl enable renewd-credentials.socket",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }

    host.unit("app.service", |facts| {
        facts.credentials = loads(LOADED);
        facts.canonical = "real.service".to_owned();
    });
    let (result, text) = host.check(false).await;
    assert_eq!(result.unwrap_err().code, Code::Config);
    assert!(text.contains("write [unit.\"real.service\"]"), "{text}");
}

#[tokio::test]
async fn a_reload_that_brings_no_new_credential_is_an_error() {
    let mut host = Host::new();
    let keys = "credential = \"tls.pem\"\non_change = \"reload\"";
    host.certificate("api", "app.service", keys);
    host.unit("app.service", |_| ());
    let (result, text) = host.check(false).await;
    assert_eq!(result.unwrap_err().code, Code::Config);
    assert!(text.contains("not when it reloads"), "{text}");
    host.unit("app.service", |facts| facts.refreshes_credentials = true);
    host.check(false).await.0.unwrap();
}
