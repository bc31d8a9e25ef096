//! What a unit loads as a systemd credential is what is published, at every moment.

use std::fs;

use renewd_store::disk::Disk;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::Daemon;
use crate::credentials::{Asked, Refusal};

const CREDENTIAL: &str = "credential = \"tls.pem\"\n";

fn asked() -> Asked {
    Asked {
        unit: "nginx.service".parse().unwrap(),
        credential: "tls.pem".parse().unwrap(),
    }
}

/// What nginx.service is given: of the published generation, byte for byte.
fn expect_published(life: &Life<'_>) -> u64 {
    let given = life.driver.world.credentials.answer(asked()).unwrap();
    let combined = life.site.published("c0").join("combined.pem");
    assert_eq!(given.pem(), fs::read_to_string(combined).unwrap());
    assert_eq!(given.generation, life.site.read_generation("c0"));
    given.generation
}

#[test]
fn a_unit_is_given_what_is_published_after_every_renewal_revert_and_start() {
    let site = Site::new(nginx);
    site.certificate("c0", &format!("{NGINX}{CREDENTIAL}"));
    site.live(Disk::default(), async |life: &Life<'_>| {
        let refused = life.driver.world.credentials.answer(asked()).unwrap_err();
        assert!(matches!(refused, Refusal::Unpublished { .. }));
        life.settle().await;
        assert_eq!(expect_published(life), 1);
        life.renew(&["c0"]).await;
        assert_eq!(expect_published(life), 2);
        // The next one is taken back.
        let (_, good) = site.read("c0");
        site.host.temper("nginx.service", Temper::Only(good));
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("taken back", |_| site.read_generation("c0") == 4)
            .await;
        assert_eq!(expect_published(life), 4);
    });
    // Before any lane runs: who waited for the daemon is answered at once.
    let ready = site.live_until_ready(Disk::default(), async |life: &Life<'_>| {
        expect_published(life);
    });
    ready.unwrap();
}

#[test]
fn a_reload_gives_and_takes_the_right_to_a_certificate() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    let c0 = "c0".parse().unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        let vault = &life.driver.world.credentials;
        life.settle().await;
        assert_eq!(vault.held(&c0), None, "no unit loads it");
        site.certificate(
            "c0",
            &format!("{NGINX}{CREDENTIAL}on_change = \"restart\"\n"),
        );
        life.driver.reload().await.unwrap();
        expect_published(life);
        site.certificate("c0", NGINX);
        life.driver.reload().await.unwrap();
        assert!(matches!(
            vault.answer(asked()),
            Err(Refusal::NotConfigured(_))
        ));
        assert_eq!(vault.held(&c0), None);
    });
}
