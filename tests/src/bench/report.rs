//! The figures, their ratios, and how these stand to the goals.
//!
//! It owns the goals. A ratio is the median of the rounds' ratios, each of two servers that took their turns one after
//! the other: what disturbs the machine for a while disturbs both. Its neighbour is `bin/bench.rs`, which prints this.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Figures, Kind, Measure, Plan, Run};

/// One thing that the sample API should reach.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// What of.
    pub what: String,
    /// What was reached.
    pub reached: f64,
    /// What is asked for, at most.
    pub most: f64,
    /// Whether it is.
    pub met: bool,
}

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
            goals: goals(plan, figures),
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

fn goals(plan: &Plan, figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut goal = |what: String, reached: Option<f64>, most: f64| {
        goals.extend(reached.map(|reached| Goal {
            what,
            reached,
            most,
            met: reached <= most,
        }));
    };
    let ours = |measure| figures.cpu.get(&(measure, Kind::SampleApi));
    let to =
        |measure, other| Some(ratio(ours(measure)?, figures.cpu.get(&(measure, other))?)).flatten();
    goal(
        "CPU per full handshake, to nginx".to_owned(),
        to(Measure::Full, Kind::Nginx),
        0.3,
    );
    let bare: Vec<f64> = figures
        .bare
        .iter()
        .map(|parts| parts.iter().sum())
        .collect();
    goal(
        "CPU per full handshake, to bare cryptography".to_owned(),
        ours(Measure::Full).and_then(|ours| ratio(ours, &bare)),
        1.6,
    );
    goal(
        "CPU per resumed handshake, to nginx".to_owned(),
        to(Measure::Resumed, Kind::Nginx),
        0.4,
    );
    for (measure, name) in [(Measure::Http1, "HTTP/1.1"), (Measure::Http2, "HTTP/2")] {
        for (other, most) in [(Kind::Nginx, 0.9), (Kind::Minimal, 1.05)] {
            let what = format!("CPU per request over {name}, to {}", other.name());
            goal(what, to(measure, other), most);
        }
    }
    for &connections in &plan.idle {
        let memory = |kind| {
            figures
                .memory
                .get(&(connections, kind))
                .map(|bytes| *bytes as f64)
        };
        let reached = memory(Kind::SampleApi)
            .zip(memory(Kind::Nginx))
            .map(|(ours, theirs)| ours / theirs);
        let what = format!("memory with {connections} idle connections, to nginx");
        goal(what, reached, 0.6);
    }
    if let Some(runs) = figures.rotation.get(&Kind::SampleApi) {
        let sum = |of: fn(&Run) -> u64| Some(runs.iter().map(of).sum::<u64>() as f64);
        goal(
            "requests lost in rotations".to_owned(),
            sum(|run| run.lost),
            0.0,
        );
        goal(
            "connections closed in rotations".to_owned(),
            sum(|run| run.closed),
            0.0,
        );
        let p99 = each(runs, |run| Some(run.p99_inside? / run.p99_outside?));
        goal(
            "p99 inside rotations, to outside".to_owned(),
            median(&p99),
            1.1,
        );
        let all = visible(runs);
        goal(
            "ms until a new certificate is shown, median".to_owned(),
            median(&all),
            5.0,
        );
        goal(
            "ms until a new certificate is shown, at most".to_owned(),
            most(&all),
            10.0,
        );
    }
    goals
}

/// The median of the rounds' ratios.
fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    median(&ratios)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

fn each(runs: &[Run], of: impl Fn(&Run) -> Option<f64>) -> Vec<f64> {
    runs.iter().filter_map(of).collect()
}

fn visible(runs: &[Run]) -> Vec<f64> {
    runs.iter().flat_map(|run| run.visible.clone()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_and_not_of_the_figures() {
        // The machine was slower in the second round, for both.
        assert_eq!(ratio(&[1.0, 10.0, 1.2], &[2.0, 20.0, 2.0]), Some(0.5));
        assert_eq!(ratio(&[1.0], &[]), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
