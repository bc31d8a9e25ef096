//! A CA that publishes revocation lists: they go with the roots, and never make anything worse.

use std::fs;
use std::time::Duration;

use renewd_core::pem;
use renewd_store::disk::Disk;
use renewd_store::reader;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::Daemon;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// How many certificates each published list names.
fn named_in_each(site: &Site) -> Vec<usize> {
    use x509_parser::prelude::{CertificateRevocationList, FromDer};
    let Some(text) = reader::read(site.published("c0")).unwrap().crl_pem else {
        return Vec::new();
    };
    // What services read is the same file.
    assert_eq!(
        fs::read(site.published("c0").join("crl.pem")).unwrap(),
        text
    );
    let lists = pem::parse_crls(std::str::from_utf8(&text).unwrap()).unwrap();
    let named = lists.iter().map(|list| {
        let (_, list) = CertificateRevocationList::from_der(list).unwrap();
        list.iter_revoked_certificates().count()
    });
    named.collect()
}

/// How many certificates the published list names; `None` where there is none.
fn revoked(site: &Site) -> Option<usize> {
    match named_in_each(site)[..] {
        [] => None,
        [named] => Some(named),
        ref several => panic!("{several:?}"),
    }
}

async fn hours(life: &Life<'_>, site: &Site, hours: u32) {
    for _ in 0..hours {
        site.clock.pass(HOUR);
        life.work().await;
    }
}

#[test]
fn the_first_certificate_comes_with_the_list_and_a_newer_one_follows_with_the_same_identity() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(DAY, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        // At once: a service could not start without the file.
        let (generation, serial) = site.read("c0");
        assert_eq!((generation, revoked(&site)), (1, Some(1)));
        hours(life, &site, 2).await;
        assert_eq!(site.read("c0"), (1, serial.clone()));

        site.issuer.publishes_crl(DAY, 2);
        life.until_within(2 * HOUR, "the newer list is published", |_| {
            revoked(&site) == Some(2)
        })
        .await;
        life.settle().await;
        assert_eq!(site.read("c0"), (2, serial));
        assert_eq!(life.proof("c0", "nginx.service"), "served");
        assert_eq!(site.issuer.asked(), 1);
    });
}

#[test]
fn a_list_that_says_the_same_makes_nobody_reload_until_the_held_one_is_half_over() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(8 * HOUR, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let told = site.host.told().len();
        // A CA that signs a new one whenever it is asked.
        for _ in 0..3 {
            site.clock.pass(HOUR);
            site.issuer.publishes_crl(8 * HOUR, 1);
            life.work().await;
        }
        assert_eq!(
            (site.host.told().len(), site.read_generation("c0")),
            (told, 1)
        );
        for _ in 0..3 {
            site.clock.pass(HOUR);
            site.issuer.publishes_crl(8 * HOUR, 1);
            life.work().await;
        }
        assert_eq!(
            (site.host.told().len(), site.read_generation("c0")),
            (told + 1, 2)
        );
    });
}

#[test]
fn a_list_that_cannot_be_had_stays_through_restarts_and_renewals_and_goes_when_nobody_wants_any() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(2 * HOUR, 3);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.loses_its_crl();
        hours(life, &site, 4).await;
        assert_eq!((site.read_generation("c0"), revoked(&site)), (1, Some(3)));
    });
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        hours(life, &site, 1).await;
        // Past its end: that is for those to judge who read it.
        assert_eq!((site.read_generation("c0"), revoked(&site)), (1, Some(3)));
        life.renew(&["c0"]).await;
        assert_eq!((site.issuer.signed(), revoked(&site)), (2, Some(3)));
        site.issuer.publishes_no_crl();
        life.until_within(2 * HOUR, "there is no list", |_| revoked(&site).is_none())
            .await;
        let link = site.published("c0").join("crl.pem");
        assert!(link.symlink_metadata().is_err());
        life.settle().await;
        assert_eq!(life.proof("c0", "nginx.service"), "served");
    });
}

#[test]
fn going_back_takes_no_older_list_along() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(DAY, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (_, serial) = site.read("c0");
        site.issuer.publishes_crl(DAY, 2);
        site.host
            .temper("nginx.service", Temper::Only(serial.clone()));
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("the renewal is taken back", |life| {
            site.read("c0").1 == serial
                && site.issuer.signed() == 2
                && life.record("c0").rollout.is_none()
        })
        .await;
        assert_eq!(revoked(&site), Some(2));
    });
}

#[test]
fn the_list_of_a_ca_below_the_root_comes_with_its_first_certificate_and_stays() {
    let site = Site::new(nginx);
    site.issuer.signs_below_its_root();
    site.issuer.publishes_crl(DAY, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        hours(life, &site, 2).await;
        assert_eq!((site.read_generation("c0"), revoked(&site)), (1, Some(1)));
        // Another one signs from now on: its list comes with its first certificate, and that of the one before stays, for
        // other hosts have certificates of that one still.
        site.issuer.signs_below_its_root();
        site.issuer.publishes_crl(DAY, 2);
        life.renew(&["c0"]).await;
        hours(life, &site, 2).await;
        assert_eq!(site.read_generation("c0"), 2);
        let mut both = named_in_each(&site);
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    });
}

#[test]
fn a_list_that_is_too_large_is_left_out_and_stops_no_renewal() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(30 * DAY, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (_, first) = site.read("c0");
        site.issuer.publishes_crl(30 * DAY, 100_000);
        hours(life, &site, 20).await;
        assert_ne!(site.read("c0").1, first);
        assert_eq!(revoked(&site), Some(1));
    });
}

#[test]
fn what_is_published_is_not_forgotten_with_the_record() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(DAY, 3);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| life.settle().await);
    fs::write(site.state().join("store/records/c0.json"), "{").unwrap();
    site.issuer.loses_its_crl();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        assert_eq!(revoked(&site), Some(3));
    });
}

#[test]
fn bundles_that_nothing_refers_to_are_not_kept() {
    let site = Site::new(nginx);
    site.issuer.publishes_crl(DAY, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        for number in 2..12 {
            site.issuer.publishes_crl(DAY, number);
            hours(life, &site, 1).await;
        }
        assert_eq!(revoked(&site), Some(11));
        hours(life, &site, 1).await;
        let kept = fs::read_dir(site.state().join("store/trust/c0")).unwrap();
        let kept = kept.count();
        assert!(kept <= 3, "{kept} bundles");
    });
}

#[test]
fn a_short_list_never_comes_to_its_end_in_use_while_the_ca_makes_new_ones() {
    const MINUTE: Duration = Duration::from_secs(60);
    let site = Site::new(nginx);
    site.issuer.publishes_crl(40 * MINUTE, 1);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        for minute in 1..600 {
            site.clock.pass(MINUTE);
            if minute % 10 == 0 {
                site.issuer.publishes_crl(40 * MINUTE, 1);
            }
            life.work().await;
            let text = reader::read(site.published("c0")).unwrap().crl_pem.unwrap();
            let lists = pem::parse_crls(std::str::from_utf8(&text).unwrap()).unwrap();
            let list = renewd_core::crl::Crl::read(lists[0].clone()).unwrap();
            assert!(!list.has_ended(life.now()), "minute {minute}");
        }
        // And with no more reloads than it needs.
        assert!(
            site.read_generation("c0") < 40,
            "{}",
            site.read_generation("c0")
        );
    });
}
