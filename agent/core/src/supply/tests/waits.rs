//! How long a try waits that is repeated: by order, after an outage, under another clock.

use super::*;
use crate::supply::put_off;

#[test]
fn a_failed_try_that_was_ordered_is_repeated_after_a_back_off_however_short_ago_the_last_issuance_was()
 {
    let life = 90 * DAY;
    let changed = Fingerprint::of(b"another request");
    let fold = |record, event, now| fold_for(life, record, event, now);
    let now = schedule::after(start(), HOUR);
    for (event, configured) in [
        (Event::Revoked(1), request()),
        (Event::RenewRequested, request()),
        (Event::Configured(Vec::new()), changed),
    ] {
        let waits = |record: &Record, now| match next(record, &configured, life, SETTLE, now) {
            Action::Issue(_) => Duration::ZERO,
            Action::Wait(Some(at), _) => schedule::between(now, at),
            other => panic!("{event:?}: {other:?}"),
        };
        let asked = fold(fresh(life), event.clone(), now);
        assert_eq!(waits(&asked, now), Duration::ZERO, "{event:?}");
        let asked = fold(asked, Event::IssueStarted, now);
        for again in [
            Again::Now,
            Again::BackOff,
            Again::After(SECOND),
            Again::Operator,
        ] {
            let mut record = fold(asked.clone(), failure(again, false), now);
            let mut at = now;
            for _ in 0..3 {
                let wait = waits(&record, at);
                assert!(wait <= HOUR, "{event:?}, {again:?}: {wait:?}");
                assert!(!wait.is_zero(), "{event:?}, {again:?}: at once");
                at = schedule::after(at, wait);
                assert_eq!(waits(&record, at), Duration::ZERO, "{event:?}, {again:?}");
                record = fold(record, Event::IssueStarted, at);
                record = fold(record, failure(again, false), at);
            }
            // An answer is an issuance, and the next one keeps its distance.
            let record = fold(record, Event::IssueStarted, at);
            let record = fold(record, failure(again, true), at);
            let later = schedule::after(at, 2 * HOUR);
            assert_eq!(
                schedule::after(later, waits(&record, later)),
                schedule::after(at, life / 10),
                "{event:?}, {again:?}"
            );
        }
        let recovered = Event::Recovered {
            current: Some(1),
            highest: 1,
        };
        let interrupted = fold(asked, recovered, now);
        let wait = waits(&interrupted, now);
        assert!(!wait.is_zero() && wait <= HOUR, "{event:?}: {wait:?}");
    }
}

#[test]
fn a_wait_of_a_clock_that_was_ahead_does_not_outlast_the_certificate() {
    let life = 90 * DAY;
    let fold = |record, event, now| fold_for(life, record, event, now);
    let recovered = |highest: u64| Event::Recovered {
        current: (highest > 0).then_some(highest),
        highest,
    };
    let backup = || "backup".parse::<IssuerName>().unwrap();
    // 120 days ahead, so that what is published seems to be over.
    let ahead = schedule::after(start(), 120 * DAY);
    let record = fold(fresh(life), Event::IssueStarted, ahead);
    let asked = HOUR;
    let issuer = backup();
    let record = fold(record, Event::PutOff { issuer, asked }, ahead);
    let record = fold(record, failure(Again::BackOff, false), ahead);
    for day in [60, 76] {
        let right = schedule::after(start(), day * DAY);
        let record = fold(record.clone(), recovered(1), right);
        let action = next(&record, &request(), life, SETTLE, right);
        assert_eq!(action, Action::Issue(Cause::Again), "day {day}");
        assert_eq!(put_off(&record, life, right), BTreeMap::new());
    }
    // At the first boot, and nothing is had yet.
    let ahead = schedule::after(start(), 20 * HOUR);
    let record = fold(new(), recovered(0), ahead);
    let record = fold(record, Event::IssueStarted, ahead);
    let record = fold(record, failure(Again::BackOff, false), ahead);
    let record = fold(record, recovered(0), start());
    assert!(waits(&record, start()) <= HOUR);
}

#[test]
fn that_what_is_in_use_was_revoked_is_an_outage_for_what_issuers_name_too() {
    let life = 90 * DAY;
    let fold = |record, event, now| fold_for(life, record, event, now);
    let now = schedule::after(start(), DAY);
    let backup = || "backup".parse::<IssuerName>().unwrap();
    let record = fold(fresh(life), Event::Revoked(1), now);
    let record = fold(record, Event::IssueStarted, now);
    let (issuer, asked) = (backup(), 7 * DAY);
    let record = fold(record, Event::PutOff { issuer, asked }, now);
    let until = put_off(&record, life, now)[&backup()];
    assert!(schedule::between(now, until) <= HOUR);
    let record = fold(record, failure(Again::After(30 * DAY), false), now);
    assert!(waits(&record, now) <= HOUR);
}
