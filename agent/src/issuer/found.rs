//! What `renewctl issuer check` finds of a CA without asking it for a certificate.

use std::time::Duration;

use jiff::Timestamp;
use renewd_core::schedule;

use super::IssueError;

/// What is asked of a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether it answers, by its own address and certificate.
    Reachable,
    /// Whether it knows us.
    Authenticated,
    /// Whether its clock is ours: leaves of a CA that is ahead are not valid yet.
    Clock,
    /// Whether it would issue what is configured.
    MayIssue,
}

impl Question {
    /// All of them, in the order in which they are told: without one the next is of little use.
    pub const ALL: [Self; 4] = [
        Self::Reachable,
        Self::Authenticated,
        Self::Clock,
        Self::MayIssue,
    ];

    /// A stable word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Authenticated => "authenticated",
            Self::Clock => "clock",
            Self::MayIssue => "may-issue",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// So it is.
    Yes,
    /// It is not, and no certificate will be had.
    No,
    /// Only an issuance would tell.
    Unknown,
}

impl Is {
    /// A stable word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was asked.
    pub question: Question,
    /// What was found.
    pub is: Is,
    /// In words for the operator, with the remedy where there is one. Holds nothing secret.
    pub text: String,
}

impl Finding {
    /// So it is, and this is how it was seen.
    pub fn yes(question: Question, text: impl Into<String>) -> Self {
        Self {
            question,
            is: Is::Yes,
            text: text.into(),
        }
    }

    /// It cannot be told, and why.
    pub fn unknown(question: Question, text: impl Into<String>) -> Self {
        Self {
            question,
            is: Is::Unknown,
            text: text.into(),
        }
    }

    /// How far the CA's clock, of which an answer told, is from ours. A leaf that begins later than a minute from now is
    /// refused, and so is, by the CA, what we sign for longer than a minute ahead.
    pub fn clock(theirs: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(theirs) = theirs else {
            return Self::unknown(Question::Clock, "its answers have no date");
        };
        let seconds = theirs.duration_since(now).as_secs();
        let apart = humantime::format_duration(Duration::from_secs(seconds.unsigned_abs()));
        let text = match seconds {
            0 => "its clock is ours".to_owned(),
            1.. => format!("its clock is {apart} ahead of ours"),
            _ => format!("its clock is {apart} behind ours"),
        };
        if seconds.unsigned_abs() <= schedule::EARLY.as_secs() {
            return Self::yes(Question::Clock, text);
        }
        Self {
            question: Question::Clock,
            is: Is::No,
            text: format!(
                "{text}; set the one that is wrong (\"timedatectl\" tells of this host's)"
            ),
        }
    }

    /// What was found, with an answer to every question: one that nobody had an answer to cannot be told.
    pub fn of_every_question(mut found: Vec<Self>) -> Vec<Self> {
        let failed = found.iter().find(|found| found.is == Is::No);
        let failed = failed.map(|found| found.question);
        for question in Question::ALL {
            if found.iter().any(|found| found.question == question) {
                continue;
            }
            let why = match failed {
                Some(failed) => format!("not looked at: the answer to {} is no", failed.label()),
                None => "only an order tells".to_owned(),
            };
            found.push(Self::unknown(question, why));
        }
        found.sort_by_key(|found| Question::ALL.iter().position(|one| *one == found.question));
        found
    }

    /// It is not, for this reason.
    pub fn no(question: Question, error: &IssueError) -> Self {
        Self {
            question,
            is: Is::No,
            text: error.operator_text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::Retry;
    use super::*;

    #[test]
    fn every_question_has_an_answer_and_what_could_not_be_asked_says_after_what() {
        let told = |found: Vec<Finding>| {
            let all = Finding::of_every_question(found).into_iter();
            all.map(|found| (found.question.label(), found.is.label(), found.text))
                .collect::<Vec<_>>()
        };
        let text = |text: &str| text.to_owned();
        let only = text("only an order tells");
        let may = |text: &str| Finding::yes(Question::MayIssue, text);
        assert_eq!(
            told(vec![
                may("a"),
                may("b"),
                Finding::yes(Question::Reachable, "it answers")
            ]),
            [
                ("reachable", "yes", text("it answers")),
                ("authenticated", "unknown", only.clone()),
                ("clock", "unknown", only),
                ("may-issue", "yes", text("a")),
                ("may-issue", "yes", text("b")),
            ]
        );
        let error = IssueError::new("away", Retry::BackOff, "it is away", "wait");
        let after = text("not looked at: the answer to reachable is no");
        assert_eq!(
            told(vec![Finding::no(Question::Reachable, &error)]),
            [
                ("reachable", "no", text("it is away; wait")),
                ("authenticated", "unknown", after.clone()),
                ("clock", "unknown", after.clone()),
                ("may-issue", "unknown", after),
            ]
        );
    }

    #[test]
    fn a_clock_that_is_a_minute_off_is_a_finding_and_one_that_is_not_told_is_none() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let cases = [
            (None, Is::Unknown, "no date"),
            (Some(0), Is::Yes, "its clock is ours"),
            (Some(60), Is::Yes, "1m ahead"),
            (Some(-60), Is::Yes, "1m behind"),
            (Some(61), Is::No, "1m 1s ahead of ours; set"),
            (Some(-7200), Is::No, "2h behind ours; set"),
            (Some(i64::MAX / 1_000_000_000), Is::No, "years"),
        ];
        for (off, is, text) in cases {
            let theirs = off.map(|off| now.saturating_add(SignedDuration::from_secs(off)).unwrap());
            let found = Finding::clock(theirs, now);
            assert_eq!(
                (found.question, found.is),
                (Question::Clock, is),
                "{found:?}"
            );
            assert!(found.text.contains(text), "{found:?}");
        }
    }
}
