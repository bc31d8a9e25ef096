//! A CA that changes its root: what is new is published at once and known before it is used, what is gone is kept.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use renewd_core::leaf::Fingerprint;
use renewd_store::disk::Disk;

use super::host::{Host, NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::Daemon;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Two certificates, each with a unit of its own.
fn two(host: Host, certificates: &Path) -> Host {
    nginx(host, certificates).install(
        "other.service",
        certificates.join("c1"),
        "tls://127.0.0.1:444",
        true,
    )
}

const OTHER: &str = "[unit.\"other.service\"]\nprobe = \"tls://127.0.0.1:444\"\n";

/// The root that the published leaf chains to.
fn root_in_use(life: &Life<'_>, name: &str) -> Fingerprint {
    life.record(name).published_generation().unwrap().anchor
}

#[test]
fn a_new_root_is_found_without_anybody_asking_and_published_beside_the_same_identity() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (_, serial) = site.read("c0");
        let [old] = site.bundle("c0").try_into().unwrap();
        site.issuer.change_root();
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        life.settle().await;
        assert_eq!(site.read("c0"), (2, serial));
        assert!(site.bundle("c0").contains(&old));
        assert_eq!(life.proof("c0", "nginx.service"), "served");
        assert_eq!(site.issuer.asked(), 1);
        // Nobody is told twice of the same.
        let told = site.host.told().len();
        site.clock.pass(3 * HOUR);
        life.work().await;
        assert_eq!(site.host.told().len(), told);
    });
}

#[test]
fn a_dropped_root_stays_while_a_leaf_needs_it_and_for_as_long_as_it_is_to_be_kept_whatever_restarts_or_the_clock()
 {
    let site = Site::new(nginx);
    site.trust("keep = \"3d\"\n");
    site.certificate("c0", NGINX);
    let pass = async |life: &Life<'_>, hours: u32| {
        for _ in 0..hours {
            site.clock.pass(HOUR);
            life.work().await;
        }
    };
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.change_root();
        life.renew(&["c0"]).await;
        assert_eq!(site.bundle("c0").len(), 2);
        pass(life, 48).await;
    });
    // Since when it is dropped outlives the daemon.
    site.live(Disk::default(), async |life: &Life<'_>| {
        assert_eq!(site.bundle("c0").len(), 2);
        // Set back, and right again: nothing is removed early, and nothing begins anew.
        site.clock.step(-SignedDuration::from_hours(24 * 30));
        pass(life, 2).await;
        assert_eq!(site.bundle("c0").len(), 2);
        site.clock.step(SignedDuration::from_hours(24 * 30));
        pass(life, 18).await;
        assert_eq!(site.bundle("c0").len(), 2);
        pass(life, 8).await;
        assert_eq!(site.bundle("c0").len(), 1);
        life.settle().await;
        assert_eq!(life.record("c0").dropped.len(), 0);
    });
}

#[test]
fn with_nothing_to_be_kept_a_root_goes_when_no_leaf_that_lasts_needs_it() {
    let site = Site::new(nginx);
    site.trust("keep = \"0s\"\n");
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.change_root();
        life.renew(&["c0"]).await;
        life.renew(&["c0"]).await;
        life.until_within(2 * HOUR, "the old root is gone", |_| {
            site.bundle("c0").len() == 1
        })
        .await;
    });
}

#[test]
fn a_new_root_is_in_use_nowhere_before_all_certificates_of_the_issuer_are_proven_with_it() {
    let site = Site::new(two);
    site.certificate("c0", NGINX);
    site.certificate("c1", OTHER);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let old = root_in_use(life, "c0");
        // The other certificate's unit takes its time.
        site.host.temper("other.service", Temper::Slow);
        site.issuer.change_root();
        let mut steps = life.driver.renew(vec!["c0".parse().unwrap()]).unwrap();
        life.until("both bundles are published", |_| {
            ["c0", "c1"].iter().all(|name| site.bundle(name).len() == 2)
        })
        .await;
        life.until("the first one is proven", |life| {
            life.record("c0").trust_is_known()
        })
        .await;
        assert_eq!(root_in_use(life, "c0"), old);
        assert_eq!(site.issuer.asked(), 2, "one for each, and no other");
        let step = steps.recv().await.unwrap();
        assert_eq!(step.step, "waiting");
        assert!(step.detail.contains("new root"), "{step:?}");
        let reason = life.driver.show(&"c0".parse().unwrap()).unwrap();
        assert!(
            reason.next_renewal_reason.contains("new root"),
            "{reason:?}"
        );

        site.host.release();
        life.until("the leaf is of the new root", |life| {
            root_in_use(life, "c0") != old
        })
        .await;
        assert!(life.record("c1").trust_is_known());
        assert_eq!(root_in_use(life, "c1"), old);
        assert_eq!(site.bundle("c0"), site.bundle("c1"));
    });
}

#[test]
fn a_new_root_settles_before_it_is_used_and_never_for_so_long_that_the_certificate_ends() {
    for (settle, earliest, latest) in [
        ("6h", 6 * HOUR, 6 * HOUR + HOUR / 2),
        ("30d", DAY * 4 / 5, DAY * 5 / 6 + HOUR / 2),
    ] {
        let site = Site::new(nginx);
        site.trust(&format!("settle = \"{settle}\"\n"));
        site.certificate("c0", NGINX);
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.settle().await;
            let (begun, old) = (life.now(), root_in_use(life, "c0"));
            site.issuer.change_root();
            drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
            life.until("trusted", |_| site.bundle("c0").len() == 2)
                .await;
            life.until_within(DAY, "in use", |life| root_in_use(life, "c0") != old)
                .await;
            let took = Duration::try_from(life.now().duration_since(begun)).unwrap();
            assert!((earliest..latest).contains(&took), "{settle}: {took:?}");
            assert_eq!(site.issuer.asked(), 2);
            life.settle().await;
            assert_eq!(life.record("c0").new_roots, None);
        });
    }
}

#[test]
fn a_wait_for_a_new_root_outlives_a_restart() {
    let site = Site::new(nginx);
    site.trust("settle = \"6h\"\n");
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.change_root();
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("known", |life| {
            let new = life.record("c0").new_roots;
            new.is_some_and(|new| new.known_since.is_some())
        })
        .await;
        site.clock.pass(5 * HOUR);
        life.work().await;
    });
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.work().await;
        assert_eq!(site.issuer.asked(), 1);
        life.until_within(2 * HOUR, "asked", |_| site.issuer.asked() == 2)
            .await;
    });
}

#[test]
fn a_restart_does_not_forget_whom_a_new_root_has_not_come_to() {
    let site = Site::new(two);
    site.certificate("c0", NGINX);
    site.certificate("c1", OTHER);
    let mut old = None;
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        old = Some(root_in_use(life, "c0"));
        site.host.temper("other.service", Temper::Slow);
        site.issuer.change_root();
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("the first one is proven", |life| {
            site.bundle("c1").len() == 2 && life.record("c0").trust_is_known()
        })
        .await;
    });
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.work_for(50).await;
        assert!(!life.record("c1").trust_is_known());
        assert_eq!(Some(root_in_use(life, "c0")), old);
        assert_eq!(site.issuer.asked(), 2, "one for each, and no other");
    });
}

#[test]
fn an_issuer_that_stands_for_nothing_is_not_believed_and_takes_nothing_away() {
    let site = Site::new(nginx);
    site.trust("keep = \"0s\"\n");
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let before = site.read("c0");
        site.issuer.stands_for_nothing();
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("an error is told", |life| {
            life.status("c0").last_error.is_some()
        })
        .await;
        let error = life.status("c0").last_error.unwrap();
        assert!(error.contains("no CA certificate at all"), "{error}");
        assert_eq!((site.read("c0"), site.bundle("c0").len()), (before, 1));
        assert_eq!(life.record("c0").dropped.len(), 0);
    });
}

#[test]
fn a_dependent_that_is_never_proven_puts_off_one_renewal_for_a_new_root_and_no_further_one() {
    let site = Site::new(two);
    site.certificate("c0", NGINX);
    site.certificate("c1", OTHER);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let old = root_in_use(life, "c0");
        site.host.temper("other.service", Temper::Broken);
        site.issuer.announce_a_root();
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        let mut ages = Vec::new();
        for _ in 0..3 {
            let (before, serial) = (life.record("c0"), site.read("c0").1);
            life.until_within(DAY, "renewed", |_| site.read("c0").1 != serial)
                .await;
            let begun = before.published_generation().unwrap().accepted_at;
            ages.push(Duration::try_from(life.now().duration_since(begun)).unwrap());
            assert_eq!(root_in_use(life, "c0"), old);
        }
        // Ends are whole seconds.
        assert!(ages[0] > DAY * 5 / 6 - HOUR / 60, "{ages:?}");
        assert!(ages[1..].iter().all(|age| *age < DAY * 3 / 4), "{ages:?}");
        assert!(!life.record("c1").trust_is_known());
    });
}
