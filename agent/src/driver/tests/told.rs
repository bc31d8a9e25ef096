//! What the journal tells of a certificate whose issuer stays away until its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use renewd_store::disk::Disk;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::issuer::Retry;
use crate::issuer::fake::Deed;
use crate::journal::heard_by;

const DAY: Duration = Duration::from_secs(86_400);
const FAILED: &str = "issuance failed";
const EXPIRING: &str = "the published certificate ends";
const EXPIRED: &str = "the published certificate has expired";

/// The lines with their levels, as they come.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Level, String)>>>);

impl Told {
    /// Where the lines with these words stand, and their levels.
    fn of(&self, words: &str) -> Vec<(usize, Level)> {
        let lines = self.0.lock().unwrap();
        let all = lines.iter().enumerate();
        all.filter(|(_, (_, line))| line.contains(words))
            .map(|(at, (level, _))| (at, *level))
            .collect()
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = (*event.metadata().level(), message.0);
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn failed_tries_are_warnings_until_none_comes_in_time_and_the_end_is_told_before_and_when_it_comes()
{
    let told = Told::default();
    let subscriber = tracing_subscriber::registry().with(told.clone());
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    heard_by(subscriber, || {
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.settle().await;
            for _ in 0..200 {
                site.issuer.next_deed(Deed::Fail(Retry::BackOff));
            }
            let tries_after = |told: &Told| {
                let end = told.of(EXPIRED).first().map_or(usize::MAX, |(at, _)| *at);
                told.of(FAILED).iter().filter(|(at, _)| *at > end).count()
            };
            life.until_within(3 * DAY, "tries after the end", |_| tries_after(&told) > 1)
                .await;
        });
    });
    let (failed, expiring, expired) = (told.of(FAILED), told.of(EXPIRING), told.of(EXPIRED));
    let ([(soon, Level::ERROR)], [(end, Level::ERROR)]) = (&expiring[..], &expired[..]) else {
        panic!("each told once, as an error: {expiring:?}, {expired:?}");
    };
    assert!(failed[0].0 < *soon && soon < end, "{failed:?} {soon} {end}");
    assert_eq!(failed[0].1, Level::WARN);
    for (at, level) in failed {
        assert!(
            level == Level::ERROR || at < *end,
            "a warning after the end"
        );
    }
}

#[test]
fn lists_that_cannot_be_had_are_told_once_and_once_more_when_they_are_about_to_end_and_when_they_have()
 {
    const HOUR: Duration = Duration::from_secs(3600);
    const NOT_HAD: &str = "its revocation lists may not be the newest";
    let told = Told::default();
    let subscriber = tracing_subscriber::registry().with(told.clone());
    let site = Site::new(nginx);
    site.issuer.publishes_crl(10 * HOUR, 1);
    site.certificate("c0", NGINX);
    heard_by(subscriber, || {
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.settle().await;
            let hours = async |hours: u32| {
                for _ in 0..hours * 4 {
                    site.clock.pass(HOUR / 4);
                    life.work().await;
                }
                told.of(NOT_HAD).len()
            };
            assert_eq!(hours(2).await, 0);
            site.issuer.loses_its_crl();
            assert_eq!(hours(2).await, 1);
            site.issuer.publishes_crl(10 * HOUR, 1);
            assert_eq!(hours(2).await, 1);
            // Now the whole CA is away, and can say nothing of lists.
            site.issuer.is_away(true);
            assert_eq!(hours(2).await, 1);
        });
        // Nor is it asked anything before the next start.
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.settle().await;
            for (minutes, lines) in [(270, 1), (75, 2), (45, 3), (300, 3)] {
                for _ in 0..minutes / 15 {
                    site.clock.pass(HOUR / 4);
                    life.work().await;
                }
                assert_eq!(told.of(NOT_HAD).len(), lines, "{minutes}");
            }
        });
    });
    assert!(told.of("ends soon")[0] < told.of("has ended")[0]);
}
