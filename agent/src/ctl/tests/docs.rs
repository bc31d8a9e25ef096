//! The exit codes of `docs/renewctl.md` are those of the program. Its commands and options are held to the parser in
//! `packaging/manual`.

use crate::ctl::failure::EXIT_CODES;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/renewctl.md");

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
