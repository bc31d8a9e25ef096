//! What `renewctl issuer check` finds of a Vault.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Finding, IssueError, Issuer, Question};
use super::VaultIssuer;
use super::error::VaultError;
use super::server::Server;
use super::session::Ready;

const CAPABILITIES: &str = "sys/capabilities-self";

#[derive(Deserialize)]
struct Health {
    sealed: bool,
    #[serde(default)]
    version: String,
    /// In seconds since the epoch.
    server_time_utc: i64,
}

#[derive(Serialize)]
struct Paths<'a> {
    paths: [&'a str; 1],
}

/// Looks at what can be seen without an issuance. What was found stands in `found` also where no more is, in time.
pub(super) async fn look(issuer: &VaultIssuer, found: &mut Vec<Finding>) {
    let no = |question, error: VaultError| Finding::no(question, &IssueError::from(error));
    let server = match Server::new(&issuer.settings) {
        Ok(server) => server,
        Err(error) => return found.push(no(Question::Reachable, error)),
    };
    let health: Health = match server.health().await {
        Ok(health) => health,
        Err(error) => return found.push(no(Question::Reachable, error)),
    };
    let host = server.host();
    let state = if health.sealed { "sealed" } else { "unsealed" };
    found.push(Finding::yes(
        Question::Reachable,
        format!("{host} answers: version {}, {state}", health.version),
    ));
    found.push(Finding::clock(
        Timestamp::from_second(health.server_time_utc).ok(),
        Timestamp::now(),
    ));
    let token = match issuer.session.prove(&server).await {
        Ok(token) => token,
        Err(error) => return found.push(no(Question::Authenticated, error)),
    };
    found.push(Finding::yes(
        Question::Authenticated,
        format!("{host} knows us"),
    ));
    // Without them no answer is accepted.
    found.push(match issuer.anchors().await {
        Ok(_) => may_sign(issuer, &server, &token).await,
        Err(error) => Finding::no(Question::MayIssue, &error),
    });
}

async fn may_sign(issuer: &VaultIssuer, server: &Server, token: &Ready) -> Finding {
    let path = issuer.sign_path();
    let paths = Paths { paths: [&path] };
    let told = issuer
        .session
        .post(server, token, CAPABILITIES, &paths)
        .await;
    let told: Result<Option<BTreeMap<String, Vec<String>>>, VaultError> = told;
    let may = match told {
        Ok(told) => told
            .and_then(|mut told| told.remove(&path))
            .unwrap_or_default(),
        Err(error) => {
            let text = IssueError::from(error).operator_text();
            return Finding::unknown(Question::MayIssue, text);
        }
    };
    if may
        .iter()
        .any(|capability| capability == "update" || capability == "root")
    {
        // What a role allows is shown to few.
        return Finding::unknown(
            Question::MayIssue,
            format!(
                "its policies allow {path}; whether the role allows the names is seen at an issuance"
            ),
        );
    }
    let denied = VaultError::Denied {
        host: server.host().to_owned(),
        path,
        said: format!("its policies allow {}", may.join(", ")),
    };
    Finding::no(Question::MayIssue, &denied.into())
}
