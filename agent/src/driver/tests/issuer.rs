//! What an issuer that fails, lies or wants the operator does to what is published: nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use nix::errno::Errno;
use renewd_store::disk::{Disk, Fault, Faults, Operation};

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::control::Daemon;
use crate::issuer::fake::Deed;
use crate::issuer::{Retry, Sent};

const UNIT: &str = "nginx.service";
const DAY: Duration = Duration::from_secs(86_400);

/// A renewal at which the issuer does this; then whatever the schedule brings within three hours.
fn renewed_with(deed: Deed, check: impl AsyncFnOnce(&Site, &Life<'_>)) {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let before = site.read("c0");
        site.issuer.next_deed(deed);
        let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.work().now_or_never();
        life.until("an error is told", |life| {
            life.status("c0").last_error.is_some()
        })
        .await;
        assert_eq!(site.read("c0"), before, "what is published stays");
        assert_eq!(life.proof("c0", UNIT), "served");
        drop(watcher);
        check(&site, life).await;
    });
}

#[test]
fn an_issuer_that_fails_is_asked_again_and_what_is_published_stays() {
    renewed_with(
        Deed::Fail(Retry::BackOff),
        async |site: &Site, life: &Life<'_>| {
            assert_eq!(life.status("c0").state, "back-off");
            // The gap after the first issuance holds for every try that nobody asks for.
            let gap = Duration::from_secs(3 * 3600);
            life.until_within(gap, "issued again", |life| life.site.issuer.signed() > 1)
                .await;
            life.settle().await;
            assert_eq!(site.read("c0").0, 2);
            assert_eq!(site.issuer.signed(), 2);
        },
    );
}

#[test]
fn an_issuer_that_wants_the_operator_is_left_alone_until_he_asks() {
    renewed_with(
        Deed::Fail(Retry::Operator),
        async |site: &Site, life: &Life<'_>| {
            assert_eq!(life.status("c0").state, "stopped");
            life.renew(&["c0"]).await;
            life.settle().await;
            assert_eq!(site.read("c0").0, 2);
        },
    );
}

#[test]
fn an_answer_for_another_name_is_never_published() {
    renewed_with(Deed::Misname, async |site: &Site, life: &Life<'_>| {
        let error = life.status("c0").last_error.unwrap();
        assert!(error.contains("refused"), "{error}");
        // It cost an issuance, so the next one keeps the gap.
        assert_eq!(site.issuer.signed(), 2);
        life.renew(&["c0"]).await;
        life.settle().await;
        assert_eq!(site.read("c0").0, 2);
    });
}

#[test]
fn an_answer_that_was_not_asked_for_is_never_published_and_costs_one_issuance_in_a_tenth_of_the_life()
 {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let before = site.read("c0");
        for _ in 0..3 {
            site.issuer.next_deed(Deed::Misname);
        }
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("refused", |life| life.status("c0").last_error.is_some())
            .await;
        let error = life.status("c0").last_error.unwrap();
        assert!(error.contains("refused"), "{error}");
        assert_eq!(site.read("c0"), before);
        let begun = life.now();
        life.until_within(DAY, "a good answer", |life| life.site.issuer.signed() == 5)
            .await;
        life.settle().await;
        let took = life.now().duration_since(begun);
        assert!(took >= jiff::SignedDuration::from_hours(7), "{took:?}");
        assert_eq!(life.status("c0").last_error, None);
        assert_eq!(site.read("c0").0, 2);
    });
}

#[test]
fn a_ca_that_is_away_for_hours_is_asked_at_ever_longer_intervals() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let before = site.read("c0");
        for _ in 0..1000 {
            site.issuer.next_deed(Deed::Fail(Retry::BackOff));
        }
        life.until_within(DAY, "due", |life| life.site.issuer.asked() > 1)
            .await;
        let due = site.issuer.asked();
        for _ in 0..60 {
            site.clock.pass(Duration::from_secs(60));
            life.work().await;
        }
        assert!(
            (2..12).contains(&(site.issuer.asked() - due)),
            "{}",
            site.issuer.asked()
        );
        assert_eq!(site.read("c0"), before);
        assert_eq!(life.status("c0").state, "back-off");
    });
}

/// A renewal on order that comes to nothing.
async fn fails(life: &Life<'_>) {
    let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
    life.work().now_or_never();
    life.until("an error is told", |life| {
        life.status("c0").last_error.is_some()
    })
    .await;
    drop(watcher);
}

#[test]
fn a_request_that_the_ca_may_still_sign_is_brought_again_after_a_crash_too_and_never_after_an_answer()
 {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.issuer.sign_later();
    let kept = site.state().join("store/identities/c0/asked-fake");
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        assert!(!kept.exists());
        site.issuer.next_deed(Deed::Leave(Sent::Open));
        fails(life).await;
        life.renew(&["c0"]).await;
        life.settle().await;
        assert!(!kept.exists());
        site.issuer.next_deed(Deed::Silence);
        let _watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.work().now_or_never();
        life.until("it is asked", |life| life.site.issuer.asked() > 3)
            .await;
    });
    assert!(kept.exists());
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.renew(&["c0"]).await;
        life.settle().await;
    });
    let requests = site.issuer.requests();
    let brought: Vec<_> = (1..requests.len())
        .map(|number| requests[number] == requests[number - 1])
        .collect();
    assert_eq!(brought, [false, true, false, true]);
    assert!(!kept.exists());
}

/// A disk with no room for this part, from when what a CA is asked with is kept.
struct FullFromTheOrderOn {
    part: PathBuf,
    armed: AtomicBool,
    begun: AtomicBool,
}

impl Faults for FullFromTheOrderOn {
    fn before(&self, _: Operation, path: &Path) -> Fault {
        let begins = path.to_string_lossy().contains("/asked-fake");
        if begins && self.armed.load(Ordering::Relaxed) {
            self.begun.store(true, Ordering::Relaxed);
        }
        match self.begun.load(Ordering::Relaxed) && path.starts_with(&self.part) {
            true => Fault::Error(Errno::ENOSPC.into()),
            false => Fault::None,
        }
    }
}

#[test]
fn what_was_answered_and_not_kept_before_a_crash_is_asked_for_by_the_same_request() {
    for part in ["identities/c0/2", "records"] {
        let site = Site::new(nginx);
        site.certificate("c0", NGINX);
        site.issuer.sign_later();
        let part = site.state().join("store").join(part);
        let faults = Arc::new(FullFromTheOrderOn {
            part: part.clone(),
            armed: AtomicBool::new(false),
            begun: AtomicBool::new(false),
        });
        site.live(
            Disk::with_faults(faults.clone()),
            async |life: &Life<'_>| {
                life.settle().await;
                faults.armed.store(true, Ordering::Relaxed);
                drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
                life.until("it cannot be kept", |life| {
                    site.issuer.signed() == 2 && life.status("c0").last_error.is_some()
                })
                .await;
            },
        );
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.renew(&["c0"]).await;
            assert_eq!(site.read("c0").0, 2);
            life.renew(&["c0"]).await;
        });
        let requests = site.issuer.requests();
        assert_eq!(requests.len(), 4);
        assert!(requests[1] == requests[2], "{part:?}");
        assert!(requests[2] != requests[3], "{part:?}");
    }
}

#[test]
fn a_request_whose_answer_is_in_use_is_not_brought_again_whatever_is_left_of_it() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.issuer.sign_later();
    let kept = site.state().join("store/identities/c0/asked-fake");
    site.live(Disk::default(), async |life: &Life<'_>| {
        site.issuer.next_deed(Deed::Leave(Sent::Open));
        life.until("asked", |_| kept.exists()).await;
        let left = std::fs::read(&kept).unwrap();
        life.settle().await;
        assert!(!kept.exists());
        // As a crash leaves it that comes right after the record was saved.
        std::fs::write(&kept, left).unwrap();
        life.renew(&["c0"]).await;
        let requests = site.issuer.requests();
        assert!(requests[0] == requests[1]);
        assert!(requests[1] != requests[2]);
        assert!(!kept.exists());
    });
}

#[test]
fn what_the_ca_refused_to_sign_is_not_brought_again() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.issuer.sign_later();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.next_deed(Deed::Leave(Sent::Refused));
        fails(life).await;
        life.renew(&["c0"]).await;
        life.settle().await;
        let requests = site.issuer.requests();
        assert_ne!(requests[1], requests[2]);
    });
}

#[test]
fn an_issuance_that_came_to_nothing_counts_and_its_request_is_not_brought_again() {
    renewed_with(
        Deed::Leave(Sent::Spent),
        async |site: &Site, life: &Life<'_>| {
            let before = life.record("c0").issuances;
            assert_eq!(before, 2);
            life.renew(&["c0"]).await;
            life.settle().await;
            let requests = site.issuer.requests();
            assert_ne!(requests[1], requests[2]);
        },
    );
}

/// How often an issuer that has no advice is asked for it within twelve hours.
fn asked_for_advice(retry: Retry) -> usize {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.issuer.has_no_advice(retry);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        for _ in 0..12 * 12 {
            site.clock.pass(Duration::from_secs(300));
            life.work().await;
        }
    });
    assert_eq!(site.issuer.asked(), 1, "it goes on without");
    site.issuer.asked_for_advice()
}

#[test]
fn an_issuer_that_has_no_advice_is_asked_for_it_at_ever_longer_intervals_and_not_before_it_says() {
    let often = asked_for_advice(Retry::BackOff);
    assert!((6..10).contains(&often), "{often}");
    let seldom = asked_for_advice(Retry::After(Duration::from_secs(4 * 3600)));
    assert!((3..5).contains(&seldom), "{seldom}");
}

#[test]
fn a_clock_that_is_set_ends_the_silence_about_advice() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.issuer.has_no_advice(Retry::BackOff);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.clock.pass(Duration::from_secs(6 * 3600));
        life.work().await;
        let before = site.issuer.asked_for_advice();
        site.clock.step(-jiff::SignedDuration::from_hours(5));
        life.until("asked again", |life| {
            life.site.issuer.asked_for_advice() > before
        })
        .await;
    });
}

#[test]
fn a_host_with_many_certificates_brings_an_issuer_a_few_orders_at_once() {
    let site = Site::new(nginx);
    for number in 0..6 {
        site.certificate(&format!("c{number}"), "");
        site.issuer.next_deed(Deed::Silence);
    }
    site.live(Disk::default(), async |life: &Life<'_>| {
        // The others wait for their turn, which is no step that ends.
        life.work_for(200).await;
        assert_eq!(site.issuer.silenced(), 4);
    });
}
