//! `docs/journal.md` says of every event what the code does. What it says is the message catalogue, too
//! (`packaging/manual`), so that here the code, the catalogue and the document are held together.

use std::collections::BTreeSet;

use tracing::Level;

use super::samples::samples;
use super::{Entry, Event, variant};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/journal.md");

/// A field with the word that stands for it in the document, and whether an entry has it.
type Field = (&'static str, &'static str, fn(&Entry) -> bool);

const FIELDS: [Field; 4] = [
    ("RENEWD_CERT", "NAME", |entry| {
        entry.fields.certificate.is_some()
    }),
    ("RENEWD_GENERATION", "GENERATION", |entry| {
        entry.fields.generation.is_some()
    }),
    ("RENEWD_SERIAL", "SERIAL", |entry| {
        entry.fields.serial.is_some()
    }),
    ("RENEWD_UNIT", "UNIT", |entry| entry.fields.unit.is_some()),
];

/// All samples of the same event as one entry each.
fn entries(of: &Event) -> Vec<Entry> {
    let alike = samples()
        .into_iter()
        .filter(|event| variant(event) == variant(of));
    alike.flat_map(|event| event.entries()).collect()
}

/// The line below an event's heading.
fn line(entries: &[Entry]) -> String {
    let levels: BTreeSet<&str> = entries
        .iter()
        .map(|entry| match entry.kind.level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "info",
        })
        .collect();
    let levels: Vec<&str> = levels.into_iter().rev().collect();
    let fields: Vec<String> = FIELDS
        .iter()
        .filter(|(.., has)| entries.iter().any(has))
        .map(|(field, ..)| format!("`{field}`"))
        .collect();
    let fields = match fields.is_empty() {
        true => "none".to_owned(),
        false => fields.join(", "),
    };
    let kind = entries[0].kind;
    format!(
        "`{}` · {} · step `{}` · fields: {fields}",
        kind.message_id,
        levels.join(" or "),
        kind.step
    )
}

#[test]
fn every_event_is_documented_with_its_id_level_step_and_fields() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut known = BTreeSet::new();
    for event in samples() {
        let name = variant(&event);
        let section = format!("\n### {name}\n\n{}\n\n", line(&entries(&event)));
        assert!(
            text.contains(&section),
            "docs/journal.md lacks{section}of {event:?}"
        );
        known.insert(name);
    }
    let headings: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect();
    assert_eq!(headings, known);
}

/// journald puts the name of a missing field in its place, which explains nothing.
#[test]
fn no_explanation_names_a_field_that_its_event_may_lack() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    for event in samples() {
        let name = variant(&event);
        let section = text.split(&format!("\n### {name}\n")).nth(1).unwrap();
        let section = section.split("\n#").next().unwrap();
        let entries = entries(&event);
        let words: BTreeSet<&str> = section
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .collect();
        for (field, word, has) in FIELDS {
            assert!(
                !words.contains(word) || entries.iter().all(has),
                "{name}: {word} stands for {field}, which not every entry has"
            );
        }
    }
}

#[test]
fn every_step_is_documented() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let row = text
        .lines()
        .find(|line| line.starts_with("| `RENEWD_STEP`"))
        .unwrap();
    let documented: BTreeSet<&str> = row.split('`').skip(3).step_by(2).collect();
    let steps = samples().iter().map(|event| event.kind().step).collect();
    assert_eq!(documented, steps);
}
