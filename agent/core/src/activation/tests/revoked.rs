//! What the operator revoked is replaced, and never gone back to.

use std::time::Duration;

use super::parts::Issuer;
use super::world::{World, dependent};
use crate::record::{Event, Verdict};
use crate::unit::OnChange;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

fn world() -> World {
    let dependents = vec![dependent("a.service", OnChange::Reload, true, 0)];
    let mut world = World::settled(DAY, dependents);
    world.run(3 * HOUR);
    world
}

fn blamed(world: &World) -> bool {
    let mut generations = world.record.generations.values();
    generations.any(|generation| matches!(generation.verdict, Some(Verdict::Blamed { .. })))
}

#[test]
fn a_leaf_in_use_that_is_revoked_is_replaced_at_once() {
    let mut world = world();
    let first = world.published_identity();
    world.event(Event::Revoked(first.unwrap()));
    world.run(Duration::from_secs(60));
    assert!(world.published_identity() > first);
    assert!(world.is_settled());
}

#[test]
fn nobody_goes_back_to_a_leaf_that_was_revoked() {
    // The twin: without a revocation the bad one is taken back.
    for revoked in [false, true] {
        let mut world = world();
        let first = world.published_identity();
        world.issuer = Issuer::Bad;
        let event = match revoked {
            true => Event::Revoked(first.unwrap()),
            false => Event::RenewRequested,
        };
        world.event(event);
        world.run(Duration::from_secs(60));
        assert_eq!(world.published_identity() == first, !revoked);
        assert_eq!(blamed(&world), !revoked);
    }
}

#[test]
fn an_older_leaf_that_is_revoked_changes_nothing_about_the_one_in_use() {
    let mut world = world();
    let first = world.published_identity();
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    let (second, answers) = (world.published_identity(), world.answers);
    assert!(second > first);
    world.event(Event::Revoked(first.unwrap()));
    world.run(Duration::from_secs(60));
    assert_eq!(world.published_identity(), second);
    assert_eq!(world.answers, answers);
}

#[test]
fn what_was_revoked_before_it_was_published_never_is() {
    let mut world = world();
    let first = world.published_identity();
    world.disk_full = true;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    assert_eq!(world.published_identity(), first);
    let second = world.record.highest;
    world.event(Event::Revoked(second));
    world.disk_full = false;
    world.run(Duration::from_secs(60));
    let third = world.published_identity();
    assert!(third > Some(second), "{third:?}");
    assert!(!world.on_disk.values().any(|identity| *identity == second));
}

#[test]
fn a_revoked_leaf_is_replaced_whatever_the_issuer_said_before_and_however_often_the_daemon_starts()
{
    for issuer in [Issuer::NeedsOperator, Issuer::Down] {
        let mut world = world();
        let first = world.published_identity();
        world.issuer = issuer;
        world.event(Event::Revoked(first.unwrap()));
        world.run(Duration::from_secs(600));
        assert_eq!(world.published_identity(), first);
        world.kill();
        world.issuer = Issuer::Good;
        world.event(Event::Configured(world.dependents.clone()));
        world.run(HOUR);
        assert!(
            world.published_identity() > first,
            "{issuer:?}: {:?}",
            world.record.supply
        );
    }
}

#[test]
fn a_leaf_that_is_revoked_while_another_is_asked_for_costs_no_second_one() {
    let mut world = world();
    let answers = world.answers;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(1));
    assert!(matches!(
        world.record.supply,
        crate::supply::Supply::Issuing { .. }
    ));
    let first = world.published_identity().unwrap();
    world.event(Event::Revoked(first));
    world.run(HOUR);
    assert_eq!(world.answers, answers + 1);
    assert!(world.published_identity() > Some(first));
}
