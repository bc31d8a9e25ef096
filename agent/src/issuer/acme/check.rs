//! What can be found of an ACME CA without an order: nothing is made there, no account either. The CA is
//! asked whether it knows the account that there is, and the secrets are read that an order would need.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::{Finding, IssueError, Question};
use super::account;
use super::dns01::Records;
use super::error::AcmeError;
use super::{AcmeIssuer, Transport, is};

/// What of a directory is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    // Without it, it is none.
    #[serde(rename = "newOrder")]
    _new_order: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    profiles: std::collections::BTreeMap<String, serde_json::Value>,
}

/// What is found.
pub(super) async fn of(issuer: &AcmeIssuer) -> Vec<Finding> {
    let no = |question, error| vec![Finding::no(question, &IssueError::from(error))];
    let transport = match issuer.transport() {
        Ok(transport) => transport,
        Err(error) => return no(Question::Reachable, error),
    };
    let address = &issuer.settings.directory;
    let directory: Directory = match transport.get("its directory", address).await {
        Ok(directory) => directory,
        Err(error) => return no(Question::Reachable, error),
    };
    let profiles: Vec<String> = directory.meta.profiles.into_keys().collect();
    let text = match profiles.is_empty() {
        true => "its directory answers".to_owned(),
        false => format!(
            "its directory answers; its profiles are {}",
            profiles.join(", ")
        ),
    };
    // Of the directory's answer: the next one may have no date.
    let clock = clock(&transport);
    vec![
        Finding::yes(Question::Reachable, text),
        authenticated(issuer, &transport).await,
        clock,
        may_issue(issuer, &profiles),
    ]
}

async fn authenticated(issuer: &AcmeIssuer, transport: &Transport) -> Finding {
    let question = Question::Authenticated;
    let kept = account::known(issuer);
    let kept = kept.and_then(|text| text.map(|text| account::parsed(issuer, &text)).transpose());
    let bound = account::can_be_bound(issuer).map_err(IssueError::from);
    let account = match (kept, &bound) {
        (Err(error), _) => return Finding::no(question, &error.into()),
        (Ok(None), Err(error)) => return Finding::no(question, error),
        (Ok(None), Ok(())) => {
            let text = "there is no account yet: the first order makes one";
            return Finding::unknown(question, text);
        }
        (Ok(Some(account)), _) => account,
    };
    let mut found = if account.next.is_some() {
        let text =
            "a change of the account's key was not finished; the next order finds out how it ended";
        Finding::unknown(question, text)
    } else {
        match account::is_known(issuer, transport, &account.credentials).await {
            Ok(true) => Finding::yes(question, "the CA knows the account"),
            Ok(false) => Finding::unknown(
                question,
                "the CA does not know the account any more: the next order makes another one",
            ),
            Err(error) if bars(&error) => Finding::no(question, &error.into()),
            Err(error) => Finding::unknown(question, IssueError::from(error).operator_text()),
        }
    };
    if let Err(error) = bound {
        // Not for this account: it is bound already.
        found.text += &format!(
            "; another account could not be made: {}",
            error.operator_text()
        );
    }
    found
}

/// Whether the CA lets the account do nothing (RFC 8555, sections 7.3.3 and 7.3.6). Anything else may be another time.
fn bars(error: &AcmeError) -> bool {
    let of = |problem| is(problem, "unauthorized") || is(problem, "userActionRequired");
    matches!(error, AcmeError::Refused { problem, .. } if of(problem))
}

fn clock(transport: &Transport) -> Finding {
    Finding::clock(transport.date(), Timestamp::now())
}

fn may_issue(issuer: &AcmeIssuer, profiles: &[String]) -> Finding {
    let settings = &issuer.settings;
    if let Err(error) = settings.challenge.can_be_answered(&issuer.challenges) {
        return Finding::no(Question::MayIssue, &error.into());
    }
    if let Some(Err(error)) = issuer.records.as_ref().map(Records::can_be_signed) {
        return Finding::no(Question::MayIssue, &error.into());
    }
    if let Some(profile) = &settings.profile
        && !profiles.contains(profile)
    {
        let error = AcmeError::NoProfile(profile.clone());
        return Finding::no(Question::MayIssue, &error.into());
    }
    let text = format!("the CA decides by {}, once it is asked", settings.challenge);
    Finding::unknown(Question::MayIssue, text)
}
