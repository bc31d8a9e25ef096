//! Orders: begun, gone on with, and over.

use renewd_core::pem;

use super::*;

#[tokio::test]
async fn a_ca_that_wants_more_proofs_than_there_are_names_is_refused() {
    let ca = Ca::new(|path| {
        let order = r#"{"status":"pending","authorizations":["BASE/authz","BASE/authz"],"finalize":"BASE/f"}"#;
        let headers = "location: BASE/order/1\r\n";
        (path == "/order").then_some(("201 Created", headers, JSON, order))
    });
    let error = ca.refused().await;
    assert!(error.to_string().contains("2 proofs for 1 name"), "{error}");
    assert_eq!(ca.count("/authz"), 0);
}

#[tokio::test]
async fn what_the_ca_saw_at_a_name_is_told_with_the_name() {
    let ca = Ca::new(|path| match path {
        "/order" | "/order/1" => Some((
            "201 Created",
            "location: BASE/order/1\r\n",
            JSON,
            r#"{"status":"invalid","authorizations":["BASE/authz"],"finalize":"BASE/f","error":{"type":"urn:ietf:params:acme:error:malformed","detail":"order"}}"#,
        )),
        "/authz" => Some((
            "200 OK",
            "",
            JSON,
            r#"{"status":"invalid","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"http-01","url":"BASE/c","token":"abc","status":"invalid","error":{"type":"urn:ietf:params:acme:error:unauthorized","detail":"got a page"}}]}"#,
        )),
        _ => None,
    });
    let error = ca.refused().await;
    let text = error.operator_text();
    assert!(
        text.contains("a.test is ours: got a page (unauthorized)"),
        "{text}"
    );
    assert_eq!(error.retry(), Retry::BackOff);
    // An order that is over is not gone on with.
    let _ = issue(&ca.issuer()).await;
    assert_eq!(ca.count("/order"), 2);
}

#[tokio::test]
async fn an_unfinished_order_is_gone_on_with_and_an_account_is_made_once() {
    // The challenge is never taken, as when the process dies there.
    let ca = Ca::new(|_| None);
    for _ in 0..3 {
        let error = ca.refused().await;
        assert!(error.to_string().contains("a challenge"), "{error}");
    }
    assert_eq!(
        (
            ca.count("/account"),
            ca.count("/order"),
            ca.count("/order/1")
        ),
        (1, 1, 2)
    );
    let kept = ca.directory.path().join("issuer");
    for entry in std::fs::read_dir(kept).unwrap() {
        use std::os::unix::fs::MetadataExt;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
    }
    // What the CA may ask for is up again after a start, before the order is gone on with.
    let again = ca.issuer_by(Challenge::Http01 { webroot: None });
    assert!(again.challenges.holds("abc"));
    // Nothing else that was put up stays.
    let place = ca.webroot().join(".well-known/acme-challenge");
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
}

/// A CA that is ready to sign at once, and answers so where its certificate is.
pub(super) fn signing(download: impl Fn() -> Told + Send + 'static) -> Ca {
    const READY: &str = r#"{"status":"ready","authorizations":[],"finalize":"BASE/finalize"}"#;
    const VALID: &str = r#"{"status":"valid","authorizations":[],"finalize":"BASE/finalize","certificate":"BASE/cert"}"#;
    let order = ("201 Created", "location: BASE/order/1\r\n", JSON);
    Ca::new(move |path| match path {
        "/order" => Some((order.0, order.1, order.2, READY)),
        "/finalize" | "/order/1" => Some((order.0, order.1, order.2, VALID)),
        "/cert" => Some(download()),
        _ => None,
    })
}

#[tokio::test]
async fn an_order_that_was_sent_is_gone_on_with_by_the_same_request_and_by_no_other() {
    let chain: &'static str = pem::certificates(&[leaf()]).leak();
    let downloads = AtomicUsize::new(0);
    let ca = signing(move || match downloads.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => (
            "500 Internal Server Error",
            "",
            PROBLEM,
            r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#,
        ),
        _ => ("200 OK", "", "application/pem-certificate-chain", chain),
    });
    let orders = |ca: &Ca| (ca.count("/order"), ca.count("/finalize"));
    let error = issue(&ca.issuer()).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Open, "{error}");
    assert_eq!(orders(&ca), (1, 1));
    // Its key is gone.
    let mine = csr();
    let error = bring(&ca.issuer(), &mine, None).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Open);
    assert_eq!(orders(&ca), (2, 2));
    bring(&ca.issuer(), &mine, None).await.unwrap();
    assert_eq!(orders(&ca), (2, 2));
    // As long as what came of it is not kept, it is had again.
    bring(&ca.issuer(), &mine, None).await.unwrap();
    assert_eq!(orders(&ca), (2, 2));
    // For any other request it is over, and nobody asks for it.
    let looks = ca.count("/order/1");
    bring(&ca.issuer(), &csr(), None).await.unwrap();
    assert_eq!(orders(&ca), (3, 3));
    assert_eq!(ca.count("/order/1"), looks);
}

#[tokio::test]
async fn an_order_that_was_done_long_ago_is_forgotten_at_a_start_and_any_other_is_not() {
    let chain: &'static str = pem::certificates(&[leaf()]).leak();
    let ca = signing(move || ("200 OK", "", "application/pem-certificate-chain", chain));
    bring(&ca.issuer(), &csr(), None).await.unwrap();
    let place = ca.directory.path().join("issuer");
    let files = std::fs::read_dir(&place).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let is_order = |path: &std::path::PathBuf| path.to_string_lossy().contains("order-");
    let file = files.into_iter().find(is_order).unwrap();
    drop(ca.issuer());
    let text = std::fs::read_to_string(&file).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    kept["sent"]["at"] = "2020-01-01T00:00:00Z".into();
    for (done, stays) in [(false, true), (true, false)] {
        kept["done"] = done.into();
        std::fs::write(&file, kept.to_string()).unwrap();
        drop(ca.issuer());
        assert_eq!(file.exists(), stays);
    }
}

#[tokio::test]
async fn a_certificate_that_was_issued_and_cannot_be_used_counts() {
    for (status, kind, body) in [
        ("404 Not Found", PROBLEM, "{\"type\":\"x\"}"),
        ("404 Not Found", "text/html", "<html>"),
        ("200 OK", "application/pem-certificate-chain", "nothing"),
    ] {
        let ca = signing(move || (status, "", kind, body));
        let mine = csr();
        for orders in 1..3 {
            let error = bring(&ca.issuer(), &mine, None).await.unwrap_err();
            assert_eq!(error.sent(), Sent::Spent, "{error}");
            assert_eq!(ca.count("/order"), orders);
        }
    }
}

#[tokio::test]
async fn an_order_that_leads_nowhere_is_forgotten_and_one_that_cannot_be_asked_for_is_not() {
    // Its proof was refused, which this CA does not say of the order.
    let ca = Ca::new(|path| {
        (path == "/authz").then_some((
            "200 OK",
            "",
            JSON,
            r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"dns-01","url":"BASE/c","token":"abc","status":"invalid"}]}"#,
        ))
    });
    for orders in 1..3 {
        let _ = ca.refused().await;
        assert_eq!(ca.count("/order"), orders);
    }
    let looks = AtomicUsize::new(0);
    let ca = Ca::new(move |path| {
        let trouble = path == "/order/1" && looks.fetch_add(1, Ordering::Relaxed) == 0;
        trouble.then_some((
            "500 Internal Server Error",
            "",
            PROBLEM,
            r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#,
        ))
    });
    for text in ["a challenge", "serverInternal", "a challenge"] {
        let error = ca.refused().await;
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(ca.count("/order"), 1);
}

#[tokio::test]
async fn the_ca_is_told_what_is_replaced_and_asked_without_it_only_where_it_minds_that() {
    let problem = |status, body| Some((status, "", PROBLEM, body));
    let cases: [(Option<Told>, &[bool], &str); 6] = [
        (
            problem(
                "409 Conflict",
                r#"{"type":"urn:ietf:params:acme:error:alreadyReplaced","detail":"twice"}"#,
            ),
            &[true, false],
            "a challenge",
        ),
        (
            problem("404 Not Found", r#"{"type":"x","status":404}"#),
            &[true, false],
            "a challenge",
        ),
        // Of an account that was lost.
        (
            problem(
                "403 Forbidden",
                r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"not yours"}"#,
            ),
            &[true, false],
            "a challenge",
        ),
        // Taken, and not echoed.
        (None, &[true, false], "a challenge"),
        (
            problem(
                "429 Too Many Requests",
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"x"}"#,
            ),
            &[true],
            "rateLimited",
        ),
        (
            problem(
                "500 Internal Server Error",
                r#"{"type":"urn:ietf:params:acme:error:serverInternal","detail":"x"}"#,
            ),
            &[true],
            "serverInternal",
        ),
    ];
    for (told, expected, text) in cases {
        let orders = AtomicUsize::new(0);
        let ca = Ca::new(move |path| {
            let first = path == "/order" && orders.fetch_add(1, Ordering::Relaxed) == 0;
            told.filter(|_| first)
        });
        let error = replace(&ca.issuer(), Some(&leaf())).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let said = ca.said.lock().unwrap();
        let orders = said.iter().filter(|(path, _)| path == "/order");
        let replacing: Vec<bool> = orders
            .map(|(_, text)| text.contains("\"replaces\""))
            .collect();
        assert_eq!(replacing, expected, "{text}");
    }
}
