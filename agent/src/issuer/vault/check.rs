//! What `renewctl issuer check` finds of a Vault.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Finding, IssueError, Question};
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

/// Looks at what can be seen without an issuance.
pub(super) async fn look(issuer: &VaultIssuer) -> Vec<Finding> {
    let failed =
        |question, error: VaultError| vec![Finding::no(question, &IssueError::from(error))];
    let server = match Server::new(&issuer.settings) {
        Ok(server) => server,
        Err(error) => return failed(Question::Reachable, error),
    };
    let health: Health = match server.health().await {
        Ok(health) => health,
        Err(error) => return failed(Question::Reachable, error),
    };
    let host = server.host();
    let state = if health.sealed { "sealed" } else { "unsealed" };
    let mut found = vec![
        Finding::yes(
            Question::Reachable,
            format!("{host} answers: version {}, {state}", health.version),
        ),
        Finding::clock(
            Timestamp::from_second(health.server_time_utc).ok(),
            Timestamp::now(),
        ),
    ];
    match issuer.session.token(&server).await {
        Ok(token) => {
            found.push(Finding::yes(
                Question::Authenticated,
                format!("{host} knows us"),
            ));
            found.push(may_sign(issuer, &server, token).await);
        }
        Err(error) => found.extend(failed(Question::Authenticated, error)),
    }
    found
}

async fn may_sign(issuer: &VaultIssuer, server: &Server, token: Ready) -> Finding {
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
