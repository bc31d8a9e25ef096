//! The daemon's record of a certificate, as it is found on disk: read, written and read again it says the same, and
//! the next step can be decided whatever it says.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::leaf::Fingerprint;
use renewd_core::record::Record;
use renewd_core::{activation, supply};

use crate::der::NOW;

pub(crate) fn run(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(data) else {
        return;
    };
    let written = serde_json::to_vec(&record).expect("it can be written");
    let again: Record = serde_json::from_slice(&written).expect("it can be read again");
    assert_eq!(record, again);
    let now = Timestamp::from_second(NOW as i64).expect("a time");
    let life = Duration::from_secs(3600);
    assert!(!record.state().is_empty());
    let _ = supply::next(&record, &Fingerprint::of(b""), life, life / 10, now);
    let _ = activation::next(&record, &[], &BTreeSet::new(), life, now);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let new = Record::new("api".parse().expect("a name"));
    let digest = "ab".repeat(32);
    let full = serde_json::to_string(&new).expect("it can be written");
    let full = full
        .replace(r#""trust":null"#, &format!(r#""trust":"{digest}""#))
        .replace(r#""anchors":[]"#, &format!(r#""anchors":["{digest}"]"#))
        .replace(
            r#""last_error":null"#,
            r#""last_error":{"at":"2026-06-01T00:00:00Z","text":"x"}"#,
        );
    vec![
        serde_json::to_vec_pretty(&new).expect("it can be written"),
        full.into_bytes(),
    ]
}
