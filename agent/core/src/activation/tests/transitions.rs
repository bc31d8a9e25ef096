//! Transitions that the stories do not show, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parts::{Behaviour, Issuer, finding};
use super::world::{World, dependent, unit};
use crate::activation::{Action, Stage, next};
use crate::proof::Proof;
use crate::record::{Context, DebtStep, Event, Record};
use crate::unit::{ActOutcome, Dependent, JobResult, OnChange};

const DAY: Duration = Duration::from_secs(86_400);

fn world(on_change: OnChange, probed: bool) -> World {
    World::settled(DAY, vec![dependent("a.service", on_change, probed, 0)])
}

fn debt(world: &World) -> Option<DebtStep> {
    world.record.units[&unit("a.service")]
        .debt
        .as_ref()
        .map(|debt| debt.step)
}

fn wanted(world: &World) -> Action {
    let busy = Default::default();
    next(
        &world.record,
        &world.dependents,
        &busy,
        world.life,
        world.now(),
    )
}

/// Reconfigures the only unit, without the daemon taking a step.
fn configured(world: &mut World, on_change: OnChange, probed: bool) {
    world.dependents = vec![dependent("a.service", on_change, probed, 0)];
    world.fold_raw(Event::Configured(world.dependents.clone()));
}

#[test]
fn a_unit_that_is_neither_told_nor_probed_is_unobservable_from_the_start() {
    let world = world(OnChange::None, false);
    assert_eq!(world.proof("a.service"), Proof::Unobservable);
    assert_eq!(debt(&world), None);
}

#[test]
fn a_unit_that_is_told_and_not_probed_is_reloaded() {
    assert_eq!(
        world(OnChange::Reload, false).proof("a.service"),
        Proof::Reloaded
    );
}

#[test]
fn a_unit_that_watches_the_directory_is_probed_and_never_told() {
    let mut world = world(OnChange::None, true);
    assert_eq!(world.proof("a.service"), Proof::Served);
    world.unit("a.service").behaviour = Behaviour::Stale;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(3600));
    assert_eq!(world.unit("a.service").told, 0);
    assert_eq!(debt(&world), Some(DebtStep::Probe));
}

#[test]
fn a_unit_that_is_no_longer_told_is_not_told_for_an_old_debt() {
    let mut world = world(OnChange::Reload, true);
    world.unit("a.service").behaviour = Behaviour::Stale;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    assert!(debt(&world).is_some());
    configured(&mut world, OnChange::None, true);
    assert_eq!(debt(&world), Some(DebtStep::Probe));
    configured(&mut world, OnChange::None, false);
    assert_eq!(debt(&world), None);
    assert_eq!(world.proof("a.service"), Proof::Unobservable);
}

#[test]
fn a_unit_that_can_be_probed_from_now_on_is() {
    let mut world = world(OnChange::Reload, false);
    configured(&mut world, OnChange::Reload, true);
    assert_eq!(debt(&world), Some(DebtStep::Probe));
    world.run(Duration::from_secs(60));
    assert_eq!(world.proof("a.service"), Proof::Served);
}

#[test]
fn a_unit_that_is_configured_later_is_looked_at_before_it_is_told() {
    let mut world = world(OnChange::Reload, true);
    let told = world.unit("a.service").told;
    world.configure(
        "b.service",
        Some(dependent("b.service", OnChange::Reload, true, 0)),
    );
    world.run(Duration::from_secs(60));
    assert_eq!(world.proof("b.service"), Proof::Served);
    assert_eq!(world.unit("b.service").told, 0);
    assert_eq!(world.unit("a.service").told, told);
}

#[test]
fn a_unit_that_is_no_dependent_any_more_owes_nothing() {
    let mut world = world(OnChange::Reload, true);
    world.unit("a.service").behaviour = Behaviour::Broken;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    assert!(debt(&world).is_some());
    world.dependents.clear();
    world.fold_raw(Event::Configured(Vec::new()));
    world.run(Duration::from_secs(60));
    assert!(world.is_settled());
}

#[test]
fn another_owner_gets_the_same_identity_under_a_new_number() {
    let mut world = world(OnChange::Reload, true);
    world.event(Event::Republish);
    world.run(Duration::from_secs(60));
    assert_eq!(world.current, Some(2));
    assert_eq!(world.published_identity(), Some(1));
    assert_eq!(world.answers, 1);
    assert!(world.is_settled());
}

#[test]
fn nothing_is_published_again_for_another_owner_while_something_goes_out_anyway() {
    let mut world = world(OnChange::Reload, true);
    world.disk_full = true;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    let highest = world.record.highest;
    world.event(Event::Republish);
    assert_eq!(world.record.highest, highest);
}

#[test]
fn a_lost_key_of_the_published_identity_is_replaced_and_what_is_published_stays() {
    let mut world = world(OnChange::Reload, true);
    world.run(DAY / 4);
    world.kept.remove(&1);
    world.kill();
    assert_eq!(world.record.target, None);
    assert_eq!(world.record.published, Some(1));
    assert!(world.record.published_serial().is_some());
    world.run(Duration::from_secs(600));
    assert_eq!(world.published_identity(), Some(2));
    assert!(world.is_settled());
    assert_eq!(world.answers, 2);
}

#[test]
fn a_lost_key_of_an_identity_that_was_not_published_yet_leaves_the_published_one_in_charge() {
    let mut world = world(OnChange::Reload, true);
    world.disk_full = true;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    assert_eq!(world.record.target, Some(2));
    world.kept.remove(&2);
    world.disk_full = false;
    world.run(Duration::from_secs(600));
    assert_eq!(world.record.target, Some(1));
    assert_eq!(world.current, Some(1));
    assert!(world.is_settled());
}

#[test]
fn a_store_that_loses_every_key_is_no_issuance_loop() {
    let mut world = world(OnChange::Reload, true);
    for _ in 0..24 {
        world.kept.clear();
        world.kill();
        world.run(Duration::from_secs(3600));
    }
    assert!(world.answers <= 12, "{} issuances in a day", world.answers);
}

#[test]
fn a_damaged_current_is_published_again_under_a_new_number() {
    let mut world = world(OnChange::Reload, true);
    world.current = None;
    world.kill();
    world.run(Duration::from_secs(60));
    assert_eq!(world.current, Some(2));
    assert_eq!(world.published_identity(), Some(1));
    assert_eq!(world.answers, 1);
    assert!(world.is_settled());
}

#[test]
fn a_crash_between_publishing_and_reloading_is_made_up_for() {
    for fuse in 0..40 {
        let mut world = world(OnChange::Reload, true);
        world.event(Event::RenewRequested);
        world.fuse = Some(fuse);
        world.run(Duration::from_secs(4 * 3600));
        assert!(world.is_settled(), "{fuse}: {:#?}", world.record);
        assert_eq!(world.proof("a.service"), Proof::Served, "{fuse}");
        let published = world.published_identity();
        assert_eq!(world.unit("a.service").serves, published, "{fuse}");
    }
}

#[test]
fn a_newer_target_ends_a_rollout_that_cannot_be_proven() {
    let mut world = world(OnChange::Reload, true);
    world.unit("a.service").behaviour = Behaviour::Forbidden;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    let open = world.record.rollout.as_ref().expect("a rollout");
    assert_eq!((open.generation, open.from), (2, Some(1)));
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    let open = world.record.rollout.as_ref().expect("a rollout");
    // The way back is still to the one that was proven.
    assert_eq!((open.generation, open.from), (3, Some(1)));
    assert_eq!(open.baseline[&unit("a.service")], Proof::Served);
}

#[test]
fn while_a_unit_is_busy_no_baseline_is_taken() {
    let mut world = world(OnChange::Reload, true);
    world.disk_full = true;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    world.record.rollout = None;
    assert_eq!(wanted(&world), Action::Baseline(2));
    let busy = [unit("a.service")].into();
    let action = next(
        &world.record,
        &world.dependents,
        &busy,
        world.life,
        world.now(),
    );
    assert_eq!(action, Action::Wait(None));
}

#[test]
fn a_full_disk_is_retried_and_debts_are_paid_meanwhile() {
    let mut world = world(OnChange::Reload, true);
    world.unit("a.service").behaviour = Behaviour::Stale;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    world.disk_full = true;
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    let rollout = world.record.rollout.as_ref().expect("a rollout");
    assert_eq!((rollout.generation, rollout.stage), (3, Stage::Publish));
    world.unit("a.service").behaviour = Behaviour::Healthy;
    world.run(Duration::from_secs(600));
    assert_eq!(world.unit("a.service").serves, Some(2));
    assert_eq!(world.proof("a.service"), Proof::Served);
    world.disk_full = false;
    world.run(Duration::from_secs(600));
    assert_eq!(world.unit("a.service").serves, Some(3));
    assert!(world.is_settled());
}

#[test]
fn what_expired_before_it_could_be_published_does_not_replace_what_is_valid() {
    let mut world = world(OnChange::Reload, true);
    world.disk_full = true;
    world.life = Duration::from_secs(600);
    world.event(Event::RenewRequested);
    world.run(Duration::from_secs(60));
    assert_eq!(world.record.target, Some(2));
    world.issuer = Issuer::Down;
    world.run(Duration::from_secs(900));
    world.disk_full = false;
    world.run(Duration::from_secs(900));
    // The invariants see to it that the expired one was not published.
    assert_eq!(world.published_identity(), Some(1));
    world.issuer = Issuer::Good;
    world.run(Duration::from_secs(3600));
    assert!(world.published_identity() > Some(2));
}

#[test]
fn without_a_rollout_words_about_it_change_nothing() {
    let dependents: Vec<Dependent> = Vec::new();
    let record = Record::new("api".parse().unwrap());
    let context = Context {
        now: jiff::Timestamp::from_second(1_800_000_000).unwrap(),
        chance: 0.5,
        life: DAY,
        dependents: &dependents,
    };
    for event in [
        Event::Published(1),
        Event::BaselineTaken(BTreeMap::from([(
            unit("a.service"),
            finding(Proof::Served),
        )])),
        Event::Acted {
            unit: unit("a.service"),
            generation: 1,
            outcome: ActOutcome::Job(JobResult::Done),
        },
        Event::UnitActivated(unit("a.service")),
        Event::UnitFound(unit("a.service")),
        Event::Republish,
        Event::IdentityLost(1),
        Event::Revoked(1),
        Event::Housekeeping,
        Event::Recovered {
            current: None,
            highest: 0,
        },
    ] {
        assert_eq!(record.clone().fold(event, context), record);
    }
}

#[test]
fn a_number_on_disk_that_is_none_of_ours_does_not_end_the_numbers() {
    let mut world = world(OnChange::Reload, true);
    world.fold_raw(Event::Recovered {
        current: world.current,
        highest: u64::MAX,
    });
    assert!(world.record.next_number() < 1 << 54);
}
