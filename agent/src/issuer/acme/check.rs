//! What can be found of an ACME CA without an order: nothing is made there, no account either.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::{Finding, IssueError, Question};
use super::account;
use super::error::AcmeError;
use super::{AcmeIssuer, Transport};

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
    vec![
        Finding::yes(Question::Reachable, text),
        authenticated(issuer),
        clock(&transport),
        may_issue(issuer, &profiles),
    ]
}

fn authenticated(issuer: &AcmeIssuer) -> Finding {
    match account::is_kept(issuer) {
        Ok(true) => Finding::unknown(
            Question::Authenticated,
            "there is an account; an order tells whether the CA still knows it",
        ),
        Ok(false) => Finding::unknown(
            Question::Authenticated,
            "there is no account yet: the first order makes one",
        ),
        Err(error) => Finding::no(Question::Authenticated, &error.into()),
    }
}

fn clock(transport: &Transport) -> Finding {
    Finding::clock(transport.date(), Timestamp::now())
}

fn may_issue(issuer: &AcmeIssuer, profiles: &[String]) -> Finding {
    let settings = &issuer.settings;
    if let Err(error) = settings.challenge.can_be_answered(&issuer.challenges) {
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
