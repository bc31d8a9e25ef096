//! Any order of events, faults and restarts: the invariants hold at every step, and a world that
//! becomes healthy converges.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::world::{Behaviour, Issuer, Life, World, dependent, request, unit};
use crate::leaf::Fingerprint;
use crate::proof::{ProbeReport, Proof, Reason};
use crate::record::{Event, TrustPart};
use crate::supply::{Again, Cause, Failure};
use crate::unit::{ActOutcome, Dependent, JobResult, OnChange};

const UNITS: [&str; 4] = ["a.service", "b.service", "c.service", "d.service"];

/// What can befall the world.
#[derive(Debug, Clone)]
enum Blow {
    /// So many seconds pass.
    Run(u32),
    /// So many thousandths of a life pass.
    Age(u32),
    Behave(usize, Behaviour),
    Stop(usize),
    Die(usize),
    Start(usize),
    Issuer(Issuer),
    Renew,
    Kill,
    /// Killed after so many more points.
    Fuse(u32),
    DiskFull(bool),
    Trust {
        new_root: bool,
        drop_old: bool,
    },
    Damage,
    Chown,
    LoseKey(usize),
    Clock(i64),
    Suspend(u32),
    /// Names or key type changed.
    Request(u32),
    Configure(usize, Dependent),
    Forget,
    /// An event that does not fit.
    Misfit(u8, u64),
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop::sample::select(vec![
        Behaviour::Healthy,
        Behaviour::Healthy,
        Behaviour::Gullible,
        Behaviour::Broken,
        Behaviour::Stale,
        Behaviour::Fragile,
        Behaviour::Forbidden,
        Behaviour::Mute,
    ])
}

fn issuer() -> impl Strategy<Value = Issuer> {
    prop::sample::select(vec![
        Issuer::Good,
        Issuer::Good,
        Issuer::Bad,
        Issuer::Bad,
        Issuer::Down,
        Issuer::Wrong,
        Issuer::Later,
        Issuer::NeedsOperator,
        Issuer::Short,
    ])
}

fn on_change() -> impl Strategy<Value = OnChange> {
    prop::sample::select(vec![
        OnChange::Reload,
        OnChange::Reload,
        OnChange::Restart,
        OnChange::None,
    ])
}

fn dependents() -> impl Strategy<Value = Vec<Dependent>> {
    prop::collection::vec((on_change(), prop::bool::weighted(0.8), 0..3_u32), 1..4).prop_map(
        |units| {
            let named = UNITS.iter().zip(units);
            named
                .map(|(name, (on_change, probed, wave))| dependent(name, on_change, probed, wave))
                .collect()
        },
    )
}

/// Everything but clocks that go wrong.
fn blow() -> impl Strategy<Value = Blow> {
    let unit = 0..UNITS.len();
    prop_oneof![
        8 => (1..120_u32).prop_map(Blow::Run),
        4 => (1..100_u32).prop_map(Blow::Age),
        1 => (100..900_u32).prop_map(Blow::Age),
        6 => (unit.clone(), behaviour()).prop_map(|(unit, how)| Blow::Behave(unit, how)),
        2 => unit.clone().prop_map(Blow::Stop),
        2 => unit.clone().prop_map(Blow::Die),
        3 => unit.clone().prop_map(Blow::Start),
        5 => issuer().prop_map(Blow::Issuer),
        4 => Just(Blow::Renew),
        2 => Just(Blow::Kill),
        4 => (0..30_u32).prop_map(Blow::Fuse),
        2 => any::<bool>().prop_map(Blow::DiskFull),
        2 => any::<(bool, bool)>().prop_map(|(new_root, drop_old)| Blow::Trust { new_root, drop_old }),
        1 => Just(Blow::Damage),
        1 => Just(Blow::Chown),
        1 => (0..3_usize).prop_map(Blow::LoseKey),
        1 => (0..100_000_u32).prop_map(Blow::Suspend),
        1 => (0..3_u32).prop_map(Blow::Request),
        1 => (unit, on_change(), any::<bool>(), 0..3_u32).prop_map(|(unit, on_change, probed, wave)| {
            Blow::Configure(unit, dependent(UNITS[unit], on_change, probed, wave))
        }),
        1 => Just(Blow::Forget),
        3 => any::<(u8, u64)>().prop_map(|(which, number)| Blow::Misfit(which, number)),
    ]
}

fn blow_or_clock() -> impl Strategy<Value = Blow> {
    prop_oneof![
        9 => blow(),
        1 => prop::sample::select(vec![-31_536_000_i64, -7_200, -90, 0, 45, 7_200, 31_536_000])
            .prop_map(Blow::Clock),
    ]
}

fn apply(world: &mut World, blow: Blow) {
    match blow {
        Blow::Run(seconds) => world.run(Duration::from_secs(seconds.into())),
        Blow::Age(thousandths) => world.run(world.life / 1000 * thousandths),
        Blow::Behave(which, how) => {
            if let Some(unit) = world.units.get_mut(&unit(UNITS[which])) {
                unit.behaviour = how;
            }
        }
        Blow::Stop(which) | Blow::Die(which) => {
            if let Some(found) = world.units.get_mut(&unit(UNITS[which])) {
                found.life = if matches!(blow, Blow::Stop(_)) {
                    Life::Stopped
                } else {
                    Life::Failed
                };
                found.serves = None;
            }
        }
        Blow::Start(which) => {
            if world.units.contains_key(&unit(UNITS[which])) {
                world.start_unit(UNITS[which]);
            }
        }
        Blow::Issuer(issuer) => world.issuer = issuer,
        Blow::Renew => world.event(Event::RenewRequested),
        Blow::Kill => world.kill(),
        Blow::Fuse(points) => world.fuse = Some(points),
        Blow::DiskFull(full) => world.disk_full = full,
        Blow::Trust { new_root, drop_old } => world.change_trust(new_root, drop_old),
        Blow::Damage => {
            world.current = None;
            world.kill();
        }
        Blow::Chown => world.event(Event::Republish),
        Blow::LoseKey(back) => {
            let lost = world.kept.iter().rev().nth(back).copied();
            if let Some(lost) = lost {
                world.kept.remove(&lost);
            }
        }
        Blow::Clock(seconds) => world.step_clock(SignedDuration::from_secs(seconds)),
        Blow::Suspend(seconds) => {
            world.time = crate::schedule::after(world.time, Duration::from_secs(seconds.into()));
        }
        Blow::Request(version) => {
            world.request = request(version);
            world.event(Event::Configured(world.dependents.clone()));
        }
        Blow::Configure(which, dependent) => world.configure(UNITS[which], Some(dependent)),
        Blow::Forget => {
            if world.dependents.len() > 1 {
                let first = world.dependents[0].unit.to_string();
                world.configure(&first, None);
            }
        }
        Blow::Misfit(which, number) => misfit(world, which, number),
    }
}

/// Folds something that does not fit the state.
fn misfit(world: &mut World, which: u8, number: u64) {
    let name = unit(UNITS[usize::from(which) % UNITS.len()]);
    let published = world.record.published.unwrap_or(0);
    let other = if number % 8 == published {
        u64::MAX
    } else {
        number % 8
    };
    let issuing = matches!(world.record.supply, crate::supply::Supply::Issuing { .. });
    let event = match which % 8 {
        0 => Event::Acted {
            unit: name,
            generation: other,
            outcome: ActOutcome::Job(JobResult::Done),
        },
        1 => Event::Acted {
            unit: name,
            generation: other,
            outcome: ActOutcome::Job(JobResult::Failed),
        },
        2 => Event::Probed {
            unit: name,
            generation: other,
            report: ProbeReport {
                failure: (number % 2 == 0).then_some(Reason::Chain),
                detail: String::new(),
                seen: None,
            },
        },
        3 => Event::Published(other.min(published)),
        4 if !issuing => Event::IssueFailed(Failure {
            text: "out of the blue".into(),
            again: Again::Operator,
            answered: true,
        }),
        5 => Event::UnitActivated(unit("stranger.service")),
        6 => Event::IdentityLost(u64::MAX),
        _ => Event::Housekeeping,
    };
    world.event(event);
}

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
        .unwrap_or(48)
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
        for _ in 0..12 {
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
            let _ = crate::supply::next(&record, &request(0), life, now);
            let _ = crate::activation::next(&record, &dependents, &Default::default(), life, now);
            let _ = record.state();
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<crate::record::Record>(&text).unwrap(), &record);
        }
    }
}

/// Any event, at any time, true or not.
fn anything() -> impl Strategy<Value = (Event, i64, f64)> {
    let instant = prop_oneof![
        5 => 1_700_000_000..1_900_000_000_i64,
        1 => Timestamp::MIN.as_second()..Timestamp::MAX.as_second(),
    ];
    let name = prop::sample::select(vec!["a.service", "b.service", "x.service"]).prop_map(unit);
    let number = prop_oneof![5 => 0..12_u64, 1 => any::<u64>()];
    let outcome = prop::sample::select(vec![
        ActOutcome::Job(JobResult::Done),
        ActOutcome::Job(JobResult::Failed),
        ActOutcome::Job(JobResult::Canceled),
        ActOutcome::NotRunning,
        ActOutcome::NotNow("no".into()),
    ]);
    let reason = prop::option::of(prop::sample::select(vec![
        Reason::WrongLeaf,
        Reason::Refused,
        Reason::Chain,
    ]));
    let trust = |version: u64| TrustPart {
        digest: Fingerprint::of(&version.to_be_bytes()),
        anchors: vec![Fingerprint::of(&(version / 2).to_be_bytes())],
    };
    let event = prop_oneof![
        (prop::option::of(number.clone()), number.clone())
            .prop_map(|(current, highest)| Event::Recovered { current, highest }),
        Just(Event::Configured(vec![dependent(
            "a.service",
            OnChange::None,
            true,
            0
        )])),
        Just(Event::RenewRequested),
        Just(Event::ClockStepped),
        Just(Event::ClockDoubted),
        Just(Event::IssueStarted),
        Just(Event::IssueStarted),
        any::<(bool, u64)>().prop_map(|(answered, seconds)| Event::IssueFailed(Failure {
            text: "no".into(),
            again: Again::After(Duration::from_secs(seconds)),
            answered,
        })),
        (instant.clone(), 0..u64::from(u32::MAX), 0..4_u64).prop_map(
            move |(start, life, version)| {
                Event::Accepted(super::world::new_identity(start, life, trust(version)))
            }
        ),
        (instant.clone(), 0..u64::from(u32::MAX), 0..4_u64).prop_map(
            move |(start, life, version)| {
                Event::Accepted(super::world::new_identity(start, life, trust(version)))
            }
        ),
        (0..4_u64).prop_map(move |version| Event::TrustChanged(trust(version))),
        prop::collection::btree_map(
            name.clone(),
            prop::sample::select(vec![Proof::Served, Proof::NotRunning, Proof::Pending]),
            0..3
        )
        .prop_map(|findings| Event::BaselineTaken(
            findings
                .into_iter()
                .map(|(unit, proof)| (unit, super::world::finding(proof)))
                .collect()
        )),
        number.clone().prop_map(Event::Published),
        Just(Event::PublishFailed("no".into())),
        (name.clone(), number.clone(), outcome).prop_map(|(unit, generation, outcome)| {
            Event::Acted {
                unit,
                generation,
                outcome,
            }
        }),
        (name.clone(), number.clone(), reason).prop_map(|(unit, generation, failure)| {
            Event::Probed {
                unit,
                generation,
                report: ProbeReport {
                    failure,
                    detail: String::new(),
                    seen: None,
                },
            }
        }),
        name.prop_map(Event::UnitActivated),
        Just(Event::Republish),
        number.prop_map(Event::IdentityLost),
        Just(Event::Housekeeping),
    ];
    (event, instant, 0.0..1.0)
}

#[test]
fn ten_thousand_rotations_of_a_short_life_leave_nothing_behind() {
    let life = Duration::from_secs(60);
    let mut world = World::settled(
        life,
        vec![dependent("a.service", OnChange::Reload, true, 0)],
    );
    for _ in 0..2_000 {
        world.run(Duration::from_secs(200));
        world.event(Event::Housekeeping);
    }
    assert!(world.answers > 9_000, "{}", world.answers);
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
