//! Revocation, and what is found without an order.

use renewd_core::revocation::Reason;

use super::super::super::{Is, Question, Revocation};
use super::*;

const REVOKES: &str = r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order","revokeCert":"BASE/revoke","meta":{"profiles":{"short":"6 days"}}}"#;

#[tokio::test]
async fn a_leaf_is_revoked_with_its_reason_and_one_that_is_revoked_already_is_revoked() {
    let already = r#"{"type":"urn:ietf:params:acme:error:alreadyRevoked"}"#;
    let unauthorized = r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"not yours"}"#;
    for (told, part) in [
        (("200 OK", "", JSON, ""), None),
        (("400 Bad Request", "", PROBLEM, already), None),
        (
            ("403 Forbidden", "", PROBLEM, unauthorized),
            Some("not yours"),
        ),
    ] {
        let ca = Ca::new(move |path| match path {
            "/directory" => Some(("200 OK", "", JSON, REVOKES)),
            "/revoke" => Some(told),
            _ => None,
        });
        let leaf = leaf();
        let revocation = Revocation {
            leaf: &leaf,
            reason: Reason::KeyCompromise,
            identity: None,
        };
        let revoked = ca.issuer().revoke(revocation).await;
        match part {
            None => revoked.unwrap(),
            Some(part) => {
                let error = revoked.unwrap_err().operator_text();
                assert!(
                    error.contains("refused the revocation") && error.contains(part),
                    "{error}"
                );
            }
        }
        let said = ca.said.lock().unwrap();
        let (_, said) = said.iter().find(|said| said.0 == "/revoke").unwrap();
        let said: serde_json::Value = serde_json::from_str(said).unwrap();
        assert_eq!(said["reason"], 1);
    }
}

#[tokio::test]
async fn what_is_found_of_a_ca_makes_nothing_there() {
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let ca = Ca::new(move |path| (path == "/directory").then_some(("200 OK", date, JSON, REVOKES)));
    let mut issuer = ca.issuer();
    issuer.settings.profile = Some("long".to_owned());
    let found = issuer.check(&[]).await;
    let found: Vec<_> = found.iter().map(|one| (one.question, one.is)).collect();
    let wanted = [
        (Question::Reachable, Is::Yes),
        (Question::Authenticated, Is::Unknown),
        (Question::Clock, Is::No),
        (Question::MayIssue, Is::No),
    ];
    assert_eq!(found, wanted);
    assert_eq!(*ca.asked.lock().unwrap(), ["/directory"]);
    let ca = Ca::new(|_| Some(("502 Bad Gateway", "", "text/html", "<html>")));
    let found = ca.issuer().check(&[]).await;
    assert_eq!((found.len(), found[0].is), (1, Is::No));
}
