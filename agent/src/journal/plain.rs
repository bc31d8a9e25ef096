//! Lines for people, outside systemd: time, level, text. Fields that are the journal's own are left
//! out, since the text says them already.

use std::fmt::{self, Write as _};
use std::io::Write;

use jiff::{Timestamp, Unit};
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Writes each event as one line.
pub(super) struct Plain<F> {
    colours: bool,
    output: F,
}

impl<F> Plain<F> {
    pub(super) fn new(colours: bool, output: F) -> Self {
        Self { colours, output }
    }
}

impl<S, F, W> Layer<S> for Plain<F>
where
    S: Subscriber,
    F: Fn() -> W + 'static,
    W: Write,
{
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let now = Timestamp::now();
        let line = line(now, *event.metadata().level(), &text, self.colours);
        // Nobody is left to be told when stderr is closed.
        let _ = (self.output)().write_all(line.as_bytes());
    }
}

fn line(now: Timestamp, level: Level, text: &Text, colours: bool) -> String {
    let (word, colour) = match level {
        Level::ERROR => ("error", "\x1b[1;31m"),
        Level::WARN => ("warn ", "\x1b[33m"),
        Level::INFO => ("info ", "\x1b[32m"),
        Level::DEBUG => ("debug", "\x1b[2m"),
        Level::TRACE => ("trace", "\x1b[2m"),
    };
    let (colour, end) = if colours {
        (colour, "\x1b[0m")
    } else {
        ("", "")
    };
    let now = now.round(Unit::Second).unwrap_or(now);
    format!(
        "{now} {colour}{word}{end} {}{}\n",
        text.message, text.fields
    )
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        let _ = if name == "message" {
            write!(self.message, "{value:?}")
        } else if name.starts_with(|first: char| first.is_ascii_uppercase()) {
            Ok(())
        } else {
            write!(self.fields, " {name}={value:?}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Text {
        Text {
            message: "api: generation 7 is published".into(),
            fields: " error=none".into(),
        }
    }

    #[test]
    fn a_line_is_time_level_and_text() {
        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(
            line(now, Level::INFO, &text(), false),
            "2026-01-02T03:04:06Z info  api: generation 7 is published error=none\n"
        );
    }

    #[test]
    fn colours_are_for_terminals() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        assert!(line(now, Level::ERROR, &text(), true).contains("\x1b[1;31merror\x1b[0m"));
        assert!(!line(now, Level::ERROR, &text(), false).contains('\x1b'));
    }
}
