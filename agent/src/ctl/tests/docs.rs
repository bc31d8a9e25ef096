//! What `docs/renewctl.md` says is what the parser knows.

use clap::CommandFactory;

use crate::ctl::Cli;
use crate::ctl::failure::EXIT_CODES;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/renewctl.md");

#[test]
fn every_command_and_every_flag_is_documented() {
    let text = std::fs::read_to_string(DOCS).unwrap();
    let root = Cli::command();
    let mut commands = vec![("renewctl".to_owned(), &root)];
    while let Some((path, command)) = commands.pop() {
        for child in command.get_subcommands() {
            commands.push((format!("{path} {}", child.get_name()), child));
        }
        if !command.has_subcommands() {
            assert!(
                text.contains(&format!("`{path}")),
                "{path} is not documented"
            );
        }
        for flag in command.get_arguments().filter(|one| !one.is_hide_set()) {
            if let Some(long) = flag.get_long() {
                assert!(
                    text.contains(&format!("--{long}")),
                    "{path} --{long} is not documented"
                );
            }
        }
    }
}

#[test]
fn the_exit_codes_in_the_help_are_those_of_the_document() {
    let text = std::fs::read_to_string(DOCS).unwrap();
    for line in EXIT_CODES.lines().skip(1) {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(text.contains(&row), "{row:?} is not in the document");
    }
    let documented = text.lines().filter(|line| {
        line.strip_prefix("| ")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    });
    assert_eq!(documented.count(), EXIT_CODES.lines().count() - 1);
}
