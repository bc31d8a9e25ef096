//! Each check turns red for its own fault, and for no other.

use super::*;

fn good() -> Facts {
    let rotation = |number| Rotation {
        number,
        generation: number as u64 + 1,
        serial: format!("{number:x}"),
        rose: true,
        proven: true,
        complaint: None,
        took: Duration::from_millis(100),
        seen_after: Some(Duration::from_millis(30)),
    };
    let report = Report {
        connections: 50,
        min_requests_per_connection: 10,
        requests: 20_000,
        streams: 40,
        failed_requests: 0,
        dropped_connections: 0,
        lost_connections: 0,
        requests_asked_again: 0,
        ended_connections: 0,
        handshakes: 400,
        failed_handshakes: 0,
        distinct_leaves_seen: 11,
        leaves: Vec::new(),
        p99_ms_steady: Some(1.5),
        p99_ms_rotating: None,
        faults: std::collections::BTreeMap::new(),
    };
    Facts {
        rotations: (1..=10).map(rotation).collect(),
        report,
    }
}

fn red(plant: impl FnOnce(&mut Facts)) -> Vec<Check> {
    let mut facts = good();
    plant(&mut facts);
    Verdict::of(&facts)
        .red()
        .map(|outcome| outcome.check)
        .collect()
}

#[test]
fn good_facts_are_green_and_the_json_is_what_was_promised() {
    let verdict = Verdict::of(&good());
    assert!(verdict.green(), "{verdict}");
    assert_eq!(
        serde_json::to_value(verdict.numbers()).expect("JSON"),
        serde_json::json!({
            "rotations": 10, "proven": 10, "distinct_leaves_seen": 11, "requests": 20_000,
            "failed_requests": 0, "dropped_connections": 0, "p99_ms_steady": 1.5,
            "p99_ms_rotating": null,
        })
    );
}

#[test]
fn each_planted_fault_reddens_its_own_check_alone() {
    assert_eq!(
        red(|facts| facts.rotations[4].proven = false),
        [Check::Proven]
    );
    assert_eq!(
        red(|facts| facts.report.failed_requests = 1),
        [Check::Failed]
    );
    assert_eq!(
        red(|facts| facts.report.dropped_connections = 1),
        [Check::Dropped]
    );
    assert_eq!(
        red(|facts| facts.report.distinct_leaves_seen = 10),
        [Check::Leaves]
    );
    assert_eq!(
        red(|facts| facts.report.distinct_leaves_seen = 12),
        [Check::Leaves]
    );
    assert_eq!(
        red(|facts| facts.rotations[9].seen_after = None),
        [Check::Leaves]
    );
    assert_eq!(
        red(|facts| facts.report.min_requests_per_connection = 0),
        [Check::Busy]
    );
    let few = |facts: &mut Facts| {
        facts.rotations.truncate(8);
        facts.report.distinct_leaves_seen = 9;
    };
    assert_eq!(red(few), [Check::Rotations]);
}

#[test]
fn nine_rotations_are_enough() {
    let nine = |facts: &mut Facts| {
        facts.rotations.truncate(9);
        facts.report.distinct_leaves_seen = 10;
    };
    assert_eq!(red(nine), []);
}

#[test]
fn no_rotation_at_all_proves_nothing() {
    let none = |facts: &mut Facts| {
        facts.rotations.clear();
        facts.report.distinct_leaves_seen = 1;
    };
    assert_eq!(red(none), [Check::Proven, Check::Rotations]);
}
