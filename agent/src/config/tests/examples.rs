//! The examples are right, and every slip in one of them is found on its line. The documentation
//! names every key.

use std::fs;
use std::path::PathBuf;

use super::super::{ErrorKind, schema};
use super::{lines, load_main, load_pair};
use crate::kinds::KINDS;

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Every example with its name.
fn examples() -> Vec<(String, String)> {
    let mut examples: Vec<_> = fs::read_dir(docs().join("examples"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    examples.sort();
    assert!(examples.len() >= 7, "the examples are gone");
    examples
}

fn main_example() -> String {
    fs::read_to_string(docs().join("examples/renewd.toml")).unwrap()
}

/// The errors of an example, as (kind, field, line, text).
fn errors(name: &str, text: &str) -> Vec<super::ConfigError> {
    if name == "renewd.toml" {
        load_main(text).errors
    } else {
        load_pair(&main_example(), text).errors
    }
}

/// One key in a text: its line (from 1) and the bytes it takes.
struct Written {
    line: u32,
    start: usize,
    key: String,
    /// The value's bytes; `None` for a table's line.
    value: Option<std::ops::Range<usize>>,
}

/// Finds keys without the parser under test, as a reader does: words before `=`, and the first word
/// of a table's line.
fn written(text: &str) -> Vec<Written> {
    let mut found = Vec::new();
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let line_number = number as u32 + 1;
        if let Some(header) = line.strip_prefix('[') {
            let key: String = header
                .chars()
                .take_while(char::is_ascii_lowercase)
                .collect();
            found.push(Written {
                line: line_number,
                start: start + 1,
                key,
                value: None,
            });
        } else if let Some((key, _)) = line.split_once(" = ")
            && key
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            let value = start + key.len() + 3;
            // A list over several lines ends with a bracket on a line of its own.
            let end = if line.ends_with("[\n") {
                value + text[value..].find("\n]").unwrap() + 2
            } else {
                start + line.trim_end().len()
            };
            found.push(Written {
                line: line_number,
                start,
                key: key.to_owned(),
                value: Some(value..end),
            });
        }
        start += line.len();
    }
    found
}

#[test]
fn every_example_is_right() {
    for (name, text) in examples() {
        assert_eq!(lines(&errors(&name, &text)), Vec::<String>::new(), "{name}");
        if name != "renewd.toml" {
            let mut loaded = load_pair(&main_example(), &text);
            // The one key whose use is warned about, in an example that says why.
            let known = |field: &str| field.ends_with(".provisioner_key");
            loaded.warnings.retain(|warning| !known(&warning.field));
            assert_eq!(loaded.warnings, [], "{name}");
        }
    }
}

#[test]
fn every_key_is_in_an_example() {
    let all: Vec<(String, String)> = examples();
    for schema in schema::vocabulary(KINDS).schemas {
        for key in schema.keys {
            let used = all
                .iter()
                .any(|(_, text)| written(text).iter().any(|written| written.key == key.name));
            assert!(used, "{} is in no example", key.name);
        }
    }
}

#[test]
fn a_misspelled_key_is_refused_on_its_line_and_by_its_name() {
    let mut mutations = 0;
    for (name, text) in examples() {
        for key in written(&text) {
            for (misspelled, tail) in misspellings(&key.key) {
                let mut mutated = text.clone();
                mutated.replace_range(key.start..key.start + key.key.len(), &misspelled);
                let errors = errors(&name, &mutated);
                let error = errors
                    .iter()
                    .find(|error| error.kind == ErrorKind::UnknownKey)
                    .unwrap_or_else(|| panic!("{name}:{}: {misspelled}: {errors:?}", key.line));
                assert_eq!(error.location.line, Some(key.line), "{name}: {error}");
                assert!(error.to_string().contains(&misspelled), "{error}");
                assert!(error.field.ends_with(&tail), "{error}");
                assert!(
                    error.remedy.contains(&format!("{:?}", key.key)),
                    "{error} does not suggest {}",
                    key.key
                );
                mutations += 1;
            }
        }
    }
    assert!(mutations > 100, "only {mutations} keys were misspelled");
}

/// A letter too many, one too few, and two swapped, where that is another word.
fn misspellings(key: &str) -> Vec<(String, String)> {
    let (head, last) = key.split_at(key.len() - 1);
    let mut swapped: Vec<char> = key.chars().collect();
    let last_two = swapped.len() - 2;
    swapped.swap(last_two.min(1), last_two.min(1) + 1);
    let swapped: String = swapped.into_iter().collect();
    [
        format!("{key}x"),
        format!("{head}{last}{last}"),
        head.to_owned(),
        swapped,
    ]
    .into_iter()
    .filter(|word| word != key)
    .map(|word| (word.clone(), word))
    .collect()
}

#[test]
fn a_value_of_another_type_is_refused_on_its_line() {
    let mut mutations = 0;
    for (name, text) in examples() {
        for key in written(&text) {
            let Some(value) = key.value else { continue };
            for wrong in [
                "true",
                "1.5",
                "1979-05-27",
                "{ a = 1 }",
                "[1]",
                "7",
                "\"\u{2603}\"",
            ] {
                // The one key that takes a number, and the one that takes yes or no.
                if [("order", "7"), ("federation", "true")].contains(&(key.key.as_str(), wrong)) {
                    continue;
                }
                let mut mutated = text.clone();
                mutated.replace_range(value.clone(), wrong);
                let errors = errors(&name, &mutated);
                let error = errors
                    .iter()
                    .find(|error| error.field.ends_with(&key.key))
                    .unwrap_or_else(|| panic!("{name}:{}: {wrong}: {errors:?}", key.line));
                assert_eq!(error.location.line, Some(key.line), "{name}: {error}");
                mutations += 1;
            }
        }
    }
    assert!(mutations > 200, "only {mutations} values were changed");
}

#[test]
fn a_wrong_entry_of_a_list_over_several_lines_is_refused_on_its_own_line() {
    for (name, text) in examples() {
        for (number, line) in text.lines().enumerate() {
            if !line.starts_with("    \"") {
                continue;
            }
            for wrong in ["    7,", "    \"\u{2603}\","] {
                let mutated: Vec<&str> = text
                    .lines()
                    .enumerate()
                    .map(|(other, line)| if other == number { wrong } else { line })
                    .collect();
                let errors = errors(&name, &mutated.join("\n"));
                assert!(
                    errors
                        .iter()
                        .any(|error| error.location.line == Some(number as u32 + 1)),
                    "{name}: {errors:?}"
                );
            }
        }
    }
}

#[test]
fn every_key_is_documented_in_its_table_with_nothing_besides() {
    let manual = fs::read_to_string(docs().join("configuration.md")).unwrap();
    for schema in schema::vocabulary(KINDS).schemas {
        let heading = match schema.title {
            "the certificate's file" => "## `certs.d/NAME.toml`".to_owned(),
            "renewd.toml" => "## `renewd.toml`".to_owned(),
            table => format!("### `{table}`"),
        };
        let at = manual
            .find(&heading)
            .unwrap_or_else(|| panic!("no heading {heading}"));
        let section = &manual[at + heading.len()..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        let section = &section[..section.find("\n### ").unwrap_or(section.len())];
        let documented: Vec<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            // Specifiers and addresses stand in tables, too.
            .filter(|key| !key.contains(['%', ':']))
            .collect();
        let known: Vec<&str> = schema.keys.iter().map(|key| key.name).collect();
        assert_eq!(documented, known, "{heading}");
    }
}

/// The keys below a heading that have a default which can be written, with that default.
fn written_defaults(heading: &str) -> Vec<(String, String)> {
    let manual = fs::read_to_string(docs().join("configuration.md")).unwrap();
    let section = manual.split(&format!("\n{heading}\n")).nth(1).unwrap();
    let table = section.split("\n| key |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .map_while(|row| row.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (key, rest) = row.split_once("` | `")?;
        Some((key.to_owned(), rest.split('`').next()?.to_owned()))
    })
    .collect()
}

#[test]
fn what_is_documented_as_a_default_changes_nothing_when_it_is_written() {
    let units = "names = [\"a.test\"]\n[unit.\"x.service\"]\n";
    let mut checked = 0;
    for (heading, main, certificate) in [
        ("### `[defaults]`", "[defaults]\n", ""),
        ("### `[issuer.NAME]`", "", ""),
        ("## `certs.d/NAME.toml`", "", "names = [\"a.test\"]\n"),
        ("### `[unit.\"NAME\"]`", "", units),
    ] {
        for (key, default) in written_defaults(heading) {
            let line = format!("{key} = {default}\n");
            let with = match heading.contains("defaults") {
                true => load_pair(&format!("{main}{line}{}", super::MAIN), units),
                false if certificate.is_empty() => {
                    load_pair(&format!("{}{line}", super::MAIN), units)
                }
                false => load_pair(super::MAIN, &format!("{certificate}{line}")),
            };
            let without = match certificate.is_empty() {
                true => load_pair(super::MAIN, units),
                false => load_pair(super::MAIN, certificate),
            };
            assert_eq!(lines(&with.errors), Vec::<String>::new(), "{line}");
            let certificates = |loaded: &super::Loaded| {
                let all = loaded.settings.certificates.values();
                all.map(|one| format!("{one:?}")).collect::<Vec<_>>()
            };
            assert_eq!(certificates(&with), certificates(&without), "{line}");
            assert_eq!(with.settings.issuers, without.settings.issuers, "{line}");
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} defaults were found");
}

#[test]
fn every_toml_block_of_the_documentation_is_right() {
    let read = |name: &str| fs::read_to_string(docs().join(name)).unwrap();
    let mut manual = read("configuration.md");
    for kind in KINDS.iter() {
        // The embedded CA has its page in the configuration's.
        if kind.name != "local" {
            manual += &read(&format!("issuers/{}.md", kind.name));
        }
    }
    let mut blocks = 0;
    for block in manual.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let name = if block.contains("[issuer") {
            "renewd.toml"
        } else {
            "api.toml"
        };
        assert_eq!(lines(&errors(name, block)), Vec::<String>::new(), "{block}");
        blocks += 1;
    }
    assert!(blocks >= 4);
}
