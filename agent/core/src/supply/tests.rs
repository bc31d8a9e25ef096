//! The supply machine's transitions, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Action, Advice, Again, Cause, Failure, Supply, advice_in_force, ask_for_advice, next};
use crate::leaf::{Fingerprint, LeafFacts, Serial};
use crate::names::IssuerName;
use crate::record::{Context, Event, NewIdentity, Record, TrustPart};
use crate::request::Usages;
use crate::schedule;

mod roots;
mod waits;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
const SETTLE: Duration = Duration::from_secs(7200);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn request() -> Fingerprint {
    Fingerprint::of(b"request")
}

fn trust(version: u8) -> TrustPart {
    TrustPart {
        digest: Fingerprint::of(&[version]),
        anchors: vec![Fingerprint::of(b"anchor")],
        dropped: BTreeMap::new(),
    }
}

fn fold(record: Record, event: Event, now: Timestamp) -> Record {
    fold_for(DAY, record, event, now)
}

/// Where such a life is asked for.
fn fold_for(life: Duration, record: Record, event: Event, now: Timestamp) -> Record {
    let context = Context {
        now,
        chance: 0.5,
        life,
        dependents: &[],
    };
    record.fold(event, context)
}

fn identity(serial: u8, from: Timestamp, life: Duration) -> Box<NewIdentity> {
    Box::new(NewIdentity {
        leaf: LeafFacts {
            serial: Serial::from_der(&[serial]),
            fingerprint: Fingerprint::of(&[serial]),
            key_fingerprint: Fingerprint::of(&[serial]),
            not_before: from,
            not_after: schedule::after(from, life),
            names: Vec::new(),
            usages: Usages::default(),
            is_ca: false,
        },
        usable_until: schedule::after(from, life),
        anchor: Fingerprint::of(b"anchor"),
        issuer: "internal".parse().unwrap(),
        request: request(),
        trust: trust(0),
    })
}

fn new() -> Record {
    Record::new("api".parse().unwrap())
}

/// Accepted and published at [`start`].
fn fresh(life: Duration) -> Record {
    let record = Record::new("api".parse().unwrap());
    let record = fold(record, Event::IssueStarted, start());
    let record = fold(record, Event::Accepted(identity(1, start(), life)), start());
    let record = fold(record, Event::BaselineTaken(Default::default()), start());
    let record = fold(record, Event::Published(1), start());
    assert_eq!(
        (record.published, record.supply.clone()),
        (Some(1), Supply::Fresh)
    );
    record
}

fn failure(again: Again, answered: bool) -> Event {
    Event::IssueFailed(Failure {
        text: "no".into(),
        again,
        answered,
    })
}

/// When the issuer is asked, if nothing else happens.
fn asked_at(record: &Record, from: Timestamp) -> Option<Timestamp> {
    match next(record, &request(), DAY, SETTLE, from) {
        Action::Issue(_) => Some(from),
        Action::Wait(at, _) => at,
        Action::Doubt => None,
    }
}

fn waits(record: &Record, from: Timestamp) -> Duration {
    schedule::between(from, asked_at(record, from).expect("an instant"))
}

#[test]
fn the_first_certificate_is_asked_for_at_once() {
    let record = Record::new("api".parse().unwrap());
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, start()),
        Action::Issue(Cause::First)
    );
}

#[test]
fn a_fresh_certificate_is_due_around_two_thirds_of_its_life() {
    let waits = waits(&fresh(DAY), start()).as_secs_f64() / DAY.as_secs_f64();
    assert!((0.616..0.717).contains(&waits), "{waits}");
}

#[test]
fn a_shorter_life_than_asked_for_is_what_the_schedule_goes_by() {
    let waits = waits(&fresh(HOUR), start());
    assert!(waits > HOUR / 2 && waits < HOUR, "{waits:?}");
}

#[test]
fn while_the_issuer_is_asked_nothing_else_is() {
    let record = fold(fresh(DAY), Event::IssueStarted, start());
    let record = fold(record, Event::RenewRequested, start());
    assert_eq!(asked_at(&record, start()), None);
}

#[test]
fn the_operator_is_not_held_back() {
    let record = fold(fresh(DAY), Event::RenewRequested, start());
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, start()),
        Action::Issue(Cause::Operator)
    );
    let record = fold(record, Event::IssueStarted, start());
    assert!(!record.renew_requested);
}

#[test]
fn a_changed_request_is_due_now_but_not_twice_a_minute() {
    let record = fresh(DAY);
    let other = Fingerprint::of(b"another request");
    assert_eq!(
        next(&record, &other, DAY, SETTLE, start()),
        Action::Wait(Some(schedule::after(start(), 60 * SECOND)), Cause::Changed)
    );
    assert_eq!(
        next(
            &record,
            &other,
            DAY,
            SETTLE,
            schedule::after(start(), 60 * SECOND)
        ),
        Action::Issue(Cause::Changed)
    );
}

#[test]
fn a_failure_that_cost_no_issuance_is_tried_again_after_a_back_off() {
    let now = schedule::after(start(), DAY / 2);
    let record = fold(fresh(DAY), Event::IssueStarted, now);
    let record = fold(record, failure(Again::BackOff, false), now);
    assert!(matches!(record.supply, Supply::BackOff { failures: 1, .. }));
    assert_eq!(record.issuances, 1);
    assert!(waits(&record, now) < 120 * SECOND);
}

#[test]
fn back_off_grows_and_eight_tries_still_fit() {
    let mut now = schedule::after(start(), DAY / 2);
    let mut record = fresh(DAY);
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        record = fold(record, Event::IssueStarted, now);
        record = fold(record, failure(Again::BackOff, false), now);
        let wait = waits(&record, now);
        let remaining = schedule::between(now, schedule::after(start(), DAY));
        assert!(remaining.is_zero() || wait * 8 <= remaining + SECOND);
        longest = longest.max(wait);
        now = schedule::after(now, wait);
    }
    assert!(longest > 600 * SECOND, "{longest:?}");
}

#[test]
fn an_answer_that_was_refused_counts_as_an_issuance_and_holds_back_the_next() {
    let now = schedule::after(start(), DAY / 2);
    let record = fold(fresh(DAY), Event::IssueStarted, now);
    let record = fold(record, failure(Again::Now, true), now);
    assert_eq!(record.issuances, 2);
    assert_eq!(waits(&record, now), DAY / 10);
}

#[test]
fn without_any_certificate_the_gap_is_at_most_an_hour() {
    let life = 90 * DAY;
    let context = Context {
        now: start(),
        chance: 0.5,
        life,
        dependents: &[],
    };
    let record = Record::new("api".parse().unwrap())
        .fold(Event::IssueStarted, context)
        .fold(failure(Again::BackOff, true), context);
    let Action::Wait(Some(at), _) = next(&record, &request(), life, SETTLE, start()) else {
        panic!("{record:#?}");
    };
    assert_eq!(schedule::between(start(), at), HOUR);
}

#[test]
fn now_means_now_once_and_then_back_off() {
    let now = schedule::after(start(), DAY / 2);
    let record = fold(fresh(DAY), Event::IssueStarted, now);
    let record = fold(record, failure(Again::Now, false), now);
    assert_eq!(waits(&record, now), Duration::from_millis(250));
    let record = fold(record, Event::IssueStarted, now);
    let record = fold(record, failure(Again::Now, false), now);
    assert!(waits(&record, now) > SECOND);
}

#[test]
fn an_issuer_can_put_a_try_off_only_while_eight_more_fit() {
    let now = schedule::after(start(), DAY * 2 / 3);
    let record = fold(fresh(DAY), Event::IssueStarted, now);
    let record = fold(record, failure(Again::After(30 * DAY), false), now);
    assert!(waits(&record, now) < DAY / 3 - DAY * 7 / 100);
}

#[test]
fn it_is_the_life_that_was_granted_that_the_tries_must_fit_into() {
    let now = schedule::after(start(), HOUR * 2 / 3);
    let record = fold(fresh(HOUR), Event::IssueStarted, now);
    let record = fold(record, failure(Again::After(30 * DAY), false), now);
    assert!(waits(&record, now) < HOUR / 3 - HOUR * 7 / 100);
    let record = fold(record, Event::IssueStarted, now);
    let record = fold(record, failure(Again::After(HOUR / 6), false), now);
    assert!(waits(&record, now) >= HOUR / 6);
    let late = schedule::after(start(), HOUR - 8 * SECOND);
    let record = fold(record, Event::IssueStarted, late);
    let record = fold(record, failure(Again::After(30 * DAY), false), late);
    assert!(waits(&record, late) <= SECOND);
}

#[test]
fn a_stand_in_is_put_off_by_itself_within_the_same_bounds_until_something_else_comes() {
    let put_off = |record: &Record, at| super::put_off(record, DAY, at);
    let name = || "backup".parse::<IssuerName>().unwrap();
    let now = schedule::after(start(), DAY * 5 / 6);
    let asked = fold(fresh(DAY), Event::IssueStarted, now);
    let told = |asked| Event::PutOff {
        issuer: name(),
        asked,
    };
    let record = fold(asked.clone(), told(HOUR), now);
    let record = fold(record, failure(Again::BackOff, false), now);
    let without = fold(asked.clone(), failure(Again::BackOff, false), now);
    assert_eq!(
        record.supply, without.supply,
        "the first one is not put off"
    );
    let until = put_off(&record, now)[&name()];
    assert_eq!(schedule::between(now, until), HOUR * 9 / 8);
    assert_eq!(put_off(&record, until), BTreeMap::new());

    let for_ever = fold(asked, told(Duration::MAX), now);
    let waits = schedule::between(now, put_off(&for_ever, now)[&name()]);
    assert!(waits <= DAY / 6 - DAY * 8 / 100, "{waits:?}");

    let year = jiff::SignedDuration::from_hours(24 * 365);
    let early = now.checked_sub(year).unwrap();
    assert_eq!(put_off(&record, early), BTreeMap::new(), "another clock's");
    let others = Event::IssuersReplaced(vec!["other".parse().unwrap()]);
    let still = fold(record.clone(), others, now);
    assert_eq!(put_off(&still, now).len(), 1);
    for over in [
        Event::IssuersReplaced(vec![name()]),
        Event::RenewRequested,
        Event::ClockStepped,
        Event::Revoked(1),
        Event::Accepted(identity(2, now, DAY)),
    ] {
        let record = fold(record.clone(), Event::IssueStarted, now);
        let record = fold(record, over, now);
        assert_eq!(put_off(&record, now), BTreeMap::new());
    }
}

#[test]
fn an_issuer_that_names_no_time_at_all_is_asked_at_a_growing_distance_all_the_same() {
    let now = schedule::after(start(), DAY * 2 / 3);
    let mut record = fresh(DAY);
    let mut waited = Vec::new();
    for _ in 0..12 {
        record = fold(record, Event::IssueStarted, now);
        record = fold(record, failure(Again::After(Duration::ZERO), false), now);
        waited.push(waits(&record, now));
    }
    assert!(waited.is_sorted(), "{waited:?}");
    assert!(waited[11] > Duration::from_secs(600), "{waited:?}");
    // Whatever number it writes.
    let record = fold(record, Event::IssueStarted, now);
    let record = fold(record, failure(Again::After(Duration::MAX), false), now);
    assert!(waits(&record, now) < DAY / 3);
}

#[test]
fn a_stop_ends_when_the_operator_says_so_and_is_looked_at_again_in_case_he_mended_it_elsewhere() {
    let due = schedule::after(start(), DAY * 2 / 3);
    let record = fold(fresh(DAY), Event::IssueStarted, due);
    let stopped = fold(record, failure(Again::Operator, false), due);
    assert_eq!(stopped.state(), "stopped");
    let again = schedule::after(due, Duration::from_secs(45 * 60));
    assert_eq!(asked_at(&stopped, due), Some(again));
    assert_eq!(asked_at(&stopped, again), Some(again));
    // A record of a version that never looked.
    let old: Supply = serde_json::from_str(r#"{"is":"stopped"}"#).unwrap();
    let old = Record {
        supply: old,
        ..stopped.clone()
    };
    let later = schedule::after(start(), DAY);
    assert_eq!(asked_at(&old, later), None);
    let asked = fold(stopped.clone(), Event::RenewRequested, later);
    assert_eq!(asked_at(&asked, later), Some(later));
    let configured = fold(stopped.clone(), Event::Configured(Vec::new()), later);
    assert_eq!(configured.supply, Supply::Fresh);
    let recovered = Event::Recovered {
        current: Some(1),
        highest: 1,
    };
    assert_eq!(fold(stopped, recovered, later).supply, Supply::Fresh);
}

#[test]
fn a_restart_in_the_middle_of_an_issuance_asks_again_after_a_back_off() {
    let record = fold(
        Record::new("api".parse().unwrap()),
        Event::IssueStarted,
        start(),
    );
    let recovered = Event::Recovered {
        current: None,
        highest: 0,
    };
    let record = fold(record, recovered, start());
    assert!(matches!(record.supply, Supply::BackOff { failures: 1, .. }));
}

#[test]
fn a_clock_before_our_own_past_is_doubted_but_not_for_long() {
    let record = fresh(DAY);
    let early = start()
        .checked_sub(jiff::SignedDuration::from_hours(24 * 365))
        .unwrap();
    assert_eq!(next(&record, &request(), DAY, SETTLE, early), Action::Doubt);
    let record = fold(record, Event::ClockDoubted, early);
    assert_eq!(waits(&record, early), schedule::LONGEST_DOUBT);
    let later = schedule::after(early, schedule::LONGEST_DOUBT);
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, later),
        Action::Issue(Cause::Clock)
    );
}

#[test]
fn a_doubted_clock_that_was_right_after_all_costs_no_issuance() {
    let record = fresh(DAY);
    let early = start()
        .checked_sub(jiff::SignedDuration::from_hours(1))
        .unwrap();
    let record = fold(record, Event::ClockDoubted, early);
    assert_eq!(
        asked_at(&record, early),
        Some(schedule::after(early, schedule::LONGEST_DOUBT))
    );
    // Nobody told of the step, and still nothing is asked for before it is due.
    assert!(waits(&record, start()) > DAY / 2);
    let stepped = fold(record, Event::ClockStepped, start());
    assert_eq!(stepped.supply, Supply::Fresh);
}

#[test]
fn a_step_back_in_time_replaces_what_is_not_valid_yet() {
    let early = start()
        .checked_sub(jiff::SignedDuration::from_hours(24 * 365))
        .unwrap();
    let record = fold(fresh(DAY), Event::ClockStepped, early);
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, early),
        Action::Issue(Cause::Clock)
    );
}

#[test]
fn a_step_ends_a_wait_that_was_measured_by_the_old_clock() {
    let now = schedule::after(start(), DAY / 2);
    let mut record = fold(fresh(DAY), Event::IssueStarted, now);
    for _ in 0..10 {
        record = fold(record, failure(Again::BackOff, false), now);
        record = fold(record, Event::IssueStarted, now);
    }
    record = fold(record, failure(Again::BackOff, false), now);
    assert!(waits(&record, now) > 60 * SECOND);
    let record = fold(record, Event::ClockStepped, now);
    assert!(waits(&record, now) <= SECOND);
}

#[test]
fn a_bundle_that_came_while_the_issuer_was_asked_is_not_taken_back() {
    let record = fold(fresh(DAY), Event::IssueStarted, start());
    let record = fold(record, Event::TrustChanged(trust(1)), start());
    let record = fold(record, Event::Accepted(identity(2, start(), DAY)), start());
    assert_eq!(record.trust, Some(trust(1).digest));
    let target = record.target_generation().unwrap();
    assert_eq!(target.trust, trust(1).digest);
}

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    let record = fresh(DAY);
    let after = fold(
        record.clone(),
        Event::Accepted(identity(2, start(), DAY)),
        start(),
    );
    assert_eq!(after, record);
    assert_eq!(
        fold(record.clone(), failure(Again::Operator, true), start()),
        record
    );
}

#[test]
fn a_life_of_seconds_is_no_stampede() {
    let record = fresh(2 * SECOND);
    assert!(waits(&record, start()) >= SECOND);
}

fn advice(from: Timestamp, until: Timestamp) -> Advice {
    Advice {
        from,
        until,
        again: 6 * HOUR,
        explanation: None,
    }
}

fn advised(record: Record, advice: Advice, now: Timestamp) -> Record {
    let leaf = record.target_generation().unwrap().leaf.fingerprint;
    fold(record, Event::RenewalAdvised { leaf, advice }, now)
}

fn at(share: f64) -> Timestamp {
    schedule::after(start(), DAY.mul_f64(share))
}

#[test]
fn an_instant_of_the_advised_window_is_drawn_once_and_kept() {
    let window = advice(at(0.5), at(0.6));
    let record = advised(fresh(DAY), window.clone(), start());
    assert_eq!(asked_at(&record, start()), Some(at(0.55)));
    let cause = next(&record, &request(), DAY, SETTLE, at(0.56));
    assert_eq!(cause, Action::Issue(Cause::Advised));
    // Another draw would come out otherwise.
    let leaf = record.target_generation().unwrap().leaf.fingerprint;
    let context = Context {
        now: at(0.1),
        chance: 0.9,
        life: DAY,
        dependents: &[],
    };
    let advice = window;
    let again = record.fold(Event::RenewalAdvised { leaf, advice }, context);
    assert_eq!(asked_at(&again, start()), Some(at(0.55)));
    // It goes with its leaf.
    let renewed = fold(again.clone(), Event::IssueStarted, at(0.56));
    let renewed = fold(
        renewed,
        Event::Accepted(identity(2, at(0.56), DAY)),
        at(0.56),
    );
    assert_eq!(renewed.renewal, None);
    // Advice about another leaf is none.
    let other = Event::RenewalAdvised {
        leaf: Fingerprint::of(b"other"),
        advice: self::advice(at(0.1), at(0.1)),
    };
    assert_eq!(
        asked_at(&fold(again, other, start()), start()),
        Some(at(0.55))
    );
}

#[test]
fn where_the_issuer_explains_its_advice_is_kept_with_it_as_it_was_told_last() {
    let why = |record: &Record| {
        let advised = advice_in_force(record);
        advised.and_then(|advised| advised.explanation.clone())
    };
    let told = |explanation: Option<&str>| Advice {
        explanation: explanation.map(str::to_owned),
        ..advice(at(0.5), at(0.6))
    };
    let record = advised(fresh(DAY), told(Some("https://ca.test/why")), start());
    assert_eq!(why(&record).as_deref(), Some("https://ca.test/why"));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    // The window is the same.
    let record = advised(record, told(Some("https://ca.test/now")), at(0.1));
    assert_eq!(why(&record).as_deref(), Some("https://ca.test/now"));
    let silent = advised(record.clone(), told(None), at(0.2));
    assert_eq!(why(&silent), None);
    // Records of versions that did not keep it.
    let old = serde_json::to_string(&silent).unwrap();
    assert!(!old.contains("explanation"), "{old}");
    assert_eq!(serde_json::from_str::<Record>(&old).unwrap(), silent);
    let record = fold(record, Event::IssueStarted, at(0.55));
    let renewed = Event::Accepted(identity(2, at(0.55), DAY));
    assert_eq!(why(&fold(record, renewed, at(0.55))), None);
}

#[test]
fn a_renewal_is_put_off_only_to_where_the_alarm_would_come() {
    for late in [at(0.95), at(5.0), Timestamp::MAX] {
        let record = advised(fresh(DAY), advice(late, late), start());
        let last = schedule::overdue(start(), schedule::after(start(), DAY));
        assert_eq!(asked_at(&record, start()), Some(last));
    }
}

#[test]
fn a_window_that_is_past_renews_at_once_only_when_it_was_not_so_from_the_beginning() {
    let before = schedule::after(Timestamp::from_second(1_577_836_800).unwrap(), DAY);
    let past = || advice(before, before);
    let record = advised(fresh(DAY), advice(at(0.6), at(0.7)), start());
    let record = advised(record, past(), at(0.2));
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, at(0.2)),
        Action::Issue(Cause::Advised)
    );
    // A CA that says so of every leaf is not asked for more than three in a life.
    let record = advised(fresh(DAY), past(), start());
    let waits = schedule::between(start(), asked_at(&record, start()).unwrap());
    assert!(waits >= DAY / 3 - SECOND, "{waits:?}");
    // One that could not be asked at first may be about to revoke it.
    let record = advised(fresh(DAY), past(), at(0.2));
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, at(0.2)),
        Action::Issue(Cause::Advised)
    );
}

#[test]
fn advice_is_asked_for_as_the_issuer_says_within_a_twentieth_of_the_life() {
    let when = |record: &Record, now| ask_for_advice(record, now).unwrap().1;
    let record = fresh(DAY);
    assert_eq!(when(&record, start()), start());
    for (again, asked) in [
        (Duration::ZERO, 60 * SECOND),
        (HOUR / 2, HOUR / 2),
        (1_000_000_000 * SECOND, DAY / 20),
    ] {
        let window = advice(at(0.5), at(0.6));
        let record = advised(record.clone(), Advice { again, ..window }, start());
        assert_eq!(when(&record, start()), schedule::after(start(), asked));
        // Written under a clock that was far ahead.
        let before = Timestamp::from_second(1_000_000_000).unwrap();
        assert_eq!(when(&record, before), before);
    }
    assert!(ask_for_advice(&Record::new("new".parse().unwrap()), start()).is_none());
}

#[test]
fn a_chain_that_ends_before_the_leaf_is_what_the_schedule_goes_by() {
    let record = Record::new("api".parse().unwrap());
    let record = fold(record, Event::IssueStarted, start());
    let end = schedule::after(start(), HOUR);
    let mut short = identity(1, start(), DAY);
    short.usable_until = end;
    let record = fold(record, Event::Accepted(short), start());
    let record = fold(record, Event::BaselineTaken(Default::default()), start());
    let record = fold(record, Event::Published(1), start());
    assert_eq!(record.published_generation().unwrap().end(), end);
    let waits = waits(&record, start());
    assert!(waits > HOUR / 2 && waits < HOUR * 3 / 4, "{waits:?}");
    assert!(record.usable(1, DAY, start()));
    assert!(!record.usable(1, DAY, end));
    // At its end there is an outage: tries come fast.
    let late = schedule::after(start(), 2 * HOUR);
    let record = fold(record, Event::IssueStarted, late);
    let record = fold(record, failure(Again::BackOff, false), late);
    assert!(self::waits(&record, late) <= 300 * SECOND);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

#[test]
fn what_is_offered_is_taken_as_soon_as_two_issuances_may_follow_each_other() {
    let offered = |record: Record, at| fold(record, Event::Offered, at);
    let gap = schedule::shortest_gap(DAY);
    let early = offered(fresh(DAY), at(0.01));
    assert_eq!(
        asked_at(&early, at(0.01)),
        Some(schedule::after(start(), gap))
    );
    let late = offered(fresh(DAY), at(0.3));
    let cause = next(&late, &request(), DAY, Duration::ZERO, at(0.3));
    assert_eq!(cause, Action::Issue(Cause::Advised));
    // It is over with the next leaf.
    let taken = fold(late, Event::IssueStarted, at(0.3));
    let taken = fold(taken, Event::Accepted(identity(2, at(0.3), DAY)), at(0.3));
    assert!(!crate::supply::is_advised(&taken));
    // What failed before is tried within a second, and not at once.
    let failing = fold(fresh(DAY), Event::IssueStarted, at(0.5));
    let failing = fold(failing, failure(Again::After(6 * HOUR), false), at(0.5));
    let hurried = asked_at(&offered(failing, at(0.51)), at(0.51));
    assert_eq!(hurried, Some(schedule::after(at(0.51), SECOND)));
    // There is nothing yet that it could be newer than.
    let none = offered(Record::new("new".parse().unwrap()), start());
    assert_eq!(
        next(&none, &request(), DAY, Duration::ZERO, start()),
        Action::Issue(Cause::First)
    );
}
