//! After going back, what was issued last is no longer what is in use.

use std::time::Duration;

use super::parts::Issuer;
use super::world::{World, dependent};
use crate::record::{Event, Generation, QUARANTINE};
use crate::supply::{Advice, advice_in_force, ask_for_advice};
use crate::unit::OnChange;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// The second certificate is blamed, and the first one in use again; the issuer gives no third one.
fn taken_back(life: Duration) -> World {
    let dependents = vec![dependent("nginx.service", OnChange::Reload, true, 0)];
    let mut world = World::settled(life, dependents);
    world.run(life / 2);
    world.issuer = Issuer::Bad;
    world.event(Event::RenewRequested);
    world.run(MINUTE);
    assert_eq!(world.published_identity(), Some(1));
    assert!(world.record.identity_blamed(2));
    world.issuer = Issuer::Down;
    world
}

fn asked_about(world: &World) -> Option<u64> {
    let (asked, _) = ask_for_advice(&world.record, world.now())?;
    Some(asked.identity)
}

#[test]
fn the_issuer_is_asked_for_advice_about_the_newest_leaf_also_when_it_was_taken_back() {
    let mut world = taken_back(DAY);
    assert_eq!(asked_about(&world), Some(2));
    // The bundle changes, and what is in use goes out again: no newer leaf for that.
    world.event(Event::Republish);
    world.run(MINUTE);
    assert_eq!(asked_about(&world), Some(2));
    // Of what will be in use no more nothing needs to be known.
    world.event(Event::Revoked(2));
    assert_eq!(asked_about(&world), None);
    world.issuer = Issuer::Good;
    world.run(DAY / 4);
    assert_eq!(asked_about(&world), world.published_identity());
    assert!(world.published_identity() > Some(2));
}

#[test]
fn what_is_advised_about_a_leaf_that_was_taken_back_neither_hurries_nor_puts_off_the_next_issuance()
{
    for (from, until) in [(-HOUR.as_secs_f64(), 0.0), (1e9, 1e9)] {
        let mut world = taken_back(DAY);
        let instant = |seconds: f64| {
            let off = jiff::SignedDuration::from_secs_f64(seconds);
            world.now().checked_add(off).unwrap()
        };
        let advice = Advice {
            from: instant(from),
            until: instant(until),
            again: HOUR,
            explanation: None,
        };
        let leaf = world.record.generations[&2].leaf.fingerprint;
        let answers = world.answers;
        world.event(Event::RenewalAdvised { leaf, advice });
        assert_eq!(world.record.renewal.as_ref().unwrap().leaf, leaf);
        assert!(advice_in_force(&world.record).is_none());
        world.issuer = Issuer::Good;
        // A tenth of the life, as after every certificate that was blamed.
        world.run(2 * HOUR);
        assert_eq!(world.answers, answers);
        world.run(HOUR);
        assert_eq!(world.answers, answers + 1);
        assert!(world.is_settled());
    }
}

#[test]
fn the_newest_leaf_is_remembered_until_there_is_a_newer_one() {
    let mut world = taken_back(30 * DAY);
    world.run(QUARANTINE + HOUR);
    world.event(Event::Housekeeping);
    assert_eq!(asked_about(&world), Some(2));
    assert!(world.record.identity_blamed(2));
    world.issuer = Issuer::Good;
    world.run(10 * DAY);
    world.event(Event::RenewRequested);
    world.run(DAY);
    world.event(Event::Housekeeping);
    let mut kept = world.record.generations.values();
    assert!(kept.all(|generation| generation.identity != 2));
}

#[test]
fn a_ca_is_shown_what_is_in_use_and_the_newest_one_only_once_that_has_ended() {
    let shown = |world: &World| {
        let shown = world.record.identity_to_show(world.now());
        shown.map(|shown: &Generation| shown.identity)
    };
    let mut world = taken_back(DAY);
    assert_eq!(shown(&world), Some(1));
    world.run(DAY * 3 / 4);
    assert!(world.record.generations[&2].end() > world.now());
    assert_eq!(shown(&world), Some(2));
    world.event(Event::Revoked(2));
    assert_eq!(shown(&world), Some(1), "nothing better is left");
}
