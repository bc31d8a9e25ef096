//! What counts as a rotation, in `renewctl`'s own words.

use super::*;

fn shown(generation: u64, serial: &str, proof: &str) -> Certificate {
    let json = format!(
        r#"{{"name":"api","state":"fresh","generation":{generation},"serial":"{serial}",
            "not_before":"2026-01-01T00:00:00Z","not_after":"2026-01-02T00:00:00Z",
            "next_renewal":"2026-01-01T16:00:00Z","last_error":null,
            "units":[{{"unit":"a.service","proof":"{proof}","reason":null,
            "served_serial":"{serial}","since":"2026-01-01T00:00:00Z"}}]}}"#
    );
    serde_json::from_str(&json).expect("as renewctl prints it")
}

#[test]
fn a_higher_generation_with_a_new_serial_that_is_served_is_a_rotation() {
    assert_eq!(
        shown(2, "0b", "served").complaint(&shown(1, "0a", "served")),
        None
    );
    assert!(shown(2, "0b", "served").has_serial("b"));
}

#[test]
fn a_revert_is_no_rotation_although_it_is_served() {
    let complaint = shown(3, "0a", "served").complaint(&shown(1, "a", "served"));
    assert!(complaint.expect("a complaint").contains("serial"));
}

#[test]
fn a_generation_that_stays_is_no_rotation() {
    let complaint = shown(1, "0b", "served").complaint(&shown(1, "0a", "served"));
    assert!(complaint.expect("a complaint").contains("did not rise"));
}

#[test]
fn anything_less_than_served_is_no_proof() {
    for proof in [
        "reloaded",
        "not running",
        "unobservable",
        "pending",
        "failed",
    ] {
        let complaint = shown(2, "0b", proof).complaint(&shown(1, "0a", "served"));
        assert!(complaint.expect("a complaint").contains(proof));
    }
}

#[test]
fn a_certificate_that_was_never_issued_can_be_shown() {
    let json = r#"{"name":"api","generation":null,"serial":null,"last_error":"no issuer",
        "units":[]}"#;
    let shown: Certificate = serde_json::from_str(json).expect("as renewctl prints it");
    let complaint = shown
        .complaint(&Certificate::default())
        .expect("a complaint");
    assert!(complaint.contains("no issuer"), "{complaint}");
}
