//! Many certificates and many units: what they share, and what a fault in one does to the others.

use renewd_core::unit::OnChange;
use renewd_store::disk::Disk;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::Daemon;
use crate::issuer::fake::Deed;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number}")).collect()
}

#[test]
fn one_certificate_is_issued_published_told_of_and_proven() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        assert_eq!(life.proof("c0", "nginx.service"), "served");
        assert_eq!(site.read("c0").0, 1);
        assert_eq!(site.host.serves("nginx.service"), Some(site.read("c0").1));
        life.renew(&["c0"]).await;
        assert_eq!(site.read("c0").0, 2);
        assert_eq!(site.issuer.signed(), 2);
    });
}

#[test]
fn ten_certificates_on_one_unit_cost_one_reload() {
    let site = Site::new(nginx);
    for name in names(10) {
        site.certificate(&name, "[unit.\"nginx.service\"]\n");
    }
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let reload = ("nginx.service".to_owned(), OnChange::Reload);
        assert_eq!(site.host.told(), std::slice::from_ref(&reload));
        assert_eq!(site.issuer.signed(), 10);
        let all = names(10);
        life.renew(&all.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        assert_eq!(site.host.told(), [reload.clone(), reload.clone()]);
        assert_eq!(site.issuer.signed(), 20);
        for name in all {
            assert_eq!(life.proof(&name, "nginx.service"), "reloaded");
        }
    });
}

#[test]
fn a_ca_that_does_not_answer_for_one_certificate_does_not_hold_up_the_reload_for_the_others() {
    let site = Site::new(nginx);
    for name in names(3) {
        site.certificate(&name, "[unit.\"nginx.service\"]\n");
    }
    site.issuer.next_deed(Deed::Silence);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let proven = |life: &Life<'_>| {
            let proven = names(3)
                .iter()
                .filter(|name| life.proof(name, "nginx.service") == "reloaded")
                .count();
            proven == 2
        };
        let seconds = std::time::Duration::from_secs(3);
        life.until_within(seconds, "two are told of", proven).await;
        assert_eq!(site.host.told().len(), 1);
    });
}

#[test]
fn a_panic_in_one_lane_holds_that_certificate_and_the_others_go_on() {
    let site = Site::new(nginx);
    for name in names(3) {
        site.certificate(&name, "[unit.\"nginx.service\"]\n");
    }
    site.issuer.next_deed(Deed::Panic);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let statuses = life.driver.status().certificates;
        let held: Vec<_> = statuses
            .iter()
            .filter(|status| status.state == "held")
            .collect();
        assert_eq!(held.len(), 1, "{statuses:#?}");
        let text = held[0].last_error.as_ref().unwrap();
        assert!(text.contains("internal error"), "{text}");
        let fresh = statuses.iter().filter(|status| status.state == "fresh");
        assert_eq!(fresh.count(), 2, "{statuses:#?}");

        let name = held[0].name.clone();
        let refused = life.driver.renew(vec![name.parse().unwrap()]);
        assert!(refused.unwrap_err().to_string().contains("held"));
        life.driver.progress().await;

        // The fault was transient; a reload tries again.
        life.driver.reload().await.unwrap();
        life.settle().await;
        assert_eq!(life.status(&name).state, "fresh");
    });
}

#[test]
fn a_panic_in_a_units_lane_is_debt_that_is_paid_later_and_other_units_go_on() {
    let site = Site::new(|host, certificates| {
        let web = certificates.join("web");
        nginx(host, certificates).install("web.service", web, "tls://127.0.0.1:8443", true)
    });
    for name in names(2) {
        site.certificate(&name, "[unit.\"nginx.service\"]\n");
    }
    let web = "[unit.\"web.service\"]\nprobe = \"tls://127.0.0.1:8443\"\n";
    site.certificate("web", web);
    site.host.temper("nginx.service", Temper::Panics);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let failed = |life: &Life<'_>| {
            let failed = names(2)
                .iter()
                .all(|name| life.proof(name, "nginx.service") == "failed");
            failed && life.proof("web", "web.service") == "served"
        };
        life.until("both were let go", failed).await;
        let error = life.status("c0").last_error.unwrap();
        assert!(error.contains("internal error"), "{error}");
        site.host.temper("nginx.service", Temper::Well);
        life.settle().await;
        assert_eq!(life.proof("c1", "nginx.service"), "reloaded");
        assert_eq!(
            site.issuer.signed(),
            3,
            "a failing reload never causes an issuance"
        );
    });
}

#[test]
fn a_unit_that_our_own_restart_felled_is_brought_up_again_with_the_identity_before() {
    let site = Site::new(nginx);
    let restarted = "[unit.\"nginx.service\"]\non_change = \"restart\"\n\
                     probe = \"tls://127.0.0.1:443\"\n";
    site.certificate("c0", restarted);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (_, good) = site.read("c0");
        site.host
            .temper("nginx.service", Temper::Only(good.clone()));
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        let blamed = |life: &Life<'_>| life.status("c0").generation == Some(3);
        life.until("it went back", blamed).await;
        life.until("proven", |life| {
            life.proof("c0", "nginx.service") == "served"
        })
        .await;
        assert_eq!(site.host.serves("nginx.service"), Some(good));
        assert_eq!(site.host.units().revivals().len(), 1);
    });
}

#[test]
fn a_unit_that_a_person_stopped_stays_stopped() {
    let site = Site::new(nginx);
    site.certificate("c0", "[unit.\"nginx.service\"]\non_change = \"restart\"\n");
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.stop("nginx.service");
        life.renew(&["c0"]).await;
        assert_eq!(life.proof("c0", "nginx.service"), "not running");
        assert!(site.host.units().revivals().is_empty());
    });
}

#[test]
fn a_service_that_comes_up_later_is_proven_at_once() {
    for on_change in ["reload", "none"] {
        let site = Site::new(nginx);
        site.host.stop("nginx.service");
        let more = format!("{NGINX}on_change = \"{on_change}\"\n");
        site.certificate("c0", &more);
        site.live(Disk::default(), async |life: &Life<'_>| {
            let published = |life: &Life<'_>| life.status("c0").generation == Some(1);
            life.until("published", published).await;
            // Some tries are over, and the next one is a while ahead.
            life.until_within(std::time::Duration::from_secs(600), "retries", |life| {
                let unit = &life.record("c0").units[&"nginx.service".parse().unwrap()];
                unit.debt.as_ref().is_none_or(|debt| debt.tries > 6)
            })
            .await;
            site.host.start("nginx.service");
            life.work().await;
            assert_eq!(life.proof("c0", "nginx.service"), "served", "{on_change}");
        });
    }
}

#[test]
fn a_service_that_watches_its_directory_is_proven_without_being_told() {
    let site = Site::new(|host, published| nginx(host, published).watching("nginx.service"));
    site.certificate("c0", &format!("{NGINX}\non_change = \"none\""));
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.renew(&["c0"]).await;
        assert_eq!(life.proof("c0", "nginx.service"), "served");
        assert_eq!(site.read("c0").0, 2);
        assert!(site.host.told().is_empty());
    });
}

#[test]
fn a_unit_that_becomes_active_while_it_is_being_told_is_not_taken_for_stopped() {
    let site = Site::new(nginx);
    site.host.stop("nginx.service");
    site.host.temper("nginx.service", Temper::Slow);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.until("it is found stopped", |life| {
            !life.site.host.told().is_empty()
        })
        .await;
        site.host.start("nginx.service");
        life.work().await;
        site.host.release();
        life.work().await;
        assert_eq!(life.proof("c0", "nginx.service"), "served");
    });
}

#[test]
fn a_service_that_listens_a_while_after_it_became_active_is_proven_soon_after_that() {
    let site = Site::new(nginx);
    site.host.stop("nginx.service");
    site.certificate("c0", &format!("{NGINX}on_change = \"none\"\n"));
    site.live(Disk::default(), async |life: &Life<'_>| {
        let unit = "nginx.service".parse().unwrap();
        let hours = std::time::Duration::from_secs(3 * 3600);
        life.until_within(hours, "many tries while it is down", |life| {
            life.record("c0")
                .units
                .get(&unit)
                .and_then(|unit| unit.debt.as_ref())
                .is_some_and(|debt| debt.tries > 30)
        })
        .await;
        site.host.start("nginx.service");
        site.host.lose_port("nginx.service");
        site.clock.pass(std::time::Duration::from_secs(5));
        life.work().await;
        assert_eq!(life.proof("c0", "nginx.service"), "failed");
        site.host.start("nginx.service");
        let soon = std::time::Duration::from_secs(8);
        life.until_within(soon, "proven", |life| {
            life.proof("c0", "nginx.service") == "served"
        })
        .await;
    });
}

#[test]
fn a_service_that_dies_of_its_reload_is_not_reloaded_each_time_it_comes_up_again() {
    let hour = std::time::Duration::from_secs(3600);
    for (more, proof) in [(NGINX, "served"), ("[unit.\"nginx.service\"]\n", "failed")] {
        let site = Site::new(nginx);
        site.certificate("c0", more);
        site.host.temper("nginx.service", Temper::Dies);
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.until("tried", |life| !life.site.host.told().is_empty())
                .await;
            for _ in 0..60 {
                site.clock.pass(hour / 60);
                life.work().await;
            }
            assert_eq!(life.proof("c0", "nginx.service"), proof);
            let told = site.host.told().len();
            assert!(told < 70, "{told} reloads in an hour");
            if proof == "served" {
                assert_eq!(told, 1, "it came up with what is published");
            }
        });
    }
}
