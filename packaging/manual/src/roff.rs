//! Blocks as a man page, in the man(7) macros that every renderer knows.

use crate::links::{Reference, reference};
use crate::markdown::{Block, Inline};

/// A page as it grows.
#[derive(Debug)]
pub(crate) struct Roff(String);

impl Roff {
    /// The head of a page: no date, because the text is the same whenever it is built.
    pub(crate) fn new(name: &str, section: u8, version: &str) -> Self {
        let mut page = Self(format!(
            ".TH {} {section} \"\" \"renewd {version}\" \"renewd manual\"\n",
            name.to_uppercase()
        ));
        // Words are not broken: many can be typed. The register keeps it so behind each term.
        page.0.push_str(".nr HY 0\n.nh\n.ad l\n");
        page
    }

    /// A section's heading.
    pub(crate) fn section(&mut self, title: &str) {
        self.0
            .push_str(&format!(".SH \"{}\"\n", escaped(&title.to_uppercase())));
    }

    /// A heading within a section.
    pub(crate) fn subsection(&mut self, title: &str) {
        self.0.push_str(&format!(".SS \"{}\"\n", escaped(title)));
    }

    /// A term with its explanation. The term is bold unless it says otherwise.
    pub(crate) fn term(&mut self, term: &[Inline], explanation: &[Inline]) {
        self.0.push_str(".TP\n");
        self.line(term);
        self.line(explanation);
    }

    /// A paragraph.
    pub(crate) fn paragraph(&mut self, text: &[Inline]) {
        self.0.push_str(".PP\n");
        self.line(text);
    }

    /// A line of running text.
    pub(crate) fn line(&mut self, text: &[Inline]) {
        let line = running(text);
        let line = line.trim();
        // At a line's beginning it would be a request; a quotation mark is escaped anyway.
        if line.starts_with('.') {
            self.0.push_str("\\&");
        }
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Any block; what is a heading here is one within a section.
    pub(crate) fn block(&mut self, block: &Block) {
        match block {
            Block::Heading(_, title) => self.subsection(&crate::markdown::plain(title)),
            Block::Paragraph(text) => self.paragraph(text),
            Block::Code(text) => self.code(text),
            Block::List(items) => {
                for item in items {
                    self.0.push_str(".IP \\(bu 2\n");
                    self.line(item);
                }
            }
            Block::Table(rows) => self.table(rows),
        }
    }

    fn code(&mut self, text: &str) {
        self.0.push_str(".PP\n.RS 4\n.EX\n");
        for line in text.lines() {
            if line.starts_with('.') {
                self.0.push_str("\\&");
            }
            self.0.push_str(&escaped(line));
            self.0.push('\n');
        }
        self.0.push_str(".EE\n.RE\n");
    }

    /// A row is a term: its first cell, explained by the last one, then by those between with their head.
    fn table(&mut self, rows: &[Vec<Vec<Inline>>]) {
        let [head, rows @ ..] = rows else {
            return;
        };
        for row in rows {
            let [term, between @ .., last] = row.as_slice() else {
                continue;
            };
            let mut explanation = last.clone();
            for (head, cell) in head[1..].iter().zip(between) {
                if !cell.is_empty() {
                    let head = capitalised(&crate::markdown::plain(head));
                    explanation.push(Inline::Text(format!(". {head}: ")));
                    explanation.extend(cell.iter().cloned());
                }
            }
            self.term(term, &sentence(explanation));
        }
    }

    /// The text of the page.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// What stands in a cell, with a capital and a full stop.
fn sentence(mut text: Vec<Inline>) -> Vec<Inline> {
    if let Some(Inline::Text(first)) = text.first_mut() {
        *first = capitalised(first);
    }
    if !crate::markdown::plain(&text).ends_with(['.', '?']) {
        text.push(Inline::Text(".".to_owned()));
    }
    text
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn running(text: &[Inline]) -> String {
    text.iter()
        .map(|inline| match inline {
            Inline::Text(text) => escaped(text),
            Inline::Code(text) => format!("\\fB{}\\fR", escaped(text)),
            Inline::Emphasis(inner) => format!("\\fI{}\\fR", running(inner)),
            Inline::Strong(inner) => format!("\\fB{}\\fR", running(inner)),
            Inline::Link(target, label) => linked(target, label),
        })
        .collect()
}

/// A page is named by its name; for other targets the label is followed by the place.
fn linked(target: &str, label: &[Inline]) -> String {
    let label_text = crate::markdown::plain(label);
    let page = |page: &str| {
        let (name, section) = page.split_once('(').unwrap_or((page, ""));
        format!("\\fB{}\\fR({section}", escaped(name))
    };
    match reference(target) {
        Reference::Here => running(label),
        Reference::Page(name) if label_text == name => page(name),
        Reference::Page(name) => format!("{} ({})", running(label), page(name)),
        Reference::Place(place) => format!("{} ({})", running(label), escaped(&place)),
    }
}

/// Text in which roff sees no command, and prints each letter as it is.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '"' => out.push_str("\\(dq"),
            letter if letter.is_ascii() => out.push(letter),
            letter => out.push_str(&format!("\\[u{:04X}]", u32::from(letter))),
        }
    }
    out
}
