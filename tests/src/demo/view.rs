//! What a person sees while the demo runs: one block that updates itself, or plain lines.
//!
//! It must never write to stdout when that is for JSON. Its neighbour is [`super::verdict`],
//! which says what all of it amounts to.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::control::Certificate;
use super::verdict::Rotation;
use super::{CONNECTIONS, EVERY, ROTATIONS};
use crate::load::{Report, Tally};

const REDRAW: Duration = Duration::from_millis(200);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A block on stdout that updates itself.
    Block,
    /// A line per rotation on stdout.
    Lines,
    /// A line per rotation on stderr.
    Aside,
}

impl Style {
    /// The block on a terminal, lines elsewhere, and nothing on stdout with `json`.
    #[must_use]
    pub fn fitting(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        match (json, std::io::stdout().is_terminal() && !dumb) {
            (true, _) => Self::Aside,
            (false, true) => Self::Block,
            (false, false) => Self::Lines,
        }
    }

    fn line(self, text: &str) {
        // A reader that went away does not change what happens.
        let _ = match self {
            Self::Aside => writeln!(std::io::stderr(), "{text}"),
            Self::Block | Self::Lines => writeln!(std::io::stdout(), "{text}"),
        };
    }
}

/// A view on a demo under way; dropped, it stops changing.
pub(super) struct View {
    style: Style,
    board: Arc<Board>,
    painter: Option<JoinHandle<()>>,
}

/// What the painter and the demo share.
struct Board {
    tally: Arc<Tally>,
    state: Mutex<State>,
}

struct State {
    rotation: usize,
    proven: usize,
    generation: u64,
    serial: String,
    took: Option<Duration>,
    seen_after: Option<Duration>,
    drawn: bool,
    counted: (Instant, u64),
    rate: f64,
}

impl View {
    pub(super) fn start(style: Style, tally: Arc<Tally>, first: &Certificate) -> Self {
        style.line(&format!(
            "renewd demo: {CONNECTIONS} busy connections over mutual TLS, a new certificate every \
             {} s",
            EVERY.as_secs()
        ));
        let state = State {
            counted: (Instant::now(), tally.requests()),
            generation: first.generation,
            serial: first.serial.clone(),
            rotation: 0,
            proven: 0,
            took: None,
            seen_after: None,
            drawn: false,
            rate: 0.0,
        };
        let board = Board {
            tally,
            state: Mutex::new(state),
        };
        let mut view = Self {
            style,
            board: Arc::new(board),
            painter: None,
        };
        if style == Style::Block {
            let board = Arc::clone(&view.board);
            view.painter = Some(tokio::spawn(async move {
                let mut pace = tokio::time::interval(REDRAW);
                loop {
                    pace.tick().await;
                    board.paint();
                }
            }));
        }
        view
    }

    pub(super) fn rotation(&mut self, rotation: &Rotation) {
        self.board.take(rotation);
        if self.style == Style::Block {
            return self.board.paint();
        }
        let report = self.board.tally.report();
        self.style.line(&line(rotation, &report, self.board.rate()));
    }

    /// Draws the last state and leaves it there.
    pub(super) fn end(self) {
        if self.style == Style::Block {
            self.board.paint();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(painter) = self.painter.take() {
            painter.abort();
        }
    }
}

impl Board {
    fn take(&self, rotation: &Rotation) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rotation = rotation.number;
        state.proven += usize::from(rotation.proven);
        state.generation = rotation.generation;
        state.serial.clone_from(&rotation.serial);
        state.took = Some(rotation.took);
        state.seen_after = rotation.seen_after;
    }

    /// Requests per second between the last two looks that were a second apart.
    fn rate(&self) -> f64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, requests) = (Instant::now(), self.tally.requests());
        let passed = now.duration_since(state.counted.0);
        if state.rate == 0.0 || passed >= Duration::from_secs(1) {
            #[allow(clippy::cast_precision_loss)] // a rate for the eye
            let asked = requests.saturating_sub(state.counted.1) as f64;
            state.rate = asked / passed.as_secs_f64().max(1e-3);
            state.counted = (now, requests);
        }
        state.rate
    }

    fn paint(&self) {
        let report = self.tally.report();
        let rate = self.rate();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = rows(&state, &report, rate);
        // Up to the block's first row, then over each row, erasing what it held.
        let mut text = if state.drawn {
            format!("\x1b[{}A", rows.len())
        } else {
            String::new()
        };
        for row in rows {
            text.push_str("\r\x1b[2K");
            text.push_str(&row);
            text.push('\n');
        }
        state.drawn = true;
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// The block; every row is shorter than 80 columns.
fn rows(state: &State, report: &Report, rate: f64) -> [String; 7] {
    let bar = "█".repeat(state.rotation) + &"░".repeat(ROTATIONS.saturating_sub(state.rotation));
    [
        format!(
            "  rotation    {bar} {}/{ROTATIONS}, {} proven",
            state.rotation, state.proven
        ),
        format!(
            "  generation  {}   serial {}",
            state.generation,
            short(&state.serial)
        ),
        format!(
            "  proven      {} after renewal was asked for",
            ms(state.took)
        ),
        format!(
            "  new leaf    first seen after {}, by a fresh handshake",
            ms(state.seen_after)
        ),
        format!("  requests    {}   {rate:.0}/s", grouped(report.requests)),
        format!(
            "  p99         {} steady, {} while rotating",
            p99(report.p99_ms_steady),
            p99(report.p99_ms_rotating)
        ),
        format!(
            "  lost        {} requests failed, {} connections dropped",
            grouped(report.failed_requests),
            grouped(report.dropped_connections)
        ),
    ]
}

fn line(rotation: &Rotation, report: &Report, rate: f64) -> String {
    let proof = match &rotation.complaint {
        None => format!(
            "proven after {}, new leaf seen after {}",
            ms(Some(rotation.took)),
            ms(rotation.seen_after)
        ),
        Some(complaint) => format!("NOT PROVEN: {complaint}"),
    };
    format!(
        "rotation {}/{ROTATIONS}: generation {}, serial {}, {proof}; {rate:.0} requests/s, p99 {} \
         steady, {} rotating; {} failed, {} dropped",
        rotation.number,
        rotation.generation,
        short(&rotation.serial),
        p99(report.p99_ms_steady),
        p99(report.p99_ms_rotating),
        report.failed_requests,
        report.dropped_connections,
    )
}

fn short(serial: &str) -> String {
    match serial.get(..16) {
        Some(start) if serial.len() > 16 => format!("{start}…"),
        _ => serial.to_owned(),
    }
}

fn ms(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()))
}

fn p99(ms: Option<f64>) -> String {
    ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"))
}

/// 12345 as 12,345.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234), "1,234");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn a_long_serial_is_cut_for_the_eye() {
        assert_eq!(short("0123456789abcdef01"), "0123456789abcdef…");
        assert_eq!(short("ab"), "ab");
    }
}
