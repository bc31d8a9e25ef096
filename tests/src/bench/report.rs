//! The figures, as a table or as JSON.
//!
//! It must never leave a round out of the JSON. Its neighbours are [`super::goals`], and `bin/bench.rs`, which prints this.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::goals::{Goal, each, goals, median, most, visible};
use super::{Figures, Kind, Measure, Plan, Run};

/// A finished comparison.
#[derive(Clone, Debug)]
pub struct Report {
    kinds: Vec<Kind>,
    idle: Vec<usize>,
    figures: Figures,
    goals: Vec<Goal>,
    machine: Map<String, Value>,
}

impl Report {
    pub(super) fn new(plan: &Plan, figures: &Figures) -> Self {
        Self {
            kinds: plan.kinds.clone(),
            idle: plan.idle.clone(),
            figures: figures.clone(),
            goals: match plan.judged {
                true => goals(plan, figures),
                false => Vec::new(),
            },
            machine: machine(&plan.kinds),
        }
    }

    /// The goals that could be looked at.
    #[must_use]
    pub fn goals(&self) -> &[Goal] {
        &self.goals
    }

    /// Everything, each round by itself.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut cpu = Map::new();
        for ((measure, kind), rounds) in &self.figures.cpu {
            let of = cpu.entry(word(measure)).or_insert_with(|| json!({}));
            of[word(kind)] = json!(rounds);
        }
        let mut memory = Map::new();
        for ((connections, kind), bytes) in &self.figures.memory {
            let of = memory.entry(connections.to_string());
            of.or_insert_with(|| json!({}))[word(kind)] = json!(bytes);
        }
        let mut rotation = Map::new();
        for (kind, runs) in &self.figures.rotation {
            rotation.insert(word(kind), json!(runs));
        }
        json!({
            "machine": self.machine,
            "cpu_us": cpu,
            "bare_us": self.figures.bare,
            "memory_bytes": memory,
            "rotation": rotation,
            "goals": self.goals,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.machine {
            writeln!(f, "{name}: {}", value.as_str().unwrap_or_default())?;
        }
        write!(f, "\n{:<34}", "")?;
        for kind in &self.kinds {
            write!(f, "{:>16}", kind.name())?;
        }
        writeln!(f)?;
        for (measure, name) in [
            (Measure::Full, "full mutual handshake, CPU µs"),
            (Measure::Resumed, "resumed handshake, CPU µs"),
            (Measure::Http1, "request over HTTP/1.1, CPU µs"),
            (Measure::Http2, "request over HTTP/2, CPU µs"),
        ] {
            let rounds = |kind| self.figures.cpu.get(&(measure, kind));
            self.row(f, name, |kind| {
                rounds(kind)
                    .and_then(|rounds| median(rounds))
                    .map(|us| format!("{us:.1}"))
            })?;
        }
        for &connections in &self.idle {
            self.row(f, &format!("{connections} idle connections, MB"), |kind| {
                let bytes = *self.figures.memory.get(&(connections, kind))?;
                Some(format!("{:.1}", bytes as f64 / 1e6))
            })?;
        }
        let runs = |kind| self.figures.rotation.get(&kind).map(Vec::as_slice);
        let sum = |kind, of: fn(&Run) -> u64| runs(kind).map(|runs| runs.iter().map(of).sum());
        self.row(f, "rotations: requests answered", |kind| {
            sum(kind, |run| run.answered).map(|sum: u64| sum.to_string())
        })?;
        self.row(f, "rotations: lost / closed", |kind| {
            let (lost, closed): (u64, u64) =
                (sum(kind, |run| run.lost)?, sum(kind, |run| run.closed)?);
            Some(format!("{lost} / {closed}"))
        })?;
        self.row(f, "p99 ms outside / inside", |kind| {
            let of = |of: fn(&Run) -> Option<f64>| median(&each(runs(kind)?, of));
            let (outside, inside) = (of(|run| run.p99_outside)?, of(|run| run.p99_inside)?);
            Some(format!("{outside:.1} / {inside:.1}"))
        })?;
        self.row(f, "shown after ms, median / most", |kind| {
            let all = visible(runs(kind)?);
            Some(format!("{:.1} / {:.1}", median(&all)?, most(&all)?))
        })?;
        if let Some([sign, verify, agree]) = bare(&self.figures) {
            let total = sign + verify + agree;
            writeln!(
                f,
                "\nbare cryptography: {total:.1} µs (signature {sign:.1}, two verifications {verify:.1}, X25519 {agree:.1})"
            )?;
        }
        writeln!(f)?;
        for goal in &self.goals {
            let verdict = if goal.met { "met" } else { "NOT MET" };
            writeln!(
                f,
                "{:<60} {:>8.2}   at most {:<5} {verdict}",
                goal.what, goal.reached, goal.most
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        cell: impl Fn(Kind) -> Option<String>,
    ) -> fmt::Result {
        let cells: Vec<_> = self.kinds.iter().map(|kind| cell(*kind)).collect();
        if cells.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut line = format!("{name:<34}");
        for cell in cells {
            write!(line, "{:>16}", cell.as_deref().unwrap_or("-"))?;
        }
        writeln!(f, "{line}")
    }
}

/// The medians of its parts.
fn bare(figures: &Figures) -> Option<[f64; 3]> {
    let part = |part: usize| {
        let rounds: Vec<f64> = figures.bare.iter().map(|parts| parts[part]).collect();
        median(&rounds)
    };
    Some([part(0)?, part(1)?, part(2)?])
}

fn word(of: impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(Value::String(word)) => word,
        _ => unreachable!("a name without fields is a word"),
    }
}

/// What figures depend on.
fn machine(kinds: &[Kind]) -> Map<String, Value> {
    let mut machine = Map::new();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| Some(line.split_once(": ")?.1));
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    machine.insert(
        "cpu".to_owned(),
        json!(format!("{count} × {}", model.unwrap_or("?"))),
    );
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    machine.insert("kernel".to_owned(), json!(kernel.trim()));
    for kind in kinds {
        let (argument, name) = match kind {
            Kind::Nginx => ("-V", "nginx"),
            Kind::HaProxy => ("-vv", "haproxy"),
            Kind::SampleApi | Kind::Minimal => continue,
        };
        let output = kind.program().ok().and_then(|program| {
            std::process::Command::new(program)
                .arg(argument)
                .output()
                .ok()
        });
        let Some(output) = output else { continue };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let mut lines = text
            .lines()
            .filter(|line| line.contains("version") || line.contains("OpenSSL "))
            .map(str::trim);
        let (version, tls) = (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        );
        machine.insert(name.to_owned(), json!(format!("{version}; {tls}")));
    }
    machine
}
