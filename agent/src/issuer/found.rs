//! What `renewctl issuer check` finds of a CA without asking it for a certificate.

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

    /// It is not, for this reason.
    pub fn no(question: Question, error: &IssueError) -> Self {
        Self {
            question,
            is: Is::No,
            text: error.operator_text(),
        }
    }
}
