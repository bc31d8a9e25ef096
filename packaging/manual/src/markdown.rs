//! The documents as blocks: as much of Markdown as they use, and a panic for what they do not.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A part of a document that stands by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// With its level, from 1.
    Heading(usize, Vec<Inline>),
    /// Running text.
    Paragraph(Vec<Inline>),
    /// Lines as they are.
    Code(String),
    /// Items of one paragraph each.
    List(Vec<Vec<Inline>>),
    /// The cells of the head, then those of each row.
    Table(Vec<Vec<Vec<Inline>>>),
}

/// A piece of running text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inline {
    /// Plain text.
    Text(String),
    /// What is typed or written just so.
    Code(String),
    /// In italics.
    Emphasis(Vec<Inline>),
    /// In bold.
    Strong(Vec<Inline>),
    /// With its target.
    Link(String, Vec<Inline>),
}

/// The blocks of a document, in order.
pub(crate) fn parse(text: &str) -> Vec<Block> {
    let mut events = Parser::new_ext(text, Options::ENABLE_TABLES);
    let mut blocks = Vec::new();
    while let Some(event) = events.next() {
        let Event::Start(tag) = event else {
            panic!("unexpected at the top of a document: {event:?}");
        };
        let end = tag.to_end();
        blocks.push(match tag {
            Tag::Heading { level, .. } => Block::Heading(level as usize, inlines(&mut events, end)),
            Tag::Paragraph => Block::Paragraph(inlines(&mut events, end)),
            Tag::CodeBlock(_) => Block::Code(plain(&inlines(&mut events, end))),
            Tag::List(None) => Block::List(parts(&mut events, end)),
            Tag::Table(_) => Block::Table(rows(&mut events)),
            other => panic!("no rendering for {other:?}"),
        });
    }
    blocks
}

/// The items of a list, or the cells of a row, up to its end.
fn parts<'a>(events: &mut dyn Iterator<Item = Event<'a>>, end: TagEnd) -> Vec<Vec<Inline>> {
    let mut parts = Vec::new();
    while let Some(event) = events.next() {
        match event {
            Event::Start(tag) => parts.push(inlines(events, tag.to_end())),
            Event::End(tag) if tag == end => break,
            other => panic!("unexpected in {end:?}: {other:?}"),
        }
    }
    parts
}

fn rows<'a>(events: &mut dyn Iterator<Item = Event<'a>>) -> Vec<Vec<Vec<Inline>>> {
    let mut rows = Vec::new();
    while let Some(event) = events.next() {
        match event {
            Event::Start(tag @ (Tag::TableHead | Tag::TableRow)) => {
                rows.push(parts(events, tag.to_end()));
            }
            Event::End(TagEnd::Table) => break,
            other => panic!("unexpected in a table: {other:?}"),
        }
    }
    rows
}

/// Running text up to an end; a line's end is a space.
fn inlines<'a>(events: &mut dyn Iterator<Item = Event<'a>>, end: TagEnd) -> Vec<Inline> {
    let mut found = Vec::new();
    while let Some(event) = events.next() {
        match event {
            Event::End(tag) if tag == end => break,
            Event::Text(text) => found.push(Inline::Text(text.into_string())),
            Event::Code(text) => found.push(Inline::Code(text.into_string())),
            Event::SoftBreak => found.push(Inline::Text(" ".to_owned())),
            Event::Start(Tag::Emphasis) => {
                found.push(Inline::Emphasis(inlines(events, TagEnd::Emphasis)));
            }
            Event::Start(Tag::Strong) => {
                found.push(Inline::Strong(inlines(events, TagEnd::Strong)));
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let label = inlines(events, TagEnd::Link);
                found.push(Inline::Link(dest_url.into_string(), label));
            }
            other => panic!("no rendering for {other:?} in {end:?}"),
        }
    }
    found
}

/// The letters alone.
pub(crate) fn plain(inlines: &[Inline]) -> String {
    inlines
        .iter()
        .map(|inline| match inline {
            Inline::Text(text) | Inline::Code(text) => text.clone(),
            Inline::Emphasis(inner) | Inline::Strong(inner) | Inline::Link(_, inner) => {
                plain(inner)
            }
        })
        .collect()
}
