//! When a unit is left alone, without a systemd; the job results of a real one are in the scenarios.

use super::*;
use crate::units::activity;

fn facts(load: &str, active: &str, service_type: &str) -> UnitFacts {
    UnitFacts {
        activity: activity(load, active),
        load_state: load.into(),
        active_state: active.into(),
        sub_state: String::new(),
        can_reload: true,
        canonical: "a.service".into(),
        unit_file_state: "enabled".into(),
        service_type: service_type.into(),
        is_umbrella: false,
        needs_daemon_reload: false,
        start_limit: None,
        after: Vec::new(),
        credentials: Vec::new(),
        refreshes_credentials: false,
    }
}

fn plainly(verb: OnChange) -> Wish {
    Wish {
        verb,
        revive: false,
    }
}

#[test]
fn a_unit_that_our_own_restart_felled_is_brought_up_and_one_that_was_stopped_is_not() {
    let wish = Wish {
        verb: OnChange::Restart,
        revive: true,
    };
    for (state, verb) in [
        ("failed", "restart"),
        ("activating", "restart"),
        ("active", "try-restart"),
    ] {
        let facts = facts("loaded", state, "simple");
        assert!(matches!(settled("a.service", wish, &facts), Ok(None)));
        assert_eq!(polkit_verb(wish, &facts), verb, "{state}");
    }
    for state in ["inactive", "deactivating"] {
        let settled = settled("a.service", wish, &facts("loaded", state, "simple"));
        assert!(matches!(settled, Ok(Some(ActOutcome::NotRunning))));
    }
    assert!(matches!(
        settled("a.service", wish, &facts("masked", "failed", "simple")),
        Err(UnitsError::Masked(_))
    ));
}

#[test]
fn a_unit_that_is_not_running_is_left_alone_by_every_verb_but_start() {
    for verb in [
        OnChange::Reload,
        OnChange::Restart,
        OnChange::SignalHup,
        OnChange::None,
    ] {
        for state in ["inactive", "failed", "deactivating"] {
            let settled = settled(
                "a.service",
                plainly(verb),
                &facts("loaded", state, "simple"),
            );
            assert!(
                matches!(settled, Ok(Some(ActOutcome::NotRunning))),
                "{verb:?} of a unit that is {state}: {settled:?}"
            );
        }
    }
}

#[test]
fn start_is_for_oneshot_units_that_are_not_active() {
    let start = |active, kind| {
        settled(
            "a.service",
            plainly(OnChange::Start),
            &facts("loaded", active, kind),
        )
    };
    assert!(matches!(start("inactive", "oneshot"), Ok(None)));
    assert!(matches!(start("failed", "oneshot"), Ok(None)));
    assert!(matches!(start("activating", "oneshot"), Ok(None)));
    assert!(matches!(
        start("active", "oneshot"),
        Err(UnitsError::StillActive(_))
    ));
    assert!(matches!(
        start("inactive", "simple"),
        Err(UnitsError::NotOneshot(_))
    ));
}

#[test]
fn masked_and_missing_units_are_named_before_anything_is_asked_for() {
    for verb in [OnChange::Reload, OnChange::Start] {
        assert!(matches!(
            settled(
                "a.service",
                plainly(verb),
                &facts("masked", "active", "simple")
            ),
            Err(UnitsError::Masked(_))
        ));
        assert!(matches!(
            settled(
                "a.service",
                plainly(verb),
                &facts("not-found", "inactive", "")
            ),
            Err(UnitsError::NoSuchUnit(_))
        ));
    }
}

#[test]
fn a_signal_waits_until_the_service_has_started() {
    assert!(matches!(
        settled(
            "a.service",
            plainly(OnChange::SignalHup),
            &facts("loaded", "activating", "notify")
        ),
        Err(UnitsError::StillStarting(_))
    ));
}
