//! The man pages: which there are, and from which parts of which document each is made.

use crate::markdown::{Block, Inline, parse, plain};
use crate::options;
use crate::roff::Roff;

/// One man page.
#[derive(Debug)]
pub(crate) struct Page {
    /// As it is referred to: `renewd(8)`.
    pub(crate) title: &'static str,
    /// What it is, in a line.
    about: &'static str,
    /// The document in `docs/`.
    pub(crate) document: &'static str,
    /// The document's sections that it has, with the page's own heading for each; all of them if none is named.
    sections: &'static [(&'static str, &'static str)],
    /// Anchors of the document that lead to this page rather than to the document's first one.
    pub(crate) anchors: &'static [&'static str],
    /// The program whose command line it shows.
    pub(crate) program: Option<fn() -> clap::Command>,
    /// A file of `docs/examples/` that it ends with.
    example: Option<&'static str>,
    /// The package that it belongs to.
    pub(crate) package: &'static str,
}

/// All of them.
pub(crate) const PAGES: &[Page] = &[
    Page {
        title: "renewctl(1)",
        about: "look at certificates, renew them, and judge the configuration",
        document: "renewctl.md",
        sections: &[],
        anchors: &[],
        program: Some(options::renewctl),
        example: None,
        package: "renewd",
    },
    Page {
        title: "renewd(8)",
        about: "renew short-lived TLS certificates and prove that they are served",
        document: "renewd.md",
        sections: &[],
        anchors: &[],
        program: Some(options::renewd),
        example: None,
        package: "renewd",
    },
    Page {
        title: "renewd.toml(5)",
        about: "issuers and defaults of renewd",
        document: "configuration.md",
        sections: &[
            ("`renewd.toml`", "Keys"),
            ("Durations", "Durations"),
            ("What happens to a mistake", "Mistakes"),
        ],
        anchors: &[],
        program: None,
        example: Some("renewd.toml"),
        package: "renewd",
    },
    Page {
        title: "renewd-cert(5)",
        about: "a certificate of renewd: /etc/renewd/certs.d/NAME.toml",
        document: "configuration.md",
        sections: &[
            ("`certs.d/NAME.toml`", "Keys"),
            ("Durations", "Durations"),
            ("What happens to a mistake", "Mistakes"),
        ],
        anchors: &["certsdnametoml", "unitname"],
        program: None,
        example: Some("full.toml"),
        package: "renewd",
    },
    Page {
        title: "renewd.journal(7)",
        about: "the events of renewd in the journal",
        document: "journal.md",
        sections: &[],
        anchors: &[],
        program: None,
        example: None,
        package: "renewd",
    },
    Page {
        title: "renewd.credentials(7)",
        about: "keys to units, and secrets to issuers, as systemd credentials",
        document: "credentials.md",
        sections: &[],
        anchors: &[],
        program: None,
        example: Some("credential.toml"),
        package: "renewd",
    },
    Page {
        title: "renewd-sample-api(8)",
        about: "a mutual-TLS API server that changes keys and trust without dropping a connection",
        document: "renewd-sample-api.md",
        sections: &[],
        anchors: &[],
        program: Some(options::sample_api),
        example: None,
        package: "renewd-sample-api",
    },
];

impl Page {
    /// The name and the section's number.
    pub(crate) fn name(&self) -> (&'static str, u8) {
        let (name, section) = self.title.split_once('(').unwrap_or_default();
        let section = section.trim_end_matches(')').parse().unwrap_or_default();
        (name, section)
    }

    /// The page, from the texts of `docs/`.
    pub(crate) fn text(&self, version: &str, read: &dyn Fn(&str) -> String) -> String {
        let (name, section) = self.name();
        let mut roff = Roff::new(name, section, version);
        roff.section("Name");
        roff.line(&[Inline::Text(format!("{name} - {}", self.about))]);
        let command = self.program.map(|program| program());
        if let Some(command) = &command {
            roff.section("Synopsis");
            roff.line(&options::synopsis(command));
        }
        roff.section("Description");
        let blocks = parse(&read(self.document));
        let mut parts = Parts::of(&blocks);
        for block in parts.before {
            roff.block(block);
        }
        let commands = parts.sections.iter().any(|(title, _)| title == "Commands");
        if let Some(command) = command.as_ref().filter(|_| !commands) {
            options::write(&mut roff, command);
        }
        if !self.sections.is_empty() {
            let named = self.sections.iter().map(|(theirs, ours)| {
                let part = parts.sections.iter().find(|(title, _)| title == theirs);
                let (_, blocks) = part.unwrap_or_else(|| panic!("no section {theirs:?}"));
                ((*ours).to_owned(), *blocks)
            });
            parts.sections = named.collect();
        }
        for (title, blocks) in &parts.sections {
            roff.section(&title.replace('`', ""));
            for block in *blocks {
                roff.block(block);
            }
            // What the commands are stands before what they take.
            if let Some(command) = command.as_ref().filter(|_| title == "Commands") {
                options::write(&mut roff, command);
            }
        }
        if let Some(example) = self.example {
            roff.section("Example");
            roff.block(&Block::Code(read(&format!("examples/{example}"))));
        }
        roff.section("See also");
        roff.line(&self.see_also());
        roff.into_text()
    }

    fn see_also(&self) -> Vec<Inline> {
        let others = PAGES.iter().filter(|page| page.title != self.title);
        let mut titles: Vec<&str> = others.map(|page| page.title).collect();
        titles.extend(["journalctl(1)", "systemctl(1)"]);
        let mut line = Vec::new();
        for title in titles {
            let (name, section) = title.split_once('(').unwrap_or_default();
            if !line.is_empty() {
                line.push(Inline::Text(", ".to_owned()));
            }
            line.push(Inline::Code(name.to_owned()));
            line.push(Inline::Text(format!("({section}")));
        }
        line
    }
}

/// A document by its sections; its title is left out.
struct Parts<'a> {
    before: &'a [Block],
    sections: Vec<(String, &'a [Block])>,
}

impl<'a> Parts<'a> {
    fn of(blocks: &'a [Block]) -> Self {
        let starts: Vec<usize> = (0..blocks.len())
            .filter(|&at| matches!(blocks[at], Block::Heading(2, _)))
            .collect();
        let ends = starts.iter().skip(1).copied().chain([blocks.len()]);
        let sections = starts.iter().zip(ends).map(|(&start, end)| {
            let Block::Heading(_, title) = &blocks[start] else {
                unreachable!("it was found as a heading")
            };
            (heading(title), &blocks[start + 1..end])
        });
        Self {
            before: &blocks[1..starts.first().copied().unwrap_or(blocks.len())],
            sections: sections.collect(),
        }
    }
}

/// A heading as it is written.
fn heading(title: &[Inline]) -> String {
    let written = title.iter().map(|inline| match inline {
        Inline::Code(text) => format!("`{text}`"),
        other => plain(std::slice::from_ref(other)),
    });
    written.collect()
}
