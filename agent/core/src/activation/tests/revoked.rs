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
