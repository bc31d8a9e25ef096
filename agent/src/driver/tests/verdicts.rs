//! Going back, and not going back: the scenarios of the baseline and the verdict. Each asserts what the
//! CA signed, the leaf that is served, the bundle that is published, and the verdict.

use std::time::Duration;

use renewd_core::supply::Supply;
use renewd_store::disk::Disk;
use renewd_store::reader;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::Daemon;

const UNIT: &str = "nginx.service";
const HOUR: Duration = Duration::from_secs(3600);

/// The verdict on a generation, as `show` tells it.
fn verdict(life: &Life<'_>, generation: u64) -> String {
    let detail = life.driver.show(&"c0".parse().unwrap()).unwrap();
    let mut verdicts = detail.verdicts.iter();
    let verdict = verdicts.find(|verdict| verdict.generation == generation);
    verdict.map_or("forgotten".to_owned(), |found| found.verdict.clone())
}

fn published_bundle(site: &Site) -> Vec<u8> {
    reader::read(site.published("c0")).unwrap().ca_pem
}

/// The operator renews, and nobody waits for the end.
fn renew(life: &Life<'_>) {
    drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
}

/// A site whose first generation is served, and its serial.
async fn first(life: &Life<'_>) -> String {
    life.settle().await;
    assert_eq!(life.proof("c0", UNIT), "served");
    life.site.read("c0").1
}

#[test]
fn a_reload_that_fails_because_of_the_new_certificate_brings_the_old_one_back_and_blames_the_new_one()
 {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let good = first(life).await;
        let bundle = published_bundle(&site);
        site.host.temper(UNIT, Temper::Only(good.clone()));
        renew(life);
        life.until("blamed", |life| verdict(life, 2) == "blamed")
            .await;
        assert_eq!(site.read("c0"), (3, good.clone()));
        assert_eq!(site.host.serves(UNIT), Some(good.clone()));
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(published_bundle(&site), bundle);
        assert_eq!(site.issuer.signed(), 2);
        assert_eq!(life.status("c0").state, "back-off");

        // The next try comes with a back-off, and is taken by a service that likes it.
        site.host.temper(UNIT, Temper::Well);
        life.until_within(24 * HOUR, "a new try", |life| {
            life.site.issuer.signed() == 3 && life.is_settled()
        })
        .await;
        assert_ne!(site.read("c0").1, good);
        assert_eq!(life.proof("c0", UNIT), "served");
    });
}

#[test]
fn a_reload_that_fails_whatever_is_published_is_not_the_certificates_fault_and_costs_no_issuance() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        first(life).await;
        site.host.temper(UNIT, Temper::Broken);
        renew(life);
        life.until_within(HOUR, "twenty retries", |life| {
            life.site.host.told().len() > 22
        })
        .await;
        assert_eq!(
            site.issuer.signed(),
            2,
            "one issuance, whatever the reload does"
        );
        let (generation, serial) = site.read("c0");
        assert_eq!(generation, 4, "forward, back, and forward again");
        assert_eq!(verdict(life, 2), "not the certificate");
        assert_ne!(site.host.serves(UNIT), Some(serial.clone()));
        let status = life.status("c0");
        let reason = status.units[0].reason.clone();
        assert_eq!(
            (status.state.as_str(), reason.as_deref()),
            ("unproven", Some("reload failed"))
        );

        site.host.temper(UNIT, Temper::Well);
        life.settle().await;
        assert_eq!(site.host.serves(UNIT), Some(serial));
        assert_eq!(site.issuer.signed(), 2);
    });
}

#[test]
fn a_service_that_stays_on_the_old_certificate_is_an_alarm_and_no_reason_to_go_back() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let old = first(life).await;
        site.host.temper(UNIT, Temper::Stale);
        renew(life);
        life.until_within(HOUR, "many tries", |life| life.site.host.told().len() > 10)
            .await;
        let status = life.status("c0");
        assert_eq!(status.generation, Some(2));
        assert_eq!(status.units[0].reason.as_deref(), Some("wrong leaf"));
        assert_eq!(status.units[0].served_serial, Some(old));
        assert_eq!(verdict(life, 2), "unproven");
        assert_eq!(site.issuer.signed(), 2);
        site.host.temper(UNIT, Temper::Well);
        life.settle().await;
        assert_eq!(site.host.serves(UNIT), status.serial);
        assert_eq!(verdict(life, 2), "settled");
    });
}

#[test]
fn a_service_that_was_down_before_is_no_reason_to_go_back() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        first(life).await;
        site.host.lose_port(UNIT);
        site.host.temper(UNIT, Temper::Broken);
        renew(life);
        life.until_within(HOUR, "tries", |life| life.site.host.told().len() > 10)
            .await;
        assert_eq!(life.status("c0").generation, Some(2));
        assert_eq!(verdict(life, 2), "unproven");
        assert_eq!(site.issuer.signed(), 2);
        site.host.temper(UNIT, Temper::Well);
        life.settle().await;
        assert_eq!(site.host.serves(UNIT), Some(site.read("c0").1));
    });
}

#[test]
fn with_an_expired_identity_before_it_the_new_one_is_held_forward() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let old = first(life).await;
        site.host.temper(UNIT, Temper::Only(old.clone()));
        // Asleep until the certificate has expired.
        site.clock.pass(25 * HOUR);
        life.until("held forward", |life| verdict(life, 2) == "held forward")
            .await;
        assert_eq!(life.status("c0").generation, Some(2));
        assert_eq!(life.status("c0").state, "held forward");
        assert_ne!(site.read("c0").1, old);
        assert_eq!(site.issuer.signed(), 2);
        life.until_within(HOUR, "tries", |life| life.site.host.told().len() > 10)
            .await;
        assert_eq!(site.issuer.signed(), 2);
        site.host.temper(UNIT, Temper::Well);
        life.settle().await;
        assert_eq!(site.host.serves(UNIT), Some(site.read("c0").1));
    });
}

#[test]
fn a_unit_that_an_administrator_stopped_stays_stopped_and_settles_as_not_running() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        first(life).await;
        site.host.stop(UNIT);
        life.renew(&["c0"]).await;
        assert_eq!(life.proof("c0", UNIT), "not running");
        assert_eq!(verdict(life, 2), "settled");
        assert!(!site.host.units().is_running(&UNIT.parse().unwrap()));
        assert_eq!(site.issuer.signed(), 2);
        site.host.start(UNIT);
        life.work().await;
        assert_eq!(life.proof("c0", UNIT), "served");
    });
}

#[test]
fn a_unit_that_is_stopped_before_its_probe_is_no_reason_to_go_back() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        first(life).await;
        site.host.temper(UNIT, Temper::Stopped);
        life.renew(&["c0"]).await;
        assert_eq!(life.proof("c0", UNIT), "not running");
        assert_eq!(verdict(life, 2), "settled");
        assert_eq!(site.issuer.signed(), 2);
        let second = site.read("c0").1;
        site.host.temper(UNIT, Temper::Well);
        site.host.start(UNIT);
        life.work().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(site.host.serves(UNIT), Some(second));
    });
}

#[test]
fn a_verdict_that_is_interrupted_at_any_step_is_spoken_after_the_restart() {
    for steps in 1..40 {
        let site = Site::new(nginx);
        site.certificate("c0", NGINX);
        let good = site.live(Disk::default(), async |life: &Life<'_>| {
            let good = first(life).await;
            site.host.temper(UNIT, Temper::Only(good.clone()));
            renew(life);
            life.until("the request is in the record", |life| {
                let record = life.record("c0");
                record.renew_requested || record.supply != Supply::Fresh
            })
            .await;
            life.work_for(steps).await;
            good
        });
        site.live(Disk::default(), async |life: &Life<'_>| {
            // Not sooner than a tenth of the life after the last one, if the CA was being asked.
            life.until_within(3 * HOUR, "asked for", |life| life.site.issuer.signed() > 1)
                .await;
            life.until("back", |life| life.proof("c0", UNIT) == "served")
                .await;
            assert_eq!(site.host.serves(UNIT), Some(good.clone()), "after {steps}");
            assert_eq!(site.read("c0").1, good, "after {steps}");
            // The request to renew is in the record, and so is what came of it.
            assert!(site.issuer.signed() <= 3, "after {steps}");
        });
    }
}
