//! The documents say what the programs are, and all that is made of them is whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn document(name: &str) -> String {
    fs::read_to_string(documents().join(name)).unwrap()
}

fn file(end: &str) -> String {
    let all = files(&documents());
    let found = all.into_iter().find(|(path, _)| path.ends_with(end));
    found.unwrap_or_else(|| panic!("no {end}")).1
}

/// The words of a text that look like long options; blocks of code have those of other programs, too.
fn options_in(text: &str) -> BTreeSet<String> {
    let prose: Vec<&str> = text.split("\n```").step_by(2).collect();
    prose
        .join("\n")
        .split(|c: char| c.is_whitespace() || "`[](),;|".contains(c))
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|word| word.starts_with(|first: char| first.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// A command as it is typed.
fn called(command: &clap::Command) -> &str {
    command.get_bin_name().unwrap_or(command.get_name())
}

#[test]
fn every_command_and_every_option_is_in_its_document_and_no_other() {
    let programs = [
        ("renewctl.md", options::renewctl()),
        ("renewd.md", options::renewd()),
        ("renewd-sample-api.md", options::sample_api()),
    ];
    for (name, program) in programs {
        let text = document(name);
        let mut known = BTreeSet::new();
        for command in options::leaves(&program) {
            let called = called(command);
            let whole = [format!("| `{called} "), format!("| `{called}`")];
            let is_program = command.get_name() == program.get_name();
            assert!(
                is_program || whole.iter().any(|row| text.contains(row)),
                "{name}: no row of {called}"
            );
            known.extend(options::arguments(command).filter_map(|one| one.get_long()));
        }
        let known: BTreeSet<String> = known.into_iter().map(str::to_owned).collect();
        assert_eq!(options_in(&text), known, "{name}");
        for row in text
            .lines()
            .filter_map(|line| line.strip_prefix("| `renew"))
        {
            let row = format!("renew{}", row.split('`').next().unwrap());
            let there = options::leaves(&program)
                .iter()
                .any(|command| row.starts_with(called(command)));
            assert!(there, "{name}: there is no {row}");
        }
    }
}

#[test]
fn every_default_place_is_in_the_document_of_the_daemon_and_of_the_command() {
    for (name, program) in [
        ("renewctl.md", options::renewctl()),
        ("renewd.md", options::renewd()),
        ("renewd-sample-api.md", options::sample_api()),
    ] {
        let text = document(name);
        for command in options::leaves(&program) {
            for argument in options::arguments(command) {
                let hint = argument.get_value_hint();
                if matches!(hint, clap::ValueHint::DirPath | clap::ValueHint::FilePath) {
                    let default = argument.get_default_values()[0].to_string_lossy();
                    assert!(text.contains(&*default), "{name}: {default}");
                }
            }
        }
    }
}

#[test]
fn every_page_has_its_parts_and_refers_to_all_others() {
    for page in PAGES {
        let (name, section) = page.name();
        let text = file(&format!("man{section}/{name}.{section}"));
        let command = page.program.map_or(&[][..], |_| &["SYNOPSIS", "OPTIONS"]);
        for part in ["NAME", "DESCRIPTION", "SEE ALSO"].iter().chain(command) {
            let heading = format!("\n.SH \"{part}\"\n");
            assert_eq!(text.matches(&heading).count(), 1, "{name}: {part}");
        }
        for other in PAGES.iter().filter(|other| other.title != page.title) {
            let (name, section) = other.name();
            let reference = format!("\\fB{}\\fR({section})", roff::escaped(name));
            assert!(text.contains(&reference), "{}: {reference}", page.title);
        }
    }
}

#[test]
fn a_configuration_page_has_the_sections_of_its_own_file_only() {
    let (main, certificate) = (file("renewd.toml.5"), file("renewd-cert.5"));
    assert!(main.contains("fBpermitted_dns") && !main.contains("fBreload_timeout"));
    assert!(certificate.contains("fBreload_timeout") && !certificate.contains("fBpermitted_dns"));
}

#[test]
fn text_that_roff_would_take_for_a_request_is_printed() {
    let mut roff = roff::Roff::new("x", 1, "0");
    for block in markdown::parse("`.hidden` files, it\u{2019}s \\\\ here\n\n```\n.PP\n'x\n```\n") {
        roff.block(&block);
    }
    let text = roff.into_text();
    assert!(
        text.contains("\n\\fB.hidden\\fR files, it\\[u2019]s \\e here\n"),
        "{text}"
    );
    assert!(text.contains("\n\\&.PP\n\\(aqx\n"), "{text}");
}

#[test]
fn every_event_of_the_document_is_in_the_catalogue_with_its_fields() {
    for of in &CATALOGUES {
        let text = document(of.document);
        let events = text.lines().filter(|line| line.starts_with("### ")).count();
        let catalogue = file(&format!("{}.catalog", of.program));
        let entries = catalogue.lines().filter(|line| line.starts_with("-- "));
        assert_eq!(entries.count(), events, "{}", of.program);
    }
    let catalogue = file("renewd.catalog");
    let proven = catalogue
        .split("\n-- ade1725629c54f4f900b8a2b07298d56\n")
        .nth(1)
        .unwrap();
    let subject =
        "Subject: @RENEWD_UNIT@ is known to use generation @RENEWD_GENERATION@ of @RENEWD_CERT@";
    assert!(proven.starts_with(subject), "{proven}");
    for placeholder in ["NAME", "GENERATION", "SERIAL", "UNIT"] {
        let mut words = catalogue.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        assert!(
            words.all(|word| word != placeholder),
            "{placeholder} is left"
        );
    }
}

const EVENT: &str = "# J\n\n### E\n\n`0123456789abcdef0123456789abcdef` \u{b7} fields: `RENEWD_CERT`\n\n\
    *About NAME*\n\nIt was.\n\n**Next:** a.\n\n**Do:** b.\n\n**More:** [renewd(8)](renewd.md)\n";

#[test]
fn a_section_becomes_an_entry() {
    let catalogue = catalogue(&CATALOGUES[0], EVENT);
    let entry = "\n-- 0123456789abcdef0123456789abcdef\nSubject: About @RENEWD_CERT@\n\
        Defined-By: renewd\nDocumentation: man:renewd.journal(7)\n\nIt was.\n\nNext: a.\n\nDo: b.\n\n\
        More: renewd(8)\n";
    assert!(catalogue.ends_with(entry), "{catalogue}");
}

#[test]
#[should_panic(expected = "UNIT stands for RENEWD_UNIT, which it lacks")]
fn an_entry_with_a_field_that_the_event_lacks_is_refused() {
    catalogue(&CATALOGUES[0], &EVENT.replace("It was.", "UNIT was."));
}

#[test]
#[should_panic(expected = "a paragraph that begins with **Do:**")]
fn an_entry_without_what_to_do_is_refused() {
    catalogue(&CATALOGUES[0], &EVENT.replace("**Do:**", "Perhaps"));
}

#[test]
fn every_program_has_completions_for_every_shell() {
    for script in completions::scripts() {
        assert!(script.text.len() > 50, "{}", script.path);
    }
    assert_eq!(completions::scripts().len(), 9);
    for end in ["completions/renewctl", "_renewctl", "renewctl.fish"] {
        let text = file(end);
        assert!(text.contains(renewd::ctl::COMPLETION_VARIABLE), "{text}");
    }
}
