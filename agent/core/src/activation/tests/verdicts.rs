//! The verdicts, as stories: what goes wrong, what is done about it, and how often the issuer is asked.

use std::time::Duration;

use super::parts::{Behaviour, Issuer, Life};
use super::world::{World, dependent, unit};
use crate::activation::Course;
use crate::proof::{Proof, Reason};
use crate::record::{Event, Verdict};
use crate::supply::Cause;
use crate::unit::{JobResult, OnChange};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// nginx, told by a reload and probed, in a world in which the first certificate is in use.
fn nginx() -> World {
    World::settled(
        DAY,
        vec![dependent("nginx.service", OnChange::Reload, true, 0)],
    )
}

fn renew(world: &mut World) {
    world.event(Event::RenewRequested);
    world.run(MINUTE);
}

fn verdict(world: &World, number: u64) -> Option<&Verdict> {
    world.record.generations.get(&number)?.verdict.as_ref()
}

#[test]
fn a_renewal_that_works_is_published_reloaded_proven_and_settled() {
    let mut world = nginx();
    renew(&mut world);
    assert!(world.is_settled());
    assert_eq!(world.record.published, Some(2));
    assert_eq!(world.proof("nginx.service"), Proof::Served);
    assert_eq!(verdict(&world, 2), Some(&Verdict::Settled));
    assert_eq!(world.answers, 2);
    assert_eq!(world.unit("nginx.service").told, 2);
}

#[test]
fn a_certificate_that_the_reload_refuses_is_taken_back_and_blamed() {
    let mut world = nginx();
    world.issuer = Issuer::Bad;
    renew(&mut world);
    // Generation 2 is the bad one; the identity of 1 went out again as 3.
    assert!(matches!(
        verdict(&world, 2),
        Some(Verdict::Blamed { cause, .. }) if cause.reason == Reason::Reload(JobResult::Failed)
    ));
    assert_eq!(world.current, Some(3));
    assert_eq!(world.published_identity(), Some(1));
    assert_eq!(world.proof("nginx.service"), Proof::Served);
    assert_eq!(world.answers, 2);
    assert_eq!(world.record.state(), "back-off");
    // The new try comes after a tenth of the life, not before.
    world.issuer = Issuer::Good;
    world.run(2 * HOUR);
    assert_eq!(world.answers, 2);
    world.run(HOUR);
    assert_eq!(world.answers, 3);
    assert!(world.is_settled());
    assert_eq!(world.published_identity(), Some(4));
}

#[test]
fn a_certificate_that_is_served_with_a_chain_that_does_not_verify_is_blamed() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Gullible;
    world.issuer = Issuer::Bad;
    renew(&mut world);
    assert!(matches!(
        verdict(&world, 2),
        Some(Verdict::Blamed { cause, .. }) if cause.reason == Reason::Chain
    ));
    assert_eq!(world.published_identity(), Some(1));
}

#[test]
fn a_reload_that_fails_with_either_identity_is_retried_and_costs_one_issuance() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Broken;
    let told = world.unit("nginx.service").told;
    renew(&mut world);
    // Forward, back, and forward again under a third number.
    assert_eq!(world.current, Some(4));
    assert_eq!(world.published_identity(), Some(2));
    assert!(matches!(
        verdict(&world, 4),
        Some(Verdict::NotTheCertificate { cause }) if cause.unit == unit("nginx.service")
    ));
    assert_eq!(world.record.state(), "unproven");
    world.run(HOUR);
    assert!(world.unit("nginx.service").told - told >= 23);
    assert_eq!(world.answers, 2);
    assert_eq!(world.ghost.reverts, 1);
    assert_eq!(
        world.proof("nginx.service"),
        Proof::Failed(Reason::Reload(JobResult::Failed))
    );
    // Somebody mends nginx.conf.
    world.unit("nginx.service").behaviour = Behaviour::Healthy;
    world.run(10 * MINUTE);
    assert!(world.is_settled());
    assert_eq!(verdict(&world, 4), Some(&Verdict::Settled));
    assert_eq!(world.record.last_error, None);
    assert_eq!(world.answers, 2);
}

#[test]
fn a_stale_service_costs_one_issuance() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Stale;
    renew(&mut world);
    world.run(HOUR);
    // docs/decisions/0003: no revert, debt, an alarm.
    assert_eq!(world.current, Some(2));
    assert_eq!(world.ghost.reverts, 0);
    assert_eq!(world.answers, 2);
    assert_eq!(
        world.proof("nginx.service"),
        Proof::Failed(Reason::WrongLeaf)
    );
    assert!(matches!(
        verdict(&world, 2),
        Some(Verdict::Unproven { cause }) if cause.reason == Reason::WrongLeaf
    ));
    let standing = &world.record.units[&unit("nginx.service")].standing;
    let old = &world.identities[&1].leaf.serial;
    assert_eq!(standing.served_serial.as_ref(), Some(old));
    assert!(world.unit("nginx.service").told > 20);
    world.unit("nginx.service").behaviour = Behaviour::Healthy;
    world.run(10 * MINUTE);
    assert!(world.is_settled());
}

#[test]
fn what_was_down_before_is_not_blamed_on_the_certificate() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Mute;
    renew(&mut world);
    world.run(HOUR);
    assert_eq!(world.current, Some(2));
    assert_eq!(world.ghost.reverts, 0);
    assert_eq!(world.answers, 2);
    assert!(matches!(
        verdict(&world, 2),
        Some(Verdict::Unproven { cause }) if cause.reason == Reason::Timeout
    ));
}

#[test]
fn with_an_expired_identity_before_it_the_new_one_is_held_forward() {
    let mut world = nginx();
    world.issuer = Issuer::Down;
    world.run(DAY + HOUR);
    // The first one expired. What comes now is refused, and there is nothing to go back to.
    world.issuer = Issuer::Bad;
    world.unit("nginx.service").behaviour = Behaviour::Gullible;
    let serves = world.unit("nginx.service").serves;
    assert_eq!(serves, Some(1));
    world.run(HOUR);
    assert_eq!(world.published_identity(), Some(2));
    assert_eq!(world.ghost.reverts, 0);
    let was_well = matches!(verdict(&world, 2), Some(Verdict::HeldForward { .. }));
    // By the probe of the baseline the expired one did not hold any more: then it is merely unproven.
    assert!(was_well || matches!(verdict(&world, 2), Some(Verdict::Unproven { .. })));
    assert_eq!(world.answers, 2);
}

#[test]
fn a_way_back_that_expires_soon_is_none() {
    let mut world = nginx();
    world.issuer = Issuer::Down;
    // Three minutes before the end: shorter than a reload and its probes may take.
    world.run(DAY - MINUTE - 3 * MINUTE);
    world.issuer = Issuer::Bad;
    renew(&mut world);
    assert_eq!(world.published_identity(), Some(2));
    assert!(matches!(
        verdict(&world, 2),
        Some(Verdict::HeldForward { .. })
    ));
    assert_eq!(world.record.state(), "held forward");
    assert_eq!(world.ghost.reverts, 0);
}

#[test]
fn what_an_administrator_stopped_stays_stopped_and_is_settled() {
    let mut world = nginx();
    world.unit("nginx.service").life = Life::Stopped;
    let told = world.unit("nginx.service").told;
    renew(&mut world);
    assert!(world.is_settled());
    assert_eq!(world.proof("nginx.service"), Proof::NotRunning);
    assert_eq!(world.unit("nginx.service").life, Life::Stopped);
    assert_eq!(world.unit("nginx.service").told, told);
    assert_eq!(verdict(&world, 2), Some(&Verdict::Settled));
    // Started again, it is looked at.
    world.start_unit("nginx.service");
    world.run(MINUTE);
    assert_eq!(world.proof("nginx.service"), Proof::Served);
}

#[test]
fn a_unit_felled_by_our_own_restart_is_brought_up_with_the_old_identity() {
    let units = vec![dependent("db.service", OnChange::Restart, true, 0)];
    let mut world = World::settled(DAY, units);
    world.issuer = Issuer::Bad;
    renew(&mut world);
    assert_eq!(world.unit("db.service").life, Life::Running);
    assert_eq!(world.ghost.revivals, 1);
    assert_eq!(world.proof("db.service"), Proof::Served);
    assert!(matches!(verdict(&world, 2), Some(Verdict::Blamed { .. })));
}

#[test]
fn a_unit_felled_by_our_own_restart_is_brought_up_after_a_crash_of_ours_too() {
    for fuse in 0..40 {
        let units = vec![dependent("db.service", OnChange::Restart, true, 0)];
        let mut world = World::settled(DAY, units);
        world.issuer = Issuer::Bad;
        world.event(Event::RenewRequested);
        world.fuse = Some(fuse);
        world.run(10 * MINUTE);
        world.issuer = Issuer::Good;
        world.fuse = None;
        world.run(DAY / 2);
        assert_eq!(world.unit("db.service").life, Life::Running, "{fuse}");
        assert_eq!(world.proof("db.service"), Proof::Served, "{fuse}");
    }
}

#[test]
fn a_unit_whose_start_limit_refused_our_restart_is_brought_up() {
    for first in [true, false] {
        let units = vec![dependent("db.service", OnChange::Restart, true, 0)];
        let mut world = if first {
            World::new(DAY, units)
        } else {
            World::settled(DAY, units)
        };
        world.unit("db.service").behaviour = Behaviour::Limited;
        renew(&mut world);
        assert_eq!(world.unit("db.service").life, Life::Failed, "{first}");
        assert_eq!(
            world.proof("db.service"),
            Proof::Failed(Reason::NotReloadable)
        );
        world.unit("db.service").behaviour = Behaviour::Healthy;
        world.run(HOUR);
        assert_eq!(world.unit("db.service").life, Life::Running, "{first}");
        assert_eq!(world.proof("db.service"), Proof::Served, "{first}");
        assert_eq!(world.ghost.blamed, 0, "{first}");
    }
}

#[test]
fn a_unit_that_died_by_itself_is_never_started() {
    let units = vec![dependent("db.service", OnChange::Restart, true, 0)];
    let mut world = World::settled(DAY, units);
    world.unit("db.service").life = Life::Failed;
    renew(&mut world);
    world.run(HOUR);
    assert_eq!(world.unit("db.service").life, Life::Failed);
    assert_eq!(world.ghost.revivals, 0);
    assert_eq!(world.proof("db.service"), Proof::NotRunning);
}

#[test]
fn a_unit_that_a_reload_killed_bears_no_witness() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Fragile;
    world.issuer = Issuer::Bad;
    renew(&mut world);
    // The old identity is what it finds when somebody starts it; nothing is quarantined.
    assert_eq!(world.published_identity(), Some(1));
    assert!(matches!(verdict(&world, 2), Some(Verdict::Unproven { .. })));
    assert_eq!(world.ghost.blamed, 0);
    assert_eq!(world.proof("nginx.service"), Proof::NotRunning);
    assert_eq!(world.answers, 2);
}

#[test]
fn a_refusal_by_polkit_is_debt_and_no_verdict() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Forbidden;
    renew(&mut world);
    world.run(HOUR);
    assert_eq!(world.current, Some(2));
    assert_eq!(world.ghost.reverts, 0);
    assert_eq!(world.answers, 2);
    assert_eq!(
        world.proof("nginx.service"),
        Proof::Failed(Reason::NotReloadable)
    );
    world.unit("nginx.service").behaviour = Behaviour::Healthy;
    world.run(10 * MINUTE);
    assert!(world.is_settled());
}

#[test]
fn one_broken_unit_does_not_hide_that_the_certificate_breaks_another() {
    let units = vec![
        dependent("a.service", OnChange::Reload, true, 0),
        dependent("b.service", OnChange::Reload, true, 0),
    ];
    let mut world = World::settled(DAY, units);
    world.unit("a.service").behaviour = Behaviour::Broken;
    world.issuer = Issuer::Bad;
    renew(&mut world);
    world.run(HOUR);
    assert_eq!(world.published_identity(), Some(1));
    assert!(world.record.identity_blamed(2));
    assert_eq!(world.proof("b.service"), Proof::Served);
    assert_eq!(world.answers, 2);
}

#[test]
fn a_unit_that_breaks_on_the_way_back_does_not_acquit_the_certificate() {
    let units = vec![
        dependent("a.service", OnChange::Reload, true, 0),
        dependent("b.service", OnChange::Reload, true, 0),
    ];
    let mut world = World::settled(DAY, units);
    world.issuer = Issuer::Bad;
    world.event(Event::RenewRequested);
    world.until(|world| {
        let course = world.record.rollout.as_ref().map(|rollout| &rollout.course);
        matches!(course, Some(Course::Reverting { .. }))
    });
    world.unit("b.service").behaviour = Behaviour::Broken;
    world.run(MINUTE);
    assert!(world.record.identity_blamed(2));
    assert_eq!(world.published_identity(), Some(1));
    assert_eq!(world.proof("a.service"), Proof::Served);
}

#[test]
fn trust_that_changes_during_a_rollout_does_not_close_the_way_back() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Forbidden;
    world.issuer = Issuer::Bad;
    renew(&mut world);
    world.change_trust(false, false);
    world.run(MINUTE);
    assert_eq!(world.published_identity(), Some(2));
    world.unit("nginx.service").behaviour = Behaviour::Healthy;
    world.run(10 * MINUTE);
    assert_eq!(world.published_identity(), Some(1));
    assert!(world.record.identity_blamed(2));
    let published = world.record.published_generation().unwrap();
    assert_eq!(published.trust, world.bundles.last().unwrap().digest);
}

#[test]
fn a_newer_bundle_with_the_suspect_identity_is_not_published_after_the_way_back() {
    let mut world = nginx();
    world.issuer = Issuer::Bad;
    world.event(Event::RenewRequested);
    world.until(|world| world.current == Some(2));
    world.change_trust(false, false);
    world.run(HOUR);
    assert_eq!(world.published_identity(), Some(1));
    assert!(world.record.identity_blamed(2));
    assert_eq!(world.record.published, world.record.target);
}

#[test]
fn while_going_back_the_old_identity_is_not_due() {
    let mut world = nginx();
    world.run(DAY / 2);
    world.unit("nginx.service").behaviour = Behaviour::Forbidden;
    world.until(|world| world.answers > 1);
    // Renewed by the schedule. The reload fails once; then polkit refuses the way back.
    world.unit("nginx.service").behaviour = Behaviour::Broken;
    world.until(|world| world.ghost.reverts > 0);
    world.unit("nginx.service").behaviour = Behaviour::Forbidden;
    world.run(4 * HOUR);
    assert_eq!(world.answers, 2);
    assert!(matches!(
        world.ghost.asked.as_slice(),
        [Cause::First, Cause::Due]
    ));
}

#[test]
fn a_way_back_that_expires_while_the_disk_is_full_is_given_up() {
    let mut world = nginx();
    world.unit("nginx.service").behaviour = Behaviour::Gullible;
    world.run(DAY / 2);
    world.issuer = Issuer::Bad;
    world.event(Event::RenewRequested);
    world.until(|world| world.current == Some(2));
    world.disk_full = true;
    world.run(MINUTE);
    assert_eq!(world.ghost.reverts, 1);
    assert_eq!(world.current, Some(2));
    world.issuer = Issuer::Down;
    world.run(DAY / 2);
    world.disk_full = false;
    world.run(HOUR);
    // The invariants see to it that the expired one was not published.
    assert_eq!(world.published_identity(), Some(2));
    assert!(matches!(
        verdict(&world, 2),
        Some(Verdict::HeldForward { .. })
    ));
}

#[test]
fn a_later_wave_waits_for_the_one_before_it() {
    let units = vec![
        dependent("a.service", OnChange::Reload, true, 1),
        dependent("b.service", OnChange::Reload, true, 2),
    ];
    let mut world = World::settled(DAY, units);
    let told = world.unit("b.service").told;
    world.unit("a.service").behaviour = Behaviour::Stale;
    renew(&mut world);
    world.run(HOUR);
    assert_eq!(world.unit("b.service").told, told);
    // When what it would go on serving is about to expire, it no longer waits.
    world.issuer = Issuer::Down;
    world.run(DAY - HOUR - 6 * MINUTE);
    assert_eq!(world.unit("b.service").told, told + 1);
    assert_eq!(world.proof("b.service"), Proof::Served);
}
