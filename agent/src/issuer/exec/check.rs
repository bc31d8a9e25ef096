//! What can be found of a program without running it: there is nothing that it could be asked but for a certificate.

use super::super::program::ProgramError;
use super::super::{Finding, Question};
use super::ExecIssuer;

/// What `renewctl issuer check` shows.
pub(super) async fn findings(issuer: &ExecIssuer) -> Vec<Finding> {
    let (looked, held) = (issuer.program.look().await, issuer.held().await);
    let may_issue = match held {
        Ok(anchors) => Finding::unknown(
            Question::MayIssue,
            format!(
                "{} holds {} CA certificates; only an order tells whether the program has one signed",
                issuer.trust.display(),
                anchors.len()
            ),
        ),
        // Without them no answer is accepted.
        Err(error) => Finding::no(Question::MayIssue, &error.into()),
    };
    let no = |question, error: ProgramError| {
        Finding::no(question, &super::ExecError::from(error).into())
    };
    let [reachable, authenticated] = match looked {
        Err(error @ ProgramError::Secret(_)) => [runs(issuer), no(Question::Authenticated, error)],
        Err(error) => {
            let why = "not looked at: the program cannot be run";
            let unknown = Finding::unknown(Question::Authenticated, why);
            [no(Question::Reachable, error), unknown]
        }
        Ok(()) => {
            let text = "only an order tells: the program alone knows who it is to the CA";
            [
                runs(issuer),
                Finding::unknown(Question::Authenticated, text),
            ]
        }
    };
    let text = "a program tells no time: a leaf that is not valid yet is refused";
    let clock = Finding::unknown(Question::Clock, text);
    vec![reachable, authenticated, clock, may_issue]
}

fn runs(issuer: &ExecIssuer) -> Finding {
    let text = format!(
        "{} is there, may be run, and nobody else could change it; it was not run",
        issuer.program.path()
    );
    Finding::yes(Question::Reachable, text)
}
