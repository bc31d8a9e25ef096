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
