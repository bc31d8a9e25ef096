//! The goals of the sample API, and how the figures stand to them.
//!
//! A ratio is the median of the rounds' ratios, each of two servers that took their turns one after the other: what
//! disturbs the machine for a while disturbs both. Its neighbour is [`super::report`], which shows them.

use serde::Serialize;

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

pub(super) fn goals(plan: &Plan, figures: &Figures) -> Vec<Goal> {
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

pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

pub(super) fn most(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

pub(super) fn each(runs: &[Run], of: impl Fn(&Run) -> Option<f64>) -> Vec<f64> {
    runs.iter().filter_map(of).collect()
}

pub(super) fn visible(runs: &[Run]) -> Vec<f64> {
    runs.iter().flat_map(|run| run.visible.clone()).collect()
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
