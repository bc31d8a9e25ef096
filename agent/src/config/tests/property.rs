//! Whatever stands in a file, it is judged and never a panic.

use std::fs;

use proptest::prelude::*;

use super::super::load;
use super::{MAIN, environment, load_certificate, load_pair};
use crate::kinds::KINDS;

/// Lines that are near the real ones.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = super::super::schema::vocabulary(KINDS)
        .schemas
        .iter()
        .flat_map(|schema| schema.keys.iter().map(|key| key.name))
        .collect();
    let key = proptest::sample::select(keys);
    prop_oneof![
        (key.clone(), "[\\PC]{0,12}").prop_map(|(key, value)| format!("{key} = {value}")),
        (key.clone(), "[\\PC]{0,12}").prop_map(|(key, value)| format!("{key} = {value:?}")),
        (key.clone(), "[\\PC]{0,12}").prop_map(|(key, value)| format!("{key} = [{value:?}, 1]")),
        (key.clone(), any::<i64>()).prop_map(|(key, value)| format!("{key} = {value}")),
        (key.clone(), key).prop_map(|(table, name)| format!("[{table}.{name:?}]")),
        "[\\PC]{0,20}",
    ]
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("certs.d")).unwrap();
        fs::write(directory.path().join("renewd.toml"), MAIN).unwrap();
        fs::write(directory.path().join("certs.d/api.toml"), &bytes).unwrap();
        let loaded = load(directory.path(), &environment());
        prop_assert!(!loaded.errors.is_empty() || !loaded.settings.certificates.is_empty());
        fs::write(directory.path().join("renewd.toml"), &bytes).unwrap();
        load(directory.path(), &environment());
    }

    #[test]
    fn lines_of_any_kind_are_accepted_or_refused_with_a_place(lines in proptest::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        let last = text.lines().count().max(1) as u32;
        for loaded in [load_certificate(&text), load_pair(&text, "names = [\"a.test\"]")] {
            for error in &loaded.errors {
                prop_assert!(error.location.line.is_some_and(|line| (1..=last + 1).contains(&line)), "{}", error);
                prop_assert!(!error.to_string().contains(char::is_control), "{}", error);
            }
            prop_assert_eq!(
                loaded.errors.is_empty(),
                loaded.held.is_empty() && !loaded.settings.certificates.is_empty()
            );
        }
    }
}
