//! Clocks that are wrong, clocks that are set, and hosts that sleep.

use std::time::Duration;

use jiff::SignedDuration;
use renewd_store::disk::Disk;

use super::host::{NGINX, nginx};
use super::{Life, Site};

const UNIT: &str = "nginx.service";
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const HOUR: Duration = Duration::from_secs(3600);

fn settled() -> Site {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| life.settle().await);
    site
}

#[test]
fn a_clock_that_is_a_year_slow_at_boot_is_doubted_until_it_is_set() {
    let site = settled();
    let before = site.read("c0");
    site.clock.step(-YEAR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.work().await;
        assert_eq!(life.status("c0").state, "back-off");
        assert!(life.status("c0").last_error.unwrap().contains("clock"));
        site.clock.pass(Duration::from_secs(60));
        life.work().await;
        assert_eq!(
            site.issuer.asked(),
            1,
            "nothing is asked for by a clock in doubt"
        );
        site.clock.step(YEAR);
        life.settle().await;
        assert_eq!(life.status("c0").state, "fresh");
        assert_eq!(life.proof("c0", UNIT), "served");
    });
    assert_eq!(site.read("c0"), before);
    assert_eq!(site.issuer.asked(), 1);
}

#[test]
fn a_clock_that_stays_a_year_slow_causes_no_storm() {
    let site = settled();
    let before = site.read("c0");
    site.clock.step(-YEAR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        for _ in 0..48 {
            site.clock.pass(HOUR / 2);
            life.work().await;
        }
        // What a CA with a right clock signs begins in a year: it is refused, again and again.
        assert!(site.issuer.asked() < 30, "{}", site.issuer.asked());
        assert_eq!(site.read("c0"), before, "never worse");
        life.driver.progress().await;
    });
}

#[test]
fn a_clock_that_is_a_year_fast_at_boot_asks_a_few_times_and_recovers_when_it_is_set() {
    let site = settled();
    let before = site.read("c0");
    site.clock.step(YEAR);
    site.live(Disk::default(), async |life: &Life<'_>| {
        for _ in 0..60 {
            site.clock.pass(Duration::from_secs(60));
            life.work().await;
        }
        // By this clock all that the CA signs has expired.
        assert!(site.issuer.asked() < 12, "{}", site.issuer.asked());
        assert_eq!(site.read("c0"), before, "never worse");
        site.clock.step(-YEAR);
        life.until_within(HOUR, "recovered", |life| life.status("c0").state == "fresh")
            .await;
        assert_eq!(life.proof("c0", UNIT), "served");
    });
}

#[test]
fn a_certificate_got_under_a_fast_clock_is_replaced_when_the_clock_is_set_back() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    // Both the host and its own CA are fast, as on a host without a battery.
    site.clock.pass(Duration::from_secs(365 * 86_400));
    site.live(Disk::default(), async |life: &Life<'_>| life.settle().await);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.clock.rewind(Duration::from_secs(365 * 86_400));
        life.until_within(HOUR, "replaced", |life| {
            life.site.issuer.signed() == 2 && life.is_settled()
        })
        .await;
        assert_eq!(life.proof("c0", UNIT), "served");
        let status = life.status("c0");
        assert!(status.not_before.unwrap().0 <= life.now());
        assert!(status.not_after.unwrap().0 > life.now());
    });
}

#[test]
fn a_renewal_that_came_due_during_sleep_is_made_up_for_at_once() {
    let site = settled();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.clock.pass(23 * HOUR);
        life.work().await;
        life.settle().await;
        assert_eq!(site.issuer.signed(), 2);
        assert_eq!(site.read("c0").0, 2);
    });
}

#[test]
fn small_steps_of_the_clock_change_nothing() {
    let site = settled();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        for seconds in [1, -1, 30, -30, 600, -600] {
            site.clock.step(SignedDuration::from_secs(seconds));
            life.work().await;
        }
        life.settle().await;
        assert_eq!(site.issuer.asked(), 1);
        let due = life.status("c0").next_renewal.unwrap().0;
        assert!(due > life.now() + 14 * HOUR && due < life.now() + 18 * HOUR);
    });
}

#[test]
fn it_is_renewed_on_time_for_a_month() {
    let site = settled();
    site.live(Disk::default(), async |life: &Life<'_>| {
        let mut least = 24 * HOUR;
        for _ in 0..30 * 24 {
            site.clock.pass(HOUR);
            life.work().await;
            let end = life.status("c0").not_after.unwrap().0;
            least = least.min(Duration::try_from(end.duration_since(life.now())).unwrap());
        }
        assert!(least > 5 * HOUR, "{least:?}");
        // Due at two thirds of a day: 45 renewals in 30 days.
        assert!(
            (42..49).contains(&site.issuer.signed()),
            "{}",
            site.issuer.signed()
        );
    });
}
