//! An issuer that stands in for another: asked when the first one fails for long, and believed only as far as its roots
//! are known.

use std::time::Duration;

use renewd_core::leaf::Fingerprint;
use renewd_store::disk::Disk;

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::control::Daemon;
use crate::issuer::fake::Deed;
use crate::issuer::{Issuer, Retry, Sent};

const UNIT: &str = "nginx.service";
const HOUR: Duration = Duration::from_secs(3600);

fn site() -> Site {
    let site = Site::new(nginx);
    let main = std::fs::read_to_string(site.configuration().join("renewd.toml")).unwrap();
    site.write(
        "renewd.toml",
        &format!("{main}[issuer.backup]\ntype = \"local\"\n"),
    );
    site.certificate("c0", &format!("issuer = [\"fake\", \"backup\"]\n{NGINX}"));
    site
}

fn issued_by(life: &Life<'_>) -> String {
    let record = life.record("c0");
    let issuer = record.published_generation().unwrap().issuer.clone();
    issuer.unwrap().to_string()
}

#[test]
fn a_stand_in_is_asked_in_the_last_sixth_of_the_life_and_the_first_one_again_at_the_next_renewal() {
    let site = site();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        site.issuer.is_away(true);
        // Due after two thirds; the first one is asked alone until after five sixths.
        for _ in 0..19 {
            site.clock.pass(HOUR);
            life.work().await;
        }
        let error = life.status("c0").last_error.unwrap_or_default();
        assert!(error.contains("the CA is away"), "{error}");
        assert_eq!(
            site.backup.asked(),
            0,
            "there is time to wait for the first one"
        );
        assert_eq!(
            site.bundle("c0").len(),
            2,
            "nothing is dropped for being away"
        );
        life.until_within(2 * HOUR, "issued by the stand-in", |life| {
            issued_by(life) == "backup"
        })
        .await;
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        let shown = life.driver.show(&"c0".parse().unwrap()).unwrap();
        assert_eq!(
            (shown.issuer, shown.fallbacks),
            ("fake".into(), vec!["backup".into()])
        );
        assert_eq!(shown.issued_by.as_deref(), Some("backup"));
        site.issuer.is_away(false);
        life.until_within(20 * HOUR, "issued by the first one", |life| {
            issued_by(life) == "fake"
        })
        .await;
        assert_eq!(site.backup.signed(), 1);
    });
}

#[test]
fn a_stand_in_whose_root_is_not_published_is_not_believed() {
    let site = site();
    site.backup.is_away(true);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.clock.pass(23 * HOUR);
        // Back in the very moment in which the first one goes: nobody has seen its root.
        site.issuer.is_away(true);
        site.backup.is_away(false);
        life.until("the stand-in is refused", |life| {
            let error = life.status("c0").last_error.unwrap_or_default();
            error.contains("stands in the bundle that is published") || issued_by(life) == "backup"
        })
        .await;
        // Then it is published beside the certificate in use, and then it may be used.
        life.until("issued by the stand-in", |life| issued_by(life) == "backup")
            .await;
        let record = life.record("c0");
        let root = site.backup.anchors().await.unwrap();
        let root = Fingerprint::of(&root[0]);
        let used = record.published_generation().unwrap();
        assert_eq!(used.anchor, root);
        let known = record.generations.values().any(|generation| {
            generation.identity != used.identity && generation.trust == used.trust
        });
        assert!(known, "the root was published before the leaf: {record:#?}");
    });
}

#[test]
fn an_issuer_that_wants_the_operator_does_not_keep_its_stand_in_from_being_asked() {
    let site = site();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        for _ in 0..200 {
            site.issuer.next_deed(Deed::Fail(Retry::Operator));
        }
        life.until_within(23 * HOUR, "issued by the stand-in", |life| {
            issued_by(life) == "backup"
        })
        .await;
    });
}

#[test]
fn before_anything_is_published_no_stand_in_is_asked() {
    let site = site();
    site.issuer.is_away(true);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.until("an error is told", |life| {
            life.status("c0").last_error.is_some()
        })
        .await;
        site.clock.pass(HOUR);
        life.work().await;
        assert_eq!(site.backup.asked(), 0);
    });
}

#[test]
fn a_stand_in_is_asked_once_while_the_first_one_takes_its_time() {
    let site = site();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        let before = site.backup.asked_for_anchors();
        site.issuer.holds_its_tongue(true);
        let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.work_for(200).await;
        let asked = site.backup.asked_for_anchors() - before;
        assert!(asked <= 1, "asked {asked} times");
        site.issuer.holds_its_tongue(false);
        life.until("issued", |_| site.issuer.signed() > 1).await;
        drop(watcher);
    });
}

#[test]
fn a_first_issuer_that_never_answers_leaves_its_stand_in_half_of_the_time() {
    let site = site();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        for _ in 0..9 {
            site.issuer.next_deed(Deed::Silence);
        }
        life.until_within(23 * HOUR, "issued by the stand-in", |life| {
            issued_by(life) == "backup"
        })
        .await;
    });
}

#[test]
fn a_stand_in_that_names_a_time_is_left_alone_until_then_through_a_restart_and_the_first_one_is_not()
 {
    let site = site();
    let begun = site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        site.issuer.is_away(true);
        for _ in 0..20 {
            site.backup.next_deed(Deed::Fail(Retry::After(HOUR)));
        }
        life.until_within(22 * HOUR, "the stand-in is asked", |_| {
            site.backup.asked() == 1
        })
        .await;
        life.work().await;
        life.now()
    });
    site.live(Disk::default(), async |life: &Life<'_>| {
        let first = site.issuer.asked_for_anchors();
        life.until_within(HOUR, "it is told why it is not asked", |life| {
            let error = life.status("c0").last_error.unwrap_or_default();
            error.contains("backup wants to be left alone until")
        })
        .await;
        assert_eq!(site.backup.asked(), 1);
        life.until_within(2 * HOUR, "the stand-in is asked again", |_| {
            site.backup.asked() == 2
        })
        .await;
        let waited = Duration::try_from(life.now().duration_since(begun)).unwrap();
        // An eighth for not all of a fleet at once, and at most a try of the first one's later.
        assert!((HOUR..HOUR * 3 / 2).contains(&waited), "{waited:?}");
        assert!(site.issuer.asked_for_anchors() - first > 4);
        // It holds back nothing that the operator orders.
        let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.work().await;
        assert_eq!(site.backup.asked(), 3);
        drop(watcher);
    });
}

#[test]
fn however_long_a_stand_in_wants_to_be_left_alone_it_is_asked_before_the_end() {
    let site = site();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        site.issuer.is_away(true);
        let for_ever = Duration::from_secs(1_000_000_000);
        for _ in 0..4 {
            site.backup.next_deed(Deed::Fail(Retry::After(for_ever)));
        }
        life.until_within(23 * HOUR, "issued by the stand-in", |life| {
            issued_by(life) == "backup"
        })
        .await;
        let end = life
            .record("c0")
            .generations
            .values()
            .map(|of| of.end())
            .min();
        assert!(end > Some(life.now()), "before what was in use had ended");
    });
}

#[test]
fn a_key_that_a_crash_left_beside_its_certificate_is_wiped_before_the_record_lets_go_of_it() {
    let site = site();
    site.backup.sign_later();
    let kept = site.state().join("store/identities/c0/asked-backup");
    let left = site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        site.issuer.is_away(true);
        site.backup.next_deed(Deed::Leave(Sent::Open));
        life.until_within(22 * HOUR, "asked", |_| kept.exists())
            .await;
        let left = std::fs::read(&kept).unwrap();
        life.until_within(2 * HOUR, "issued by the stand-in", |life| {
            issued_by(life) == "backup"
        })
        .await;
        life.settle().await;
        assert!(!kept.exists());
        left
    });
    // A crash between the record and the wiping.
    std::fs::write(&kept, left).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        site.issuer.is_away(false);
        for _ in 0..3 {
            let was = site.read("c0").0;
            life.until_within(20 * HOUR, "renewed by the first one", |_| {
                site.read("c0").0 > was
            })
            .await;
            life.settle().await;
            assert!(!kept.exists(), "its key is in a certificate");
        }
        site.issuer.is_away(true);
        life.until_within(24 * HOUR, "issued by the stand-in again", |life| {
            issued_by(life) == "backup"
        })
        .await;
        let requests = site.backup.requests();
        assert_ne!(
            requests.last(),
            Some(&requests[1]),
            "one key, certified twice"
        );
    });
}

#[test]
fn what_an_issuer_was_asked_with_goes_when_the_issuer_or_the_record_does() {
    let site = site();
    site.issuer.sign_later();
    let kept = site.state().join("store/identities/c0/asked-fake");
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.next_deed(Deed::Leave(Sent::Open));
        let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.until("asked", |_| kept.exists()).await;
        drop(watcher);
        life.work().await;
    });
    let left = std::fs::read(&kept).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        site.certificate("c0", &format!("issuer = \"backup\"\n{NGINX}"));
        life.driver.reload().await.unwrap();
        life.settle().await;
        assert!(!kept.exists(), "nobody asks this issuer any more");
    });
    std::fs::write(&kept, left).unwrap();
    let record = site.state().join("store/records/c0.json");
    std::fs::write(record, "{").unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        assert!(!kept.exists(), "nobody knows what its key is in");
        life.settle().await;
    });
}

#[test]
fn what_an_issuer_answers_that_has_lost_its_name_is_not_believed_of_the_one_that_has_it_now() {
    let site = site();
    site.backup.holds_its_tongue(true);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.until_within(2 * HOUR, "both are asked", |_| {
            site.backup.asked_for_anchors() == 1
        })
        .await;
        let main = std::fs::read_to_string(site.configuration().join("renewd.toml")).unwrap();
        site.write("renewd.toml", &format!("{main}root_lifetime = \"700d\"\n"));
        life.driver.reload().await.unwrap();
        life.until("the new one is asked", |_| {
            site.successor.asked_for_anchors() == 1
        })
        .await;
        site.backup.holds_its_tongue(false);
        life.settle().await;
        let before = site.backup.anchors().await.unwrap();
        let now = site.successor.anchors().await.unwrap();
        let bundle = site.bundle("c0");
        assert!(!bundle.contains(&before[0]), "nobody vouches for it");
        assert!(bundle.contains(&now[0]));
    });
}

#[test]
fn an_issuer_that_is_configured_anew_is_not_left_alone_for_what_the_one_before_wanted() {
    let site = site();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        life.until_within(2 * HOUR, "both are trusted", |_| {
            site.bundle("c0").len() == 2
        })
        .await;
        site.issuer.is_away(true);
        let long = Duration::from_secs(1_000_000_000);
        site.backup.next_deed(Deed::Fail(Retry::After(long)));
        life.until_within(22 * HOUR, "the stand-in is asked", |_| {
            site.backup.asked() == 1
        })
        .await;
        life.work().await;
        let put_off = || life.record("c0").put_off;
        assert_eq!(put_off().len(), 1);
        life.driver.reload().await.unwrap();
        life.work().await;
        assert_eq!(put_off().len(), 1, "it is the same");
        let main = std::fs::read_to_string(site.configuration().join("renewd.toml")).unwrap();
        site.write("renewd.toml", &format!("{main}root_lifetime = \"700d\"\n"));
        life.driver.reload().await.unwrap();
        life.work().await;
        assert_eq!(put_off().len(), 0);
    });
}
