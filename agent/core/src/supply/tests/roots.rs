//! Trust before identity, as the supply machine sees it.

use proptest::prelude::*;

use super::*;

/// The bundle of [`trust`], and another root.
fn with_a_new_root() -> TrustPart {
    let mut trust = trust(1);
    trust.anchors.push(Fingerprint::of(b"new"));
    trust
}

#[test]
fn a_new_root_is_waited_for_until_it_is_known_and_has_settled_and_the_reason_is_told() {
    let due = asked_at(&fresh(DAY), start()).unwrap();
    let record = fold(fresh(DAY), Event::TrustChanged(with_a_new_root()), start());
    let last = schedule::overdue(start(), schedule::after(start(), DAY));
    // Nobody knows it yet: the end is near before it is used.
    for now in [start(), due] {
        assert_eq!(
            next(&record, &request(), DAY, SETTLE, now),
            Action::Wait(Some(last), Cause::NewRoot)
        );
    }
    assert_eq!(
        next(&record, &request(), DAY, SETTLE, last),
        Action::Issue(Cause::Due)
    );
    // The operator's renewal waits, too; and nothing does once it has settled.
    let known = schedule::after(start(), HOUR);
    let record = fold(record, Event::RootsKnown, known);
    let asked = fold(record.clone(), Event::RenewRequested, known);
    let settled = schedule::after(known, SETTLE);
    assert_eq!(
        next(&asked, &request(), DAY, SETTLE, known),
        Action::Wait(Some(settled), Cause::NewRoot)
    );
    assert_eq!(
        next(&asked, &request(), DAY, SETTLE, settled),
        Action::Issue(Cause::Operator)
    );
    assert_eq!(asked_at(&record, known), Some(due));
    // However long it shall take, the certificate in use lasts.
    assert_eq!(
        next(&record, &request(), DAY, 100 * DAY, due),
        Action::Wait(Some(last), Cause::NewRoot)
    );
}

#[test]
fn what_is_used_or_dropped_is_waited_for_no_longer_and_a_further_root_is() {
    let later = schedule::after(start(), HOUR);
    let record = fold(fresh(DAY), Event::TrustChanged(with_a_new_root()), start());
    let known = fold(record.clone(), Event::RootsKnown, start());
    let mut further = with_a_new_root();
    further.anchors.push(Fingerprint::of(b"further"));
    further.digest = Fingerprint::of(b"further");
    let again = fold(known.clone(), Event::TrustChanged(further), later);
    let new = again.new_roots.unwrap();
    assert_eq!((new.roots.len(), new.known_since), (2, None));

    let mut dropped = trust(2);
    dropped.digest = Fingerprint::of(b"dropped");
    let dropped = fold(known.clone(), Event::TrustChanged(dropped), later);
    assert_eq!(dropped.new_roots, None);

    let asked = fold(known, Event::IssueStarted, later);
    let mut under_it = identity(2, later, DAY);
    under_it.anchor = Fingerprint::of(b"new");
    under_it.trust = with_a_new_root();
    let used = fold(asked, Event::Accepted(under_it), later);
    assert_eq!(used.new_roots, None);
    assert!(used.anchors.contains(&Fingerprint::of(b"new")));
}

#[test]
fn nobody_waits_for_a_root_where_nothing_good_is_in_use_or_the_clock_is_wrong() {
    let new = Record::new("api".parse().unwrap());
    let new = fold(new, Event::TrustChanged(with_a_new_root()), start());
    assert_eq!(new.new_roots, None);
    assert_eq!(asked_at(&new, start()), Some(start()));

    let record = fold(fresh(DAY), Event::TrustChanged(with_a_new_root()), start());
    let over = schedule::after(start(), DAY);
    assert_eq!(asked_at(&record, over), Some(over));
    let revoked = fold(record.clone(), Event::Revoked(1), start());
    assert_eq!(asked_at(&revoked, start()), Some(start()));
    let year = jiff::SignedDuration::from_hours(24 * 365);
    let early = start().checked_sub(year).unwrap();
    let record = fold(record, Event::RenewRequested, start());
    assert_eq!(asked_at(&record, early), Some(early));
}

/// Renewed at this instant, under the root of [`trust`] with this bundle.
fn renewed(record: Record, at: Timestamp, trust: TrustPart) -> Record {
    let serial = u8::try_from(record.highest + 1).unwrap();
    let mut identity = identity(serial, at, DAY);
    identity.trust = trust;
    let record = fold(record, Event::IssueStarted, at);
    let record = fold(record, Event::Accepted(identity), at);
    let record = fold(record, Event::BaselineTaken(Default::default()), at);
    let target = record.target.unwrap();
    fold(record, Event::Published(target), at)
}

#[test]
fn a_root_that_is_never_known_puts_off_one_renewal() {
    let last = schedule::overdue(start(), schedule::after(start(), DAY));
    let record = fold(fresh(DAY), Event::TrustChanged(with_a_new_root()), start());
    assert_eq!(asked_at(&record, start()), Some(last));
    let record = renewed(record, last, with_a_new_root());
    assert_eq!(record.new_roots, None);
    assert!(waits(&record, last) < DAY * 3 / 4);
    // It is no news that it is known at last.
    let known = fold(record.clone(), Event::RootsKnown, last);
    assert_eq!(waits(&known, last), waits(&record, last));
}

#[test]
fn a_root_that_came_when_nothing_could_wait_any_more_is_waited_for_at_the_next_renewal() {
    let last = schedule::overdue(start(), schedule::after(start(), DAY));
    let late = schedule::after(last, HOUR);
    let record = fold(fresh(DAY), Event::TrustChanged(with_a_new_root()), late);
    assert_eq!(asked_at(&record, late), Some(late));
    let record = renewed(record, late, with_a_new_root());
    let last = schedule::overdue(late, schedule::after(late, DAY));
    assert_eq!(asked_at(&record, late), Some(last));
    let record = renewed(record, last, with_a_new_root());
    assert_eq!(record.new_roots, None);
}

#[test]
fn a_root_that_has_not_settled_is_waited_for_though_something_could_not_wait_meanwhile() {
    let minute = Duration::from_secs(60);
    let record = fold(fresh(DAY), Event::TrustChanged(with_a_new_root()), start());
    let record = fold(record, Event::RootsKnown, start());
    // What is revoked is replaced at once, under the root of before.
    let at = schedule::after(start(), minute);
    let record = fold(record, Event::Revoked(1), at);
    assert_eq!(asked_at(&record, at), Some(at));
    let record = renewed(record, at, with_a_new_root());
    let settled = schedule::after(start(), SETTLE);
    let record = fold(record, Event::RenewRequested, at);
    assert_eq!(asked_at(&record, at), Some(settled));
    // And once it has, nothing waits for it any more.
    let record = renewed(record, settled, with_a_new_root());
    let record = fold(record, Event::RenewRequested, settled);
    assert_eq!(asked_at(&record, settled), Some(settled));
}

/// What becomes of trust in one life: in shares of it, when a root comes, when all is known from there on, and how long
/// the issuer takes.
type Course = (Option<f64>, Option<f64>, f64);

fn courses() -> impl Strategy<Value = Vec<Course>> {
    let share = || prop::option::of(0.0..1.0_f64);
    prop::collection::vec((share(), share(), 0.0..0.15_f64), 1..20)
}

proptest! {
    #[test]
    fn each_root_puts_off_at_most_one_renewal_and_none_beyond_five_sixths(courses in courses(), settle in 0_u64..200_000) {
        let settle = Duration::from_secs(settle);
        let asked_at = |record: &Record, from| match next(record, &request(), DAY, settle, from) {
            Action::Issue(_) => from,
            Action::Wait(Some(at), _) => at,
            other => panic!("{other:?}"),
        };
        let (mut record, mut begun) = (fresh(DAY), start());
        let (mut trust, mut came, mut put_off) = (trust(0), 0_u32, 0);
        for (root, known, takes) in courses {
            let last = schedule::overdue(begun, schedule::after(begun, DAY));
            let mut news: Vec<_> = [(root, true), (known, false)]
                .into_iter()
                .filter_map(|(share, comes)| Some((share?, comes)))
                .map(|(share, comes)| (schedule::after(begun, DAY.mul_f64(share)), comes))
                .collect();
            news.sort();
            let (mut now, mut asked) = (begun, None);
            let mut hear = |record: &mut Record, at, comes| {
                let event = match comes {
                    true => {
                        came += 1;
                        trust.anchors.push(Fingerprint::of(&came.to_be_bytes()));
                        trust.digest = Fingerprint::of(&came.to_le_bytes());
                        Event::TrustChanged(trust.clone())
                    }
                    false => Event::RootsKnown,
                };
                *record = fold(record.clone(), event, at);
                trust.clone()
            };
            let mut told = None;
            for (at, comes) in news {
                let ask = asked_at(&record, now);
                if ask <= at {
                    asked.get_or_insert(ask);
                    break;
                }
                now = at;
                told = Some(hear(&mut record, at, comes));
            }
            let asked = asked.unwrap_or_else(|| asked_at(&record, now));
            let free = asked_at(&Record { new_roots: None, ..record.clone() }, now);
            put_off += u32::from(asked > free);
            prop_assert!(asked <= last.max(now), "{asked} {last}");
            let accepted = schedule::after(asked, DAY.mul_f64(takes));
            let bundle = told.unwrap_or_else(|| trust.clone());
            record = renewed(record, accepted, bundle);
            begun = accepted;
            prop_assert!(put_off <= came, "{put_off} of {came}");
        }
    }
}
