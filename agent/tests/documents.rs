//! The documents say what is so: links lead somewhere, names exist in the code, tables agree with each
//! other, configurations are accepted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use renewd::config::{AnyAccounts, Environment, Texts, load_texts};
use renewd::control::report::StatusReport;
use renewd::kinds::KINDS;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let whole = workspace().join(path);
    fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
}

/// Every document, by its path in the workspace.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> = ["README.md", "CHANGELOG.md"].map(str::to_owned).into();
    for directory in ["docs", "docs/decisions", "docs/issuers"] {
        let entries = fs::read_dir(workspace().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        documents.extend(
            names
                .filter(|name| name.ends_with(".md"))
                .map(|name| format!("{directory}/{name}")),
        );
    }
    assert!(
        documents.len() > 15,
        "the documents are gone: {documents:?}"
    );
    documents
}

/// The text without its code blocks.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split("\n```").step_by(2).collect();
    parts.join("\n")
}

/// The code blocks in a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    text.split("\n```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| Some(block.strip_prefix(language)?.strip_prefix('\n')?.to_owned()))
        .collect()
}

/// Links as (text, target).
fn links(text: &str) -> Vec<(String, String)> {
    let prose = prose(text);
    let mut found = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let target = prose[at + 2..].split(')').next().unwrap();
        let label = &prose[prose[..at].rfind('[').unwrap() + 1..at];
        found.push((label.to_owned(), target.to_owned()));
    }
    found
}

/// A heading's anchor, as it is made on the web: lower case, spaces to dashes, the rest dropped.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|&c| c.is_alphanumeric() || " -_".contains(c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// The rows of tables whose first cell is a number: exit codes.
fn codes(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| {
            line.strip_prefix("| ")
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let text = read(&document);
        let here = workspace().join(&document);
        for (_, target) in links(&text) {
            if target.starts_with("https://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => here.clone(),
                path => here.with_file_name(path),
            };
            assert!(file.exists(), "{document}: {target} leads nowhere");
            if !anchor.is_empty() {
                let there = fs::read_to_string(&file).unwrap();
                assert!(
                    anchors(&there).contains(anchor),
                    "{document}: {target}: no such heading"
                );
            }
        }
    }
}

/// [`Type::name`](path.rs) in a document: the name is in that file.
#[test]
fn what_is_named_with_a_source_file_is_in_it() {
    let mut named = 0;
    for document in documents() {
        let here = workspace().join(&document);
        for (label, target) in links(&read(&document)) {
            let name = label.trim_matches('`').rsplit("::").next().unwrap();
            let code = target.ends_with(".rs") && !target.starts_with("https://");
            if !code || name.ends_with(".rs") {
                continue;
            }
            let source = fs::read_to_string(here.with_file_name(&target)).unwrap();
            let there = ["fn ", "struct ", "enum ", "trait ", "mod ", "type "]
                .iter()
                .any(|kind| {
                    source
                        .match_indices(&format!("{kind}{name}"))
                        .any(|(at, found)| {
                            !source[at + found.len()..]
                                .starts_with(|c: char| c.is_alphanumeric() || c == '_')
                        })
                });
            // A module is named by its file, or by its directory.
            let file = target.trim_end_matches(".rs").trim_end_matches("/mod");
            let module = file.rsplit('/').next() == Some(name);
            assert!(there || module, "{document}: {target} has no {name}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} names were found");
}

/// `a_name_of_many_words` in a document is that of a test or a scenario.
#[test]
fn every_test_that_is_named_exists() {
    let code = sources(&workspace());
    let mut named = 0;
    for document in documents() {
        let text = prose(&read(&document));
        for name in text.split('`').skip(1).step_by(2) {
            let word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            if name.bytes().all(word) && name.matches('_').count() >= 3 {
                assert!(code.contains(name), "{document}: there is no {name}");
                named += 1;
            }
        }
    }
    assert!(named > 2, "only {named} names were found");
}

/// All Rust of the workspace but this file.
fn sources(workspace: &Path) -> String {
    let mut code = String::new();
    let mut directories = ["agent", "sample-api", "tests"]
        .map(|part| workspace.join(part))
        .to_vec();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && !path.ends_with("agent/tests/documents.rs")
            {
                code.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    code
}

#[test]
fn every_message_id_of_the_code_is_documented_and_no_other() {
    let ids = |text: &str, quote: char| -> BTreeSet<String> {
        text.split(quote)
            .filter(|part| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::to_owned)
            .collect()
    };
    for (source, document) in [
        ("agent/src/journal/kind.rs", "docs/journal.md"),
        ("sample-api/src/events.rs", "docs/sample-api-journal.md"),
    ] {
        let code = ids(&read(source), '"');
        assert!(code.len() >= 25);
        assert_eq!(ids(&read(document), '`'), code, "{document}");
    }
}

#[test]
fn the_issuer_in_the_architecture_is_the_one_that_is_tested() {
    let shown = blocks(&read("docs/architecture.md"), "rust");
    let tested = read("agent/src/issuer/example.rs");
    assert_eq!(shown, [tested.trim_end()]);
}

#[test]
fn decisions_are_numbered_and_have_their_four_parts() {
    let mut numbers = Vec::new();
    for document in documents() {
        let Some(name) = document.strip_prefix("docs/decisions/") else {
            continue;
        };
        let number: usize = name[..4].parse().unwrap();
        let text = read(&document);
        assert!(text.starts_with(&format!("# {number}. ")), "{document}");
        let parts: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        let expected = [
            "Context",
            "Choice",
            "What is given up",
            "How we would notice that it was wrong",
        ];
        assert_eq!(parts, expected, "{document}");
        assert!(
            text.lines().count() < 80,
            "{document} is longer than a page"
        );
        numbers.push(number);
    }
    numbers.sort_unstable();
    let expected: Vec<usize> = (1..=numbers.len()).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn the_configurations_in_the_readme_are_accepted() {
    let readme = read("README.md");
    let files = blocks(&readme, "toml");
    assert!(!files.is_empty());
    for file in files {
        let texts = Texts {
            main: Some(read("packaging/renewd/renewd.toml")),
            certificates: [("web".parse().unwrap(), file)].into(),
        };
        let environment =
            Environment::new("host.example", "0".repeat(32).as_str(), AnyAccounts, KINDS);
        let loaded = load_texts(Path::new("/etc/renewd"), &texts, &environment);
        assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

#[test]
fn the_json_in_the_readme_is_what_status_prints() {
    let readme = read("README.md");
    let [shown] = <[String; 1]>::try_from(blocks(&readme, "json")).unwrap();
    let report: StatusReport = serde_json::from_str(&shown).unwrap();
    assert_eq!(serde_json::to_string_pretty(&report).unwrap(), shown.trim());
}

#[test]
fn commands_and_exit_codes_in_the_readme_are_those_of_the_reference() {
    let (readme, reference) = (read("README.md"), read("docs/renewctl.md"));
    assert_eq!(codes(&readme), codes(&reference));
    let commands = |text: &str| -> BTreeSet<String> {
        let rows = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `renewctl "));
        rows.map(|row| row.split([' ', '`']).next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(commands(&readme), commands(&reference));
}

#[test]
fn the_daemons_exit_codes_are_documented() {
    let source = read("agent/src/app.rs");
    let function = source.split("fn exit_code").nth(1).unwrap();
    let function = function.split("\n    }").next().unwrap();
    let mut used: BTreeSet<String> = function
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.rsplit_once("=> "))
        .map(|(_, code)| code.to_owned())
        .collect();
    used.insert("0".to_owned());
    let documented: BTreeSet<String> = codes(&read("docs/renewd.md"))
        .iter()
        .map(|row| row.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(documented, used);
}

#[test]
fn every_make_target_that_is_named_exists() {
    let makefile = read("Makefile");
    for document in documents() {
        for (at, _) in read(&document).match_indices("make ") {
            let text = read(&document);
            let before = text[..at].chars().next_back();
            let target = text[at + 5..].trim_start_matches("-s ");
            let target = target.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            // Only in code: at a line's beginning, behind sudo, or quoted.
            let quoted = before == Some('`');
            let in_block = text[..at].ends_with("PATH=\"$PATH\" ") || before == Some('\n');
            if (quoted || in_block) && !target.is_empty() {
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{document}: make {target}"
                );
            }
        }
    }
}
