//! What the CA, or whatever stands before it, may answer.

use super::super::super::{Is, Question};
use super::*;

const JSON: &str = "application/json";

#[tokio::test]
async fn refusals_become_sentences_with_when_to_ask_again() {
    let half_hour = Retry::After(Duration::from_secs(1800));
    let week = Retry::After(Duration::from_secs(7 * 86_400));
    let cases: [(Told, Retry, &[&str]); 8] = [
        (
            (
                "403 Forbidden",
                "",
                JSON,
                r#"{"status":403,"message":"dns name \"a.test\" not allowed\n"}"#,
            ),
            half_hour,
            &[
                r#"refused a certificate: dns name \"a.test\" not allowed\n (403"#,
                "policy does not allow",
            ],
        ),
        (
            (
                "404 Not Found",
                "",
                JSON,
                r#"{"status":404,"message":"not found"}"#,
            ),
            half_hour,
            &["`url`"],
        ),
        (
            ("404 Not Found", "", "text/plain", "404 page not found\n"),
            Retry::BackOff,
            &["answered 404", "404 page not found"],
        ),
        (
            (
                "429 Too Many Requests",
                "retry-after: 1000000000\r\n",
                JSON,
                r#"{"message":"slow down"}"#,
            ),
            week,
            &["slow down", "when the CA allows it"],
        ),
        (
            (
                "500 Internal Server Error",
                "",
                JSON,
                r#"{"status":500,"message":"no"}"#,
            ),
            Retry::BackOff,
            &["trouble of its own"],
        ),
        (
            (
                "502 Bad Gateway",
                "retry-after: 60\r\n",
                "text/html",
                "<html>no</html>",
            ),
            Retry::After(Duration::from_secs(60)),
            &["answered 502 Bad Gateway (\"a page of HTML\")"],
        ),
        (
            ("401 Unauthorized", "", "text/html", "<html>"),
            Retry::BackOff,
            &["a page of HTML"],
        ),
        (
            (
                "302 Found",
                "location: https://elsewhere.test/\r\n",
                JSON,
                "",
            ),
            Retry::BackOff,
            &["redirects to elsewhere.test"],
        ),
    ];
    for (told, retry, words) in cases {
        let ca = Ca::new(move |path| (path == "/1.0/sign").then_some(told));
        let error = order(&ca.with_a_key(), &request(&["a.test"]), None).await;
        let error = error.unwrap_err();
        let text = error.operator_text();
        assert_eq!(error.retry(), retry, "{text}");
        assert_eq!(error.sent(), Sent::Refused, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn an_answer_without_a_certificate_counts_as_an_issuance_that_came_to_nothing() {
    for (kind, body) in [
        ("text/html", "<html>welcome</html>"),
        (JSON, "{"),
        (JSON, "{}"),
        (JSON, r#"{"crt":""}"#),
        (JSON, r#"{"crt":"-----BEGIN CERTIFICATE-----\nMIIB"}"#),
        (JSON, r#"{"crt":17,"certChain":[]}"#),
    ] {
        let ca =
            Ca::new(move |path| (path == "/1.0/sign").then_some(("201 Created", "", kind, body)));
        let error = order(&ca.issuer(ca.settings()), &request(&["a.test"]), None).await;
        let error = error.unwrap_err();
        assert_eq!(error.retry(), Retry::BackOff, "{error}");
        assert_eq!(error.sent(), Sent::Spent, "{body}: {error}");
    }
}

#[tokio::test]
async fn a_ca_is_looked_at_without_being_asked_for_a_certificate() {
    let ca = Ca::new(|path| match path {
        // Ten minutes after the tests.
        "/health" => Some((
            "200 OK",
            "date: Wed, 18 Nov 2026 11:16:40 GMT\r\n",
            JSON,
            r#"{"status":"ok"}"#,
        )),
        path if path.starts_with("/1.0/provisioners") => Some((
            "200 OK",
            "",
            JSON,
            r#"{"provisioners":[{"type":"OIDC","name":"hosts"}]}"#,
        )),
        _ => None,
    });
    let requests = [request(&["a.test"]), request(&["b.test"])];
    let found = |issuer: StepIssuer| {
        let requests = requests.clone();
        async move {
            let found = issuer.check(&requests).await;
            let found = found
                .into_iter()
                .map(|one| (one.question, one.is, one.text));
            found.collect::<Vec<_>>()
        }
    };
    let by_token = found(ca.issuer(ca.settings())).await;
    assert_eq!(
        (by_token[0].0, by_token[0].1),
        (Question::Reachable, Is::Yes)
    );
    assert_eq!((by_token[1].0, by_token[1].1), (Question::Clock, Is::No));
    assert!(by_token[1].2.contains("10m ahead of ours"), "{by_token:?}");
    assert_eq!(by_token[2].1, Is::Unknown);
    assert!(by_token[2].2.contains("b.test"), "{by_token:?}");
    let by_key = found(ca.with_a_key()).await;
    assert!(by_key[2].2.contains("no hosts with the key"), "{by_key:?}");
    assert!(ca.ways().iter().all(|way| !way.ends_with("sign")));

    let away = StepSettings {
        url: "https://localhost:1".into(),
        ..ca.settings()
    };
    let away = found(ca.issuer(away)).await;
    assert_eq!((away.len(), away[0].1), (1, Is::No));
}
