//! CAs that are slow to look, or to sign.

use super::*;

const PENDING: &str =
    r#"{"type":"http-01","url":"BASE/challenge","token":"abc","status":"pending"}"#;
const READY: &str = r#"{"status":"ready","authorizations":[],"finalize":"BASE/finalize"}"#;
const PROCESSING: &str =
    r#"{"status":"processing","authorizations":[],"finalize":"BASE/finalize"}"#;
/// As Caddy has it: the look failed, and may be repeated.
const FAILED_LOOK: &str = r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"http-01","url":"BASE/challenge","token":"abc","status":"pending","error":{"type":"urn:ietf:params:acme:error:connection","detail":"nobody there"}}]}"#;

/// A CA that is never done with what it was given to sign; it says so with these headers.
fn processing(headers: &'static str) -> Ca {
    let location = "location: BASE/order/1\r\n";
    Ca::new(move |path| match path {
        "/order" => Some(("201 Created", location, JSON, READY)),
        "/finalize" => Some(("200 OK", location, JSON, PROCESSING)),
        "/order/1" => Some(("200 OK", headers, JSON, PROCESSING)),
        _ => None,
    })
}

/// A CA that looks for a proof, says this of it, and leaves it at that.
fn looking(authorization: &'static str) -> Ca {
    Ca::new(move |path| match path {
        "/authz" => Some(("200 OK", "", JSON, authorization)),
        "/challenge" => Some(("200 OK", "", JSON, PENDING)),
        _ => None,
    })
}

/// An issuer that looks twice.
fn impatient(ca: &Ca) -> AcmeIssuer {
    let mut issuer = ca.issuer();
    issuer.patience = Duration::from_millis(1);
    issuer
}

/// What becomes of a try, which is over long before anybody but the test would have it end.
async fn late(issuer: &AcmeIssuer, csr: &[u8]) -> IssueError {
    let tried = bring(issuer, csr, None);
    let tried = tokio::time::timeout(Duration::from_secs(30), tried).await;
    tried.expect("a try that ends").unwrap_err()
}

#[tokio::test]
async fn a_ca_that_does_not_sign_in_time_is_left_and_gone_on_with_when_it_says() {
    for (headers, retry) in [
        ("", Retry::BackOff),
        ("retry-after: 7\r\n", Retry::After(Duration::from_secs(7))),
    ] {
        let ca = processing(headers);
        let mine = csr();
        for looks in 1..3 {
            let error = late(&impatient(&ca), &mine).await;
            assert_eq!((error.label(), error.retry()), ("acme-late", retry));
            // It may sign yet, for this key.
            assert_eq!(error.sent(), Sent::Open, "{error}");
            assert_eq!((ca.count("/order"), ca.count("/finalize")), (1, 1));
            assert!(ca.count("/order/1") >= looks);
        }
    }
}

#[tokio::test]
async fn a_failed_look_that_the_ca_keeps_pending_is_told_and_repeated_by_the_next_try() {
    let ca = looking(FAILED_LOOK);
    for looks in 1..3 {
        let error = late(&impatient(&ca), &csr()).await;
        assert_eq!(
            (error.label(), error.retry()),
            ("acme-unproven", Retry::BackOff)
        );
        let text = error.operator_text();
        let why = "could not see that a.test is ours: nobody there (connection)";
        assert!(text.contains(why), "{text}");
        assert_eq!((ca.count("/order"), ca.count("/challenge")), (1, looks));
    }
    // Where it says nothing of a look, there was none yet.
    let ca = looking(AUTHZ);
    for looks in 1..3 {
        let error = late(&impatient(&ca), &csr()).await;
        assert_eq!(
            (error.label(), error.retry()),
            ("acme-late", Retry::BackOff)
        );
        assert_eq!((ca.count("/order"), ca.count("/challenge")), (1, looks));
    }
    // What it was to look at is down.
    let place = ca.webroot().join(".well-known/acme-challenge");
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
}

#[tokio::test]
async fn a_try_ends_in_time_however_patient_it_is_at_each_step() {
    for (ca, sent) in [
        (processing(""), Sent::Open),
        (looking(AUTHZ), Sent::Refused),
    ] {
        let mut issuer = ca.issuer();
        issuer.patience = Duration::MAX;
        issuer.whole = Duration::from_millis(500);
        let mine = csr();
        for _ in 0..2 {
            let error = late(&issuer, &mine).await;
            assert_eq!(
                (error.label(), error.retry()),
                ("acme-late", Retry::BackOff)
            );
            assert_eq!(error.sent(), sent, "{error}");
            // Gone on with: nothing of it is lost.
            assert_eq!(ca.count("/order"), 1);
        }
    }
}
