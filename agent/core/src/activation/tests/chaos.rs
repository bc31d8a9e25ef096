//! Any order of events, faults and restarts: the invariants hold at every step, and a world that
//! becomes healthy converges.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::parts::Life;
use super::strategies::{
    Blow, UNITS, anything, apply, behaviour, blow, blow_or_clock, dependents, issuer,
};
use super::world::{World, dependent, request};
use crate::proof::Proof;
use crate::record::Event;
use crate::supply::Cause;
use crate::unit::OnChange;

/// Whether every unit that runs serves what is published, and that can be used.
fn assert_well(world: &mut World) {
    assert!(
        world.is_settled(),
        "not settled at {}: {:#?}\n{:#?}",
        world.now(),
        world.record,
        world.units
    );
    let published = world.published_identity();
    let leaf = world.identities[&published.expect("something is published")]
        .leaf
        .clone();
    assert!(leaf.not_after > world.now());
    for dependent in world.dependents.clone() {
        let proof = world.record.units[&dependent.unit].standing.proof;
        let found = &world.units[&dependent.unit];
        if dependent.probed && found.life == Life::Running {
            assert_eq!(proof, Proof::Served, "{:#?}", world.record);
            assert_eq!(found.serves, published);
        }
    }
}

/// A world that becomes healthy converges within one life and a back-off.
fn converges(world: &mut World, life: Duration) {
    world.heal();
    world.run(life.mul_f64(1.3) + Duration::from_secs(2 * 3600));
    let names: Vec<String> = world.units.keys().map(ToString::to_string).collect();
    for name in names {
        world.start_unit(&name);
    }
    // Not at the instant of a renewal.
    for _ in 0..10 {
        if world.is_settled() {
            break;
        }
        world.run(Duration::from_secs(600));
    }
    assert_well(world);
}

fn lives() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![600_u64, 3_600, 86_400, 86_400, 30 * 86_400])
        .prop_map(Duration::from_secs)
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_world_that_becomes_healthy_converges(
        life in lives(),
        dependents in dependents(),
        blows in prop::collection::vec(blow(), 0..30),
    ) {
        let mut world = World::new(life, dependents);
        for blow in blows {
            apply(&mut world, blow);
        }
        converges(&mut world, life);
    }

    #[test]
    fn clocks_that_go_wrong_and_right_again_neither_miss_a_renewal_nor_cause_a_storm(
        life in lives(),
        dependents in dependents(),
        blows in prop::collection::vec(blow_or_clock(), 0..30),
    ) {
        let mut world = World::new(life, dependents);
        for blow in blows {
            apply(&mut world, blow);
        }
        converges(&mut world, life);
    }

    #[test]
    fn a_failing_unit_never_causes_an_issuance(
        dependents in dependents(),
        behaviours in prop::collection::vec((0..UNITS.len(), behaviour(), 1..20_000_u32), 0..20),
        fuses in prop::collection::vec(0..200_u32, 0..4),
    ) {
        let life = Duration::from_secs(30 * 86_400);
        let mut world = World::settled(life, dependents);
        world.event(Event::RenewRequested);
        let mut fuses = fuses.into_iter();
        let mut elapsed = 0;
        for (which, how, seconds) in behaviours {
            apply(&mut world, Blow::Behave(which, how));
            if world.answers > 1 {
                // A crash in the middle of an issuance costs one; that is another matter.
                world.fuse = fuses.next();
            }
            world.run(Duration::from_secs(seconds.into()));
            elapsed += seconds;
        }
        // All of this is over long before the renewed one is due.
        prop_assert!(elapsed < 15 * 86_400);
        let allowed = 2 + world.ghost.blamed + world.ghost.unwitnessed;
        prop_assert!(world.answers <= allowed, "{} issuances: {:?}", world.answers, world.ghost);
    }

    #[test]
    fn a_world_at_odds_is_never_a_stampede(
        dependents in dependents(),
        behaviours in prop::collection::vec(behaviour(), UNITS.len()),
        issuer in issuer(),
    ) {
        let life = Duration::from_secs(86_400);
        let mut world = World::settled(life, dependents);
        world.issuer = issuer;
        for (which, how) in behaviours.into_iter().enumerate() {
            apply(&mut world, Blow::Behave(which, how));
        }
        world.event(Event::RenewRequested);
        for _ in 0..4 {
            let (actions, asked) = (world.actions, world.ghost.asked.len());
            world.run(Duration::from_secs(3600));
            let units = u32::try_from(world.dependents.len()).unwrap();
            prop_assert!(world.actions - actions < 300 * units, "{} actions", world.actions - actions);
            // Back-off with full jitter: some minutes apart once it has grown.
            prop_assert!(world.ghost.asked.len() - asked < 150, "{:?}", world.ghost.asked);
        }
    }

    #[test]
    fn fold_and_next_are_total(events in prop::collection::vec(anything(), 0..60), life in 0..4_000_000_000_u64) {
        let mut record = crate::record::Record::new("api".parse().unwrap());
        let dependents = [
            dependent("a.service", OnChange::Reload, true, 0),
            dependent("b.service", OnChange::Restart, false, 1),
        ];
        let life = Duration::from_secs(life);
        for (event, now, chance) in events {
            let now = Timestamp::from_second(now).unwrap();
            let context = crate::record::Context { now, chance, life, dependents: &dependents };
            let before = record.highest;
            record = record.fold(event, context);
            prop_assert!(record.highest >= before);
            let _ = crate::supply::next(&record, &request(0), life, life / 10, now);
            let _ = crate::activation::next(&record, &dependents, &Default::default(), life, now);
            let _ = record.state();
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<crate::record::Record>(&text).unwrap(), &record);
        }
    }
}

#[test]
fn a_thousand_rotations_of_a_short_life_leave_nothing_behind() {
    let life = Duration::from_secs(60);
    let mut world = World::settled(
        life,
        vec![dependent("a.service", OnChange::Reload, true, 0)],
    );
    for _ in 0..240 {
        world.run(Duration::from_secs(200));
        world.event(Event::Housekeeping);
    }
    assert!(world.answers > 1_000, "{}", world.answers);
    assert!(world.record.generations.len() <= 4);
    assert!(
        world
            .ghost
            .asked
            .iter()
            .skip(1)
            .all(|cause| *cause == Cause::Due)
    );
}
