//! What property tests draw from: blows to the world, and events out of the blue.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::parts::{Behaviour, Issuer, Life, finding, new_identity};
use super::world::{World, dependent, request, unit};
use crate::leaf::Fingerprint;
use crate::proof::{ProbeReport, Proof, Reason};
use crate::record::{Event, TrustPart};
use crate::supply::{Again, Failure};
use crate::unit::{ActOutcome, Dependent, JobResult, OnChange};

pub(super) const UNITS: [&str; 4] = ["a.service", "b.service", "c.service", "d.service"];

/// What can befall the world.
#[derive(Debug, Clone)]
pub(super) enum Blow {
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
    /// The operator revokes one of the identities.
    Revoke(usize),
    Clock(i64),
    Suspend(u32),
    /// Names or key type changed.
    Request(u32),
    Configure(usize, Dependent),
    Forget,
    /// An event that does not fit.
    Misfit(u8, u64),
}

pub(super) fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop::sample::select(vec![
        Behaviour::Healthy,
        Behaviour::Healthy,
        Behaviour::Gullible,
        Behaviour::Broken,
        Behaviour::Stale,
        Behaviour::Fragile,
        Behaviour::Forbidden,
        Behaviour::Limited,
        Behaviour::Mute,
    ])
}

pub(super) fn issuer() -> impl Strategy<Value = Issuer> {
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

pub(super) fn on_change() -> impl Strategy<Value = OnChange> {
    prop::sample::select(vec![
        OnChange::Reload,
        OnChange::Reload,
        OnChange::Restart,
        OnChange::None,
    ])
}

pub(super) fn dependents() -> impl Strategy<Value = Vec<Dependent>> {
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
pub(super) fn blow() -> impl Strategy<Value = Blow> {
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
        1 => (0..3_usize).prop_map(Blow::Revoke),
        1 => (0..100_000_u32).prop_map(Blow::Suspend),
        1 => (0..3_u32).prop_map(Blow::Request),
        1 => (unit, on_change(), any::<bool>(), 0..3_u32).prop_map(|(unit, on_change, probed, wave)| {
            Blow::Configure(unit, dependent(UNITS[unit], on_change, probed, wave))
        }),
        1 => Just(Blow::Forget),
        3 => any::<(u8, u64)>().prop_map(|(which, number)| Blow::Misfit(which, number)),
    ]
}

pub(super) fn blow_or_clock() -> impl Strategy<Value = Blow> {
    prop_oneof![
        9 => blow(),
        1 => prop::sample::select(vec![-31_536_000_i64, -7_200, -90, 0, 45, 7_200, 31_536_000])
            .prop_map(Blow::Clock),
    ]
}

pub(super) fn apply(world: &mut World, blow: Blow) {
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
        Blow::Revoke(back) => {
            let revoked = world.identities.keys().rev().nth(back).copied();
            if let Some(revoked) = revoked {
                world.event(Event::Revoked(revoked));
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
pub(super) fn misfit(world: &mut World, which: u8, number: u64) {
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
                failure: number.is_multiple_of(2).then_some(Reason::Chain),
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

/// Any event, at any time, true or not.
pub(super) fn anything() -> impl Strategy<Value = (Event, i64, f64)> {
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
        ActOutcome::LeftOpen("lost".into()),
    ]);
    let reason = prop::option::of(prop::sample::select(vec![
        Reason::WrongLeaf,
        Reason::Refused,
        Reason::Chain,
    ]));
    let trust = |version: u64| TrustPart {
        digest: Fingerprint::of(&version.to_be_bytes()),
        anchors: vec![Fingerprint::of(&(version / 2).to_be_bytes())],
        dropped: BTreeMap::new(),
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
        Just(Event::IssuersReplaced(vec!["backup".parse().unwrap()])),
        Just(Event::RenewRequested),
        Just(Event::ClockStepped),
        Just(Event::Offered),
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
                Event::Accepted(new_identity(start, life, trust(version)))
            }
        ),
        (instant.clone(), 0..u64::from(u32::MAX), 0..4_u64).prop_map(
            move |(start, life, version)| {
                Event::Accepted(new_identity(start, life, trust(version)))
            }
        ),
        any::<u64>().prop_map(|seconds| Event::PutOff {
            issuer: "backup".parse().unwrap(),
            asked: Duration::from_secs(seconds),
        }),
        (0..4_u64).prop_map(move |version| Event::TrustChanged(trust(version))),
        prop::collection::btree_map(
            name.clone(),
            prop::sample::select(vec![Proof::Served, Proof::NotRunning, Proof::Pending]),
            0..3
        )
        .prop_map(|findings| Event::BaselineTaken(
            findings
                .into_iter()
                .map(|(unit, proof)| (unit, finding(proof)))
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
        name.clone().prop_map(Event::UnitActivated),
        name.prop_map(Event::UnitFound),
        Just(Event::RootsKnown),
        Just(Event::Republish),
        number.clone().prop_map(Event::IdentityLost),
        number.prop_map(Event::Revoked),
        Just(Event::Housekeeping),
    ];
    (event, instant, 0.0..1.0)
}
