//! Trust before identity, as the supply machine sees it.

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
