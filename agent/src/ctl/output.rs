//! Where commands print: standard output, with colours only on a terminal.
//!
//! Owns: writing that ends quietly when the reader has gone, tables, and times in words. Nothing is
//! wrapped or shortened: what a pipe gets is what there is.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use serde::Serialize;

/// Standard output, or what stands in for it in a test.
pub struct Output<'a> {
    writer: Box<dyn Write + 'a>,
    terminal: bool,
    colour: bool,
}

/// A colour by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Good,
    Notice,
    Bad,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Notice => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

impl<'a> Output<'a> {
    /// Standard output. Colours need a terminal, and no `NO_COLOR` (no-color.org).
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            writer: Box::new(io::stdout()),
            terminal,
            colour: terminal && wanted,
        }
    }

    /// Anything else, as a pipe would be.
    pub fn to(writer: impl Write + 'a) -> Self {
        Self {
            writer: Box::new(writer),
            terminal: false,
            colour: false,
        }
    }

    /// Whether a person is looking.
    pub(super) fn terminal(&self) -> bool {
        self.terminal
    }

    /// One line, which the reader has when this returns.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.writer, "{}", printable(text))?;
        self.writer.flush()
    }

    /// Text that is already in lines, such as PEM.
    pub(super) fn raw(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    /// One JSON document.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.raw(&(text + "\n"))
    }

    /// A text in a tone.
    pub(super) fn tone(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain {
            format!("{}{text}\x1b[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// Rows in columns, the first row being the heading.
    pub(super) fn table(&mut self, rows: &[Vec<(String, Tone)>]) -> io::Result<()> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| printable(text).chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            let mut gap = 0;
            for ((text, tone), width) in row.iter().zip(&widths) {
                let text = printable(text);
                // Padding goes before the next cell, so that no line ends in blanks.
                if !text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.push_str(&self.tone(*tone, &text));
                    gap = 0;
                }
                gap += width - text.chars().count() + 2;
            }
            writeln!(self.writer, "{line}")?;
        }
        self.writer.flush()
    }
}

/// Text from elsewhere with its control characters made visible: a CA's error message or a unit's name
/// must not be able to steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\x1b' => '␛',
            character if character.is_control() => '\u{fffd}',
            character => character,
        })
        .collect()
}

/// A span in at most two units: "7 h 12 min", "3 d 4 h", "12 s".
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match () {
        () if days > 0 => two(days, "d", hours, "h"),
        () if hours > 0 => two(hours, "h", minutes, "min"),
        () if minutes > 0 => two(minutes, "min", seconds % 60, "s"),
        () => format!("{seconds} s"),
    }
}

/// An instant as seen from now: "in 7 h 12 min", "3 d 4 h ago", "now".
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds.unsigned_abs())),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

/// A duration of a step: "340 ms", "2.4 s", "1 min 12 s".
pub(super) fn elapsed(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds / 100 % 10),
        _ => span(milliseconds / 1000),
    }
}
