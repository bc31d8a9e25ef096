//! What can be found of a step-ca without asking it for a certificate.

use hyper::Response;
use hyper::body::Bytes;
use renewd_core::request::Request;

use super::super::https::date;
use super::super::{Finding, IssueError, Question};
use super::api::Api;
use super::error::StepError;
use super::{Admission, StepIssuer, root, token};

/// What `renewctl issuer check` shows.
pub(super) async fn findings(issuer: &StepIssuer, requests: &[Request]) -> Vec<Finding> {
    let url = &issuer.settings.url;
    let (api, health) = match reached(issuer).await {
        Ok(reached) => reached,
        Err(error) => return vec![Finding::no(Question::Reachable, &error.into())],
    };
    let mut findings = vec![Finding::yes(
        Question::Reachable,
        format!("{url} is well, and the pinned root stands for it"),
    )];
    findings.push(Finding::clock(date(health.headers()), issuer.now()));
    findings.push(authenticated(issuer, &api, requests).await);
    findings.push(Finding::unknown(
        Question::MayIssue,
        "the policy of its provisioner decides, once it is asked",
    ));
    findings
}

async fn reached(issuer: &StepIssuer) -> Result<(Api<'_>, Response<Bytes>), StepError> {
    let pinned = root::pinned(issuer).await?;
    let api = Api::new(issuer, pinned, None)?;
    let health = api.health().await?;
    Ok((api, health))
}

async fn authenticated(issuer: &StepIssuer, api: &Api<'_>, requests: &[Request]) -> Finding {
    const QUESTION: Question = Question::Authenticated;
    let no = |error: StepError| Finding::no(QUESTION, &IssueError::from(error));
    let (name, key) = match &issuer.settings.admission {
        Admission::Provisioner { name, key } => (name, key),
        Admission::Token(place) => {
            let mut fitting = requests
                .iter()
                .map(|request| token::admission(issuer, request));
            return match fitting.find_map(Result::err) {
                None => Finding::unknown(
                    QUESTION,
                    format!(
                        "{place} has a token for each certificate; only the CA knows whether one was used"
                    ),
                ),
                Some(error) => Finding::unknown(
                    QUESTION,
                    format!("only what has a certificate can be renewed, by that: {error}"),
                ),
            };
        }
    };
    let kid = match token::provisioner(issuer, key) {
        Ok((_, kid)) => kid,
        Err(error) => return no(error),
    };
    let known = match api.provisioners().await {
        Ok(answer) => answer["provisioners"].as_array().is_some_and(|all| {
            all.iter()
                .any(|one| one["name"] == **name && one["key"]["kid"] == *kid)
        }),
        Err(error) => return no(error),
    };
    match known {
        true => Finding::yes(
            QUESTION,
            format!(
                "the CA has the provisioner {name} with this key; who reads the key can have certificates for any name: \
                 a one-time token by `token` is safer"
            ),
        ),
        false => Finding::unknown(
            QUESTION,
            format!(
                "among the first hundred provisioners of the CA is no {name} with the key {kid}"
            ),
        ),
    }
}
