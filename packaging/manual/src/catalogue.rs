//! The message catalogues of journald, made from `docs/journal.md` and `docs/sample-api-journal.md`.
//!
//! Each event's section there has a line with the `MESSAGE_ID` and the fields, a subject in italics, and what happened;
//! then `Next:`, `Do:` and `More:`. A word in capitals stands for a field, which journald puts in its place.

use crate::links::{Reference, reference};
use crate::markdown::{Block, Inline, parse, plain};

/// What stands for a field in the document.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("NAME", "RENEWD_CERT"),
    ("GENERATION", "RENEWD_GENERATION"),
    ("SERIAL", "RENEWD_SERIAL"),
    ("UNIT", "RENEWD_UNIT"),
];

/// What must follow the text, in this order.
const PARTS: [&str; 3] = ["Next:", "Do:", "More:"];

/// The width of a terminal, without what journalctl puts before each line.
const WIDTH: usize = 76;

/// One program's catalogue.
pub(crate) struct Catalogue {
    /// As the program is called, and the catalogue and its package.
    pub(crate) program: &'static str,
    /// In `docs/`.
    pub(crate) document: &'static str,
    /// Where an entry says that there is more.
    pub(crate) page: &'static str,
}

/// All of them.
pub(crate) const CATALOGUES: [Catalogue; 2] = [
    Catalogue {
        program: "renewd",
        document: "journal.md",
        page: "renewd.journal(7)",
    },
    Catalogue {
        program: "renewd-sample-api",
        document: "sample-api-journal.md",
        page: "renewd-sample-api(8)",
    },
];

/// The catalogue. Panics where a section is not what it must be, naming it.
pub(crate) fn catalogue(of: &Catalogue, document: &str) -> String {
    let mut catalogue = format!(
        "# What journalctl -x says of the events of {}. Made from docs/{}.\n",
        of.program, of.document
    );
    for (name, blocks) in events(&parse(document)) {
        catalogue.push('\n');
        catalogue.push_str(&entry(of, &name, blocks));
    }
    catalogue
}

/// The sections of the third level, by their heading.
pub(crate) fn events(blocks: &[Block]) -> Vec<(String, &[Block])> {
    let heads = (0..blocks.len()).filter(|&at| matches!(blocks[at], Block::Heading(3, _)));
    heads
        .map(|at| {
            let Block::Heading(_, title) = &blocks[at] else {
                unreachable!("it was found as a heading")
            };
            let rest = &blocks[at + 1..];
            let end = rest
                .iter()
                .position(|block| matches!(block, Block::Heading(..)));
            (plain(title), &rest[..end.unwrap_or(rest.len())])
        })
        .collect()
}

fn entry(of: &Catalogue, name: &str, blocks: &[Block]) -> String {
    let paragraphs: Vec<&[Inline]> = blocks
        .iter()
        .map(|block| match block {
            Block::Paragraph(text) => text.as_slice(),
            other => panic!("{name}: only paragraphs, not {other:?}"),
        })
        .collect();
    let [
        about,
        [Inline::Emphasis(subject)],
        happened @ ..,
        next,
        todo,
        more,
    ] = paragraphs.as_slice()
    else {
        panic!("{name}: a subject in italics, text, Next, Do and More");
    };
    for (paragraph, part) in [next, todo, more].into_iter().zip(PARTS) {
        let right = matches!(&paragraph[0], Inline::Strong(word) if plain(word) == part);
        assert!(right, "{name}: a paragraph that begins with **{part}**");
    }
    assert!(!happened.is_empty(), "{name}: what happened");
    let about = plain(about);
    let (id, _) = about.split_once(' ').unwrap_or_default();
    assert_eq!(id.len(), 32, "{name}: a MESSAGE_ID");
    let fill = |text: &[Inline]| filled(name, &readable(text), &about);

    let mut entry = format!("-- {id}\nSubject: {}\n", fill(subject));
    entry.push_str(&format!(
        "Defined-By: {}\nDocumentation: man:{}\n",
        of.program, of.page
    ));
    for paragraph in happened.iter().chain([next, todo, more]) {
        entry.push('\n');
        entry.push_str(&wrapped(&fill(paragraph)));
    }
    entry
}

/// Running text without marks; a link to a page is the page's name.
fn readable(text: &[Inline]) -> String {
    text.iter()
        .map(|inline| match inline {
            Inline::Link(target, label) => match reference(target) {
                Reference::Page(page) if plain(label) != page => {
                    format!("{} ({page})", plain(label))
                }
                Reference::Place(place) => format!("{} ({place})", plain(label)),
                _ => plain(label),
            },
            // A command of several words would not be told from the sentence.
            Inline::Code(code) if code.contains(' ') => format!("\"{code}\""),
            other => plain(std::slice::from_ref(other)),
        })
        .collect()
}

/// The text with fields for the words that stand for them; each must be one that the event has.
fn filled(name: &str, text: &str, about: &str) -> String {
    let mut filled = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        match PLACEHOLDERS
            .iter()
            .find(|(placeholder, _)| *placeholder == word)
        {
            Some((placeholder, field)) => {
                assert!(
                    about.contains(field),
                    "{name}: {placeholder} stands for {field}, which it lacks"
                );
                filled.push_str(&format!("@{field}@"));
            }
            None => filled.push_str(&word),
        }
        word.clear();
        filled.push(letter);
    }
    filled.trim_end().to_owned()
}

/// Lines of at most [`WIDTH`]; none begins with what the catalogue takes for a comment.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() || line.len() + 1 + word.len() <= WIDTH {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            assert!(
                !word.starts_with(['#', ';']),
                "{word}: a comment at a line's beginning"
            );
            lines.push(word.to_owned());
        }
    }
    lines.join("\n") + "\n"
}
