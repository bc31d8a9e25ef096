//! Lives, the intermediate's renewal and wrong clocks, over simulated years.

use super::*;

#[test]
fn lives_from_30_seconds_to_5_years_are_given_exactly_as_asked() {
    let world = World::new();
    for life in [30, 45, 90, 3600, DAY, 90 * DAY, YEAR, 2 * YEAR, 5 * YEAR] {
        let accepted = world.issue(&request(&["a.test"], life)).unwrap();
        assert_eq!(ends(&accepted), life);
        assert_eq!(accepted.warnings, []);
    }
    let error = world.issue(&request(&["a.test"], 29)).unwrap_err();
    assert_eq!((error.label(), error.retry()), ("life", Retry::Operator));
}

#[test]
fn a_long_life_does_not_need_a_new_intermediate_each_time() {
    let world = World::new();
    let long = request(&["a.test"], 5 * YEAR);
    let first = world.issue(&long).unwrap();
    world.set_clock(YEAR);
    let second = world.issue(&long).unwrap();
    assert_eq!(first.chain, second.chain);
}

#[test]
fn the_intermediate_is_renewed_in_time_and_what_it_signed_still_verifies() {
    let mut world = World::new();
    let mut issued = Vec::new();
    let mut intermediates = std::collections::BTreeSet::new();
    // Nineteen years, a certificate of 90 days every 45 days, a restart each time.
    for step in 0..(19 * YEAR / (45 * DAY)) {
        world.set_clock(step * 45 * DAY);
        let accepted = world.issue(&request(&["a.test"], 90 * DAY)).unwrap();
        assert_eq!(accepted.warnings, [], "{step}");
        intermediates.insert(accepted.chain[0].to_vec());
        issued.push(accepted);
        if issued.len() > 1 {
            let previous = &issued[issued.len() - 2];
            world.openssl_verifies(previous).unwrap();
        }
        world.restart();
    }
    // Each serves until a third of its year is left: six steps of 45 days.
    assert_eq!(intermediates.len(), 26);
    assert_eq!(world.anchors().len(), 1, "the root stayed");
}

#[test]
fn near_the_roots_end_lives_are_cut_and_then_refused() {
    let settings = LocalSettings {
        root_life: Duration::from_secs(10 * 86_400),
        ..LocalSettings::default()
    };
    let world = World::with(settings);
    world.anchors();
    let day = request(&["a.test"], DAY);
    world.set_clock(10 * DAY - 3600);
    assert_eq!(ends(&world.issue(&day).unwrap()), 10 * DAY);
    let before = issuing_file(&world);
    world.set_clock(10 * DAY - 60);
    assert_eq!(ends(&world.issue(&day).unwrap()), 10 * DAY);
    assert_eq!(
        issuing_file(&world),
        before,
        "a new one could not live longer"
    );
    for late in [-29, 0, YEAR] {
        world.set_clock(10 * DAY + late);
        let error = world.issue(&day).unwrap_err();
        assert_eq!(error.label(), "ca-root-ends");
        assert_eq!(error.retry(), Retry::BackOff, "it may be the clock");
    }
}

#[test]
fn a_root_made_by_a_clock_that_was_ahead_serves_when_the_clock_is_right_again() {
    let mut world = World::new();
    world.set_clock(YEAR);
    world.issue(&api()).unwrap();
    world.restart();
    for right in [100, -YEAR, EARLIEST.as_second() - START] {
        world.set_clock(right);
        let accepted = world.issue(&api()).unwrap();
        assert_eq!(ends(&accepted), right + 3600);
    }
}

#[test]
fn a_clock_before_the_root_is_refused_and_heals() {
    let world = World::new();
    world.issue(&api()).unwrap();
    for wrong in [EARLIEST.as_second() - START - 1, -START] {
        world.set_clock(wrong);
        let error = world.issue(&api()).unwrap_err();
        assert_eq!((error.label(), error.retry()), ("clock", Retry::BackOff));
        assert!(error.remedy().contains("set the clock"));
    }
    world.set_clock(10);
    world.issue(&api()).unwrap();
}

#[test]
fn no_root_is_made_by_a_clock_that_is_certainly_wrong() {
    let world = World::new();
    world.now.store(1000, Ordering::SeqCst);
    assert_eq!(world.issue(&api()).unwrap_err().label(), "clock");
    assert!(!world.file(ROOT).exists());
    world.set_clock(0);
    world.issue(&api()).unwrap();
}

#[test]
fn an_intermediate_made_by_a_clock_that_was_ahead_is_replaced_when_the_clock_is_right_again() {
    let world = World::new();
    world.issue(&api()).unwrap();
    world.set_clock(3 * YEAR);
    world.issue(&api()).unwrap();
    world.set_clock(100);
    let accepted = world.issue(&api()).unwrap();
    assert_eq!(ends(&accepted), 3700);
}
