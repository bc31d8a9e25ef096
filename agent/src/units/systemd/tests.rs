//! What can be shown without a systemd; the rest is in the scenarios.

use super::*;

#[tokio::test]
async fn without_a_bus_nothing_is_done_and_the_reason_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:path={}/no-bus", directory.path().display());
    let systemd = Systemd::new(Some(address));
    let unit = "a.service".parse().unwrap();
    let outcome = systemd
        .act(&unit, OnChange::Reload, Duration::from_secs(5))
        .await;
    let ActOutcome::NotNow(words) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(words.contains("bus cannot be reached"), "{words}");
    assert!(!systemd.system_is_stopping().await);
}

#[tokio::test]
async fn a_bus_that_never_greets_ends_with_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let systemd = Systemd::new(Some(format!("unix:path={}", path.display())));
    let unit = "a.service".parse().unwrap();
    let outcome = systemd
        .act(&unit, OnChange::Reload, Duration::from_millis(50))
        .await;
    let ActOutcome::NotNow(words) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(words.contains("did not answer"), "{words}");
}
