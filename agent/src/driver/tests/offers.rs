//! An issuer that makes the keys: what it has is taken when it comes, and nothing is asked of it but that.

use std::time::Duration;

use renewd_store::disk::Disk;
use renewd_store::reader;

use super::host::{NGINX, nginx};
use super::{Life, Site};

const NAME: &str = "c0.example.internal";
const HOUR: Duration = Duration::from_secs(3600);
const UNIT: &str = "nginx.service";

fn site() -> Site {
    let site = Site::new(nginx);
    site.issuer.make_keys();
    site.certificate("c0", NGINX);
    site
}

#[test]
fn what_an_issuer_offers_with_its_key_is_published_when_it_comes() {
    let site = site();
    site.issuer.offer(NAME, HOUR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (first, before) = (site.read("c0"), life.now());
        let key = reader::read(site.published("c0")).unwrap().key_pem;
        // It is told while the lane has nothing to do, long before anything is due.
        site.clock.pass(Duration::from_secs(600));
        site.issuer.offer(NAME, HOUR);
        life.until("the next one is published", |life| {
            life.site.read("c0") != first
        })
        .await;
        life.settle().await;
        assert!(life.now().duration_since(before) < jiff::SignedDuration::from_secs(660));
        assert_eq!(site.read("c0").0, first.0 + 1);
        assert_ne!(
            reader::read(site.published("c0")).unwrap().key_pem.bytes(),
            key.bytes()
        );
        assert_eq!(life.proof("c0", UNIT), "served");
        // Two at once: the last one is taken, within the distance that issuances have.
        site.issuer.offer(NAME, HOUR);
        site.issuer.offer(NAME, HOUR);
        let second = site.read("c0");
        life.until("the last one is published", |life| {
            life.site.read("c0") != second
        })
        .await;
        life.settle().await;
        assert_eq!(site.read("c0").0, second.0 + 1);
        assert!(site.issuer.requests().is_empty(), "nobody is asked to sign");
        assert_eq!(life.status("c0").last_error, None);
    });
}

#[test]
fn nothing_new_when_it_is_due_is_an_error_that_the_next_offer_ends_at_once() {
    let site = site();
    site.issuer.offer(NAME, 24 * HOUR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let first = site.read("c0");
        life.until_within(18 * HOUR, "it is due", |life| {
            life.status("c0").last_error.is_some()
        })
        .await;
        let error = life.status("c0").last_error.unwrap();
        assert!(error.contains("nothing newer"), "{error}");
        assert_eq!(site.read("c0"), first, "what is published stays");
        // Its tries are far apart by now.
        site.clock.pass(3 * HOUR);
        life.work().await;
        let before = life.now();
        site.issuer.offer(NAME, 24 * HOUR);
        life.until("it is taken", |life| life.site.read("c0") != first)
            .await;
        life.settle().await;
        let waited = life.now().duration_since(before);
        assert!(waited <= jiff::SignedDuration::from_secs(2), "{waited:?}");
        assert_eq!(life.status("c0").last_error, None);
    });
}

#[test]
fn an_offer_that_is_refused_again_and_again_is_tried_once_a_second_at_most() {
    let site = site();
    site.issuer.offer(NAME, HOUR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (first, asked, before) = (site.read("c0"), site.issuer.asked(), life.now());
        site.clock.pass(HOUR / 4);
        for _ in 0..50 {
            site.issuer.offer("other.example.internal", HOUR);
            life.work().await;
            site.clock.pass(Duration::from_millis(100));
        }
        assert_eq!(site.read("c0"), first);
        let tries = site.issuer.asked() - asked;
        assert!(
            (2..=7).contains(&tries),
            "{tries} in {:?}",
            life.now().duration_since(before)
        );
    });
}

#[test]
fn another_bundle_goes_out_without_another_identity() {
    let site = site();
    site.issuer.offer(NAME, HOUR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let first = site.read("c0");
        site.issuer.change_root();
        site.issuer.tell_news();
        life.until("it is published", |life| life.site.read("c0").0 > first.0)
            .await;
        life.settle().await;
        assert_eq!(site.read("c0").1, first.1);
        let bundle = reader::read(site.published("c0")).unwrap().ca_pem;
        let roots = String::from_utf8_lossy(&bundle).matches("BEGIN").count();
        assert_eq!(roots, 2, "what the leaf chains to stays");
    });
}
