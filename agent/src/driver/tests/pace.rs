//! How often an issuer is asked, whatever it says: five minutes of a certificate that lives for one, second by second.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewd_core::supply::Advice;
use renewd_store::disk::Disk;

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::issuer::Retry;
use crate::issuer::fake::{Deed, FakeIssuer};

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What five minutes came to.
#[derive(Debug)]
struct Tally {
    signed: u64,
    asked: usize,
    asked_for_advice: usize,
    /// The shortest time from one issuance to the next.
    least_gap: Duration,
    /// The least that was left of what was published.
    least_left: Duration,
}

fn five_minutes(issuer: impl FnOnce(&FakeIssuer, Timestamp)) -> Tally {
    let site = Site::new(nginx);
    let certificate = "names = [\"c0.example.internal\"]\nlifetime = \"60s\"\n";
    site.write("certs.d/c0.toml", &format!("{certificate}{NGINX}"));
    site.live(Disk::default(), async |life: &Life<'_>| {
        issuer(&site.issuer, life.now());
        life.settle().await;
        let (mut last, mut signed) = (life.now(), site.issuer.signed());
        let (mut least_gap, mut least_left) = (YEAR, YEAR);
        for _ in 0..300 {
            site.clock.pass(SECOND);
            life.work().await;
            let now = life.now();
            let between = |from: Timestamp, to: Timestamp| {
                Duration::try_from(to.duration_since(from)).unwrap_or_default()
            };
            if site.issuer.signed() > signed {
                assert_eq!(site.issuer.signed(), signed + 1);
                least_gap = least_gap.min(between(last, now));
                (last, signed) = (now, site.issuer.signed());
            }
            let end = life.status("c0").not_after.unwrap().0;
            least_left = least_left.min(between(now, end));
        }
        Tally {
            signed,
            asked: site.issuer.asked(),
            asked_for_advice: site.issuer.asked_for_advice(),
            least_gap,
            least_left,
        }
    })
}

fn window(from: Timestamp, until: Timestamp) -> Advice {
    Advice {
        from,
        until,
        again: SECOND,
        explanation: None,
    }
}

/// Every order but each second one fails so.
fn failing_first(issuer: &FakeIssuer, retry: Retry) {
    issuer.next_deed(Deed::Sign);
    for _ in 0..1000 {
        issuer.next_deed(Deed::Fail(retry));
        issuer.next_deed(Deed::Sign);
    }
}

const ENDLESS: Retry = Retry::After(Duration::from_secs(1_000_000_000));

#[test]
fn whatever_an_issuer_says_a_certificate_of_a_minute_is_renewed_in_time_and_not_in_a_loop() {
    type Setting = fn(&FakeIssuer, Timestamp);
    let seconds = SignedDuration::from_secs;
    // A leaf each 37 to 43 s; with an answer in vain before each, or a window that never comes, each 50 to 56 s;
    // with one that is always past, each 20 s; where back-dating eats half of the life, each 19 to 21 s.
    let table: [(&str, Setting, std::ops::RangeInclusive<u64>); 11] = [
        (
            "no back-dating",
            |ca, _| ca.back_dates(SignedDuration::ZERO, false),
            7..=9,
        ),
        (
            "30 s",
            |ca, _| ca.back_dates(SignedDuration::from_secs(30), false),
            7..=9,
        ),
        (
            "60 s",
            |ca, _| ca.back_dates(SignedDuration::from_secs(60), false),
            7..=9,
        ),
        (
            "5 min",
            |ca, _| ca.back_dates(SignedDuration::from_secs(300), false),
            7..=9,
        ),
        (
            "30 s of the life",
            |ca, _| ca.back_dates(SignedDuration::from_secs(30), true),
            14..=18,
        ),
        (
            "come back in 30 years",
            |ca, _| failing_first(ca, ENDLESS),
            6..=8,
        ),
        (
            "come back at once",
            |ca, _| failing_first(ca, Retry::After(Duration::ZERO)),
            7..=9,
        ),
        ("at once", |ca, _| failing_first(ca, Retry::Now), 7..=9),
        (
            "a window that is past",
            |ca, now| ca.advises_always(window(now - 2 * YEAR, now - YEAR)),
            7..=16,
        ),
        (
            "a window that never comes",
            |ca, now| ca.advises_always(window(now + YEAR, now + 2 * YEAR)),
            6..=8,
        ),
        (
            "a window that ends before it begins",
            |ca, now| ca.advises_always(window(now + YEAR, now - YEAR)),
            7..=16,
        ),
    ];
    for (what, setting, signed) in table {
        let tally = five_minutes(setting);
        assert!(signed.contains(&tally.signed), "{what}: {tally:?}");
        assert!(tally.asked <= 20, "{what}: {tally:?}");
        assert!(
            tally.asked_for_advice <= 31 + tally.asked,
            "{what}: {tally:?}"
        );
        let life = if what.contains("of the life") { 30 } else { 60 };
        assert!(
            tally.least_gap >= seconds(life / 10).unsigned_abs(),
            "{what}: {tally:?}"
        );
        assert!(tally.least_left >= 2 * SECOND, "{what}: {tally:?}");
    }
}

#[test]
fn an_issuer_that_only_ever_says_come_back_in_thirty_years_is_asked_again_while_it_matters_and_not_in_a_loop()
 {
    let tally = five_minutes(|ca, _| {
        ca.next_deed(Deed::Sign);
        for _ in 0..10_000 {
            ca.next_deed(Deed::Fail(ENDLESS));
        }
    });
    assert_eq!(tally.signed, 1);
    // Before the end some tries, and in the outage one each 7.5 s.
    assert!((35..=50).contains(&tally.asked), "{tally:?}");
}

#[test]
fn a_chain_that_ends_before_the_leaf_is_renewed_by_that_and_told_as_the_end() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    let hour = Duration::from_secs(3600);
    site.live(Disk::default(), async |life: &Life<'_>| {
        let end = life.now() + hour;
        site.issuer.change_root_for_one_that_ends(end);
        life.settle().await;
        let status = life.status("c0");
        assert_eq!(status.not_after.unwrap().0.as_second(), end.as_second());
        let due = status.next_renewal.unwrap().0;
        assert!(due > life.now() + hour / 2 && due < end - hour / 4, "{due}");
        site.issuer.change_root();
        life.until_within(hour, "renewed", |life| life.site.issuer.signed() == 2)
            .await;
        life.settle().await;
        assert!(life.now() < end);
        let status = life.status("c0");
        assert!(status.not_after.unwrap().0 > life.now() + 23 * hour);
    });
}
