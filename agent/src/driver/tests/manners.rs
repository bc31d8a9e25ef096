//! When a dependent's job is never asked for: before the daemon is ready, within a reload of its
//! configuration, after it was told to end. `After=` orders jobs both ways, so each would wait for the
//! other.

use futures_util::poll;
use renewd_store::disk::Disk;
use std::pin::pin;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::{ControlError, Daemon};

const UNIT: &str = "nginx.service";

#[test]
fn nothing_is_asked_of_anyone_before_the_daemon_is_ready() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    let ready = site.live_until_ready(Disk::default(), async |life: &Life<'_>| {
        life.work().await;
        assert_eq!(site.issuer.asked(), 0);
        assert_eq!(site.host.asked(), 0);
        assert_eq!(life.driver.status().certificates.len(), 1);
    });
    ready.unwrap();
}

#[test]
fn a_debt_of_the_life_before_is_paid_only_after_ready() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.host.temper(UNIT, Temper::Hangs);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.until("told", |life| !life.site.host.told().is_empty())
            .await;
    });
    site.host.temper(UNIT, Temper::Well);
    let ready = site.live_until_ready(Disk::default(), async |life: &Life<'_>| {
        life.work().await;
        assert_eq!(site.host.told().len(), 1);
        life.driver.run();
        life.settle().await;
        assert_eq!(site.host.told().len(), 2);
    });
    ready.unwrap();
    assert_eq!(site.issuer.signed(), 1);
}

#[test]
fn a_reload_of_the_configuration_ends_without_a_job_of_a_dependent() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.temper(UNIT, Temper::Hangs);
        site.certificate("c0", &format!("key_type = \"ecdsa-p384\"\n{NGINX}"));
        let told = site.host.told().len();
        // Nothing else runs while the reload is polled.
        let mut reload = pin!(life.driver.reload());
        assert!(poll!(&mut reload).is_ready());
        assert_eq!(site.host.told().len(), told);
        life.until("told", |life| life.site.host.told().len() > told)
            .await;
        // And with a job under way that does not end, neither does the next reload wait for it.
        let mut reload = pin!(life.driver.reload());
        assert!(poll!(&mut reload).is_ready());
    });
}

#[test]
fn after_the_order_to_end_nothing_is_begun() {
    for steps in 0..40 {
        let site = Site::new(nginx);
        site.certificate("c0", NGINX);
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.work_for(steps).await;
            let before = (site.host.told().len(), site.issuer.asked());
            life.driver.stop();
            life.work_for(100).await;
            let after = (site.host.told().len(), site.issuer.asked());
            assert_eq!(before, after, "after {steps} steps");
            let refused = life.driver.renew(vec!["c0".parse().unwrap()]);
            assert_eq!(refused.unwrap_err(), ControlError::Stopping);
        });
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.settle().await;
            assert_eq!(life.proof("c0", UNIT), "served", "after {steps} steps");
        });
    }
}

#[test]
fn a_system_that_shuts_down_leaves_debt_and_no_verdict() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.units().stop_system();
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("tried", |life| life.proof("c0", UNIT) == "failed")
            .await;
        let status = life.status("c0");
        assert_eq!(status.units[0].reason.as_deref(), Some("reload refused"));
        assert_eq!(status.generation, Some(2), "no revert");
        let record = life.record("c0");
        assert!(record.units[&UNIT.parse().unwrap()].debt.is_some());
    });
}
