//! `docs/journal.md` says of every event what the code does.

use tracing::Level;

use super::{Event, samples};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/journal.md");

/// The heading of an event and the line below it.
fn documented(event: &Event) -> (String, String) {
    let debug = format!("{event:?}");
    let variant = debug.split([' ', '{']).next().unwrap().to_owned();
    let entry = event.entries().remove(0);
    let level = match entry.level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        _ => "info",
    };
    let fields: Vec<&str> = [
        ("`RENEWD_CERT`", entry.certificate.is_some()),
        ("`RENEWD_GENERATION`", entry.generation.is_some()),
        ("`RENEWD_SERIAL`", entry.serial.is_some()),
        ("`RENEWD_UNIT`", entry.unit.is_some()),
    ]
    .into_iter()
    .filter_map(|(field, there)| there.then_some(field))
    .collect();
    let fields = if fields.is_empty() {
        "none".to_owned()
    } else {
        fields.join(", ")
    };
    let line = format!(
        "`{}` · {level} · step `{}` · fields: {fields}",
        entry.message_id, entry.step
    );
    (variant, line)
}

#[test]
fn every_event_is_documented_with_its_id_level_step_and_fields() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    for event in samples() {
        let (variant, line) = documented(&event);
        let section = format!("\n### {variant}\n\n{line}\n\n");
        assert!(
            text.contains(&section),
            "docs/journal.md lacks{section}of {event:?}"
        );
    }
    let headings = text.lines().filter(|line| line.starts_with("### "));
    assert_eq!(headings.count(), samples().len());
}
