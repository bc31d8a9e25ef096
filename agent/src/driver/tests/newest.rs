//! What the CA hears of a leaf that was taken back: it knows it for the newest one.

use std::time::Duration;

use renewd_core::leaf::Fingerprint;
use renewd_core::supply::Advice;
use renewd_store::disk::Disk;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::Daemon;

const UNIT: &str = "nginx.service";
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_leaf_that_was_taken_back_is_the_one_that_is_asked_about_and_replaced_and_the_one_in_use_is_shown()
 {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let late = life.now() + jiff::SignedDuration::from_hours(16);
        site.issuer.advises_always(Advice {
            from: late,
            until: late,
            again: HOUR,
            explanation: Some("https://ca.test/why".to_owned()),
        });
        life.settle().await;
        let explanation = |life: &Life<'_>| {
            let shown = life.driver.show(&"c0".parse().unwrap());
            shown.unwrap().explanation
        };
        life.until("advised", |life| explanation(life).is_some())
            .await;
        assert_eq!(explanation(life).as_deref(), Some("https://ca.test/why"));
        let good = site.read("c0").1;
        site.host.temper(UNIT, Temper::Only(good.clone()));
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("taken back", |life| life.record("c0").identity_blamed(2))
            .await;
        assert_eq!(site.read("c0").1, good);
        let of = |leaf: Option<Vec<u8>>| leaf.map(|leaf| Fingerprint::of(&leaf));
        let generations = life.record("c0").generations;
        let [first, second] = [1, 2].map(|identity| {
            let mut kept = generations.values();
            let kept = kept.find(|generation| generation.identity == identity);
            kept.map(|generation| generation.leaf.fingerprint)
        });
        let before = site.issuer.asked_for_advice();
        life.until_within(2 * HOUR, "asked for advice again", |life| {
            life.site.issuer.asked_for_advice() > before
        })
        .await;
        assert!(second.is_some());
        assert_eq!(of(site.issuer.advised_about()), second);
        assert_eq!(explanation(life), None, "it is not of the one in use");
        site.host.temper(UNIT, Temper::Well);
        life.until_within(24 * HOUR, "a new try", |life| {
            life.site.issuer.signed() == 3 && life.is_settled()
        })
        .await;
        let replaced = site.issuer.replaced();
        let replaced: Vec<_> = replaced.into_iter().map(of).collect();
        assert_eq!(replaced, [None, first, second]);
        let shown = site.issuer.shown();
        let shown: Vec<_> = shown.into_iter().map(of).collect();
        assert_eq!(shown, [None, first, first]);
    });
}
