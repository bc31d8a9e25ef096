//! What CAs answer, as sentences.

use super::*;

#[tokio::test]
async fn problems_become_sentences_with_when_to_ask_again() {
    let cases: [(&str, Told, Retry, &[&str]); 9] = [
        (
            "/authz",
            (
                "200 OK",
                "",
                JSON,
                r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[]}"#,
            ),
            Retry::After(Duration::from_secs(1800)),
            &["does not offer http-01 for a.test", "dns-01"],
        ),
        (
            "/order",
            (
                "429 Too Many Requests",
                "retry-after: 120\r\n",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}"#,
            ),
            Retry::After(Duration::from_secs(120)),
            &["refused the order", "too many certificates (rateLimited)"],
        ),
        (
            "/order",
            (
                "429 Too Many Requests",
                "retry-after: 18446744073709551615\r\n",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"x"}"#,
            ),
            Retry::After(super::https::LONGEST_RETRY_AFTER),
            &["rateLimited"],
        ),
        (
            "/order",
            (
                "403 Forbidden",
                "",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:caa","detail":"no","subproblems":[{"type":"x","detail":"forbidden\nby CAA","identifier":{"type":"dns","value":"a.test"}}]}"#,
            ),
            Retry::BackOff,
            &["a.test: forbidden\\nby CAA", "(caa)", "RFC 8659"],
        ),
        (
            "/account",
            (
                "403 Forbidden",
                "",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:externalAccountRequired","detail":"who are you?"}"#,
            ),
            Retry::After(Duration::from_secs(1800)),
            &["refused the account", "eab_key_id"],
        ),
        (
            "/order",
            (
                "400 Bad Request",
                "retry-after: 5\r\n",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not a.test"}"#,
            ),
            Retry::After(Duration::from_secs(1800)),
            &["not a.test (rejectedIdentifier)", "another name"],
        ),
        (
            "/directory",
            (
                "502 Bad Gateway",
                "retry-after: 7\r\n",
                "text/html",
                "<html>nginx</html>",
            ),
            Retry::After(Duration::from_secs(7)),
            &["502 Bad Gateway", "a page of HTML"],
        ),
        (
            "/directory",
            ("200 OK", "", "text/html", "<html>Welcome!</html>"),
            Retry::BackOff,
            &["200 OK", "a page of HTML"],
        ),
        (
            "/directory",
            ("200 OK", "", JSON, "{\"newNonce\":"),
            Retry::BackOff,
            &["the account", "`directory`"],
        ),
    ];
    for (at, told, retry, parts) in cases {
        let ca = Ca::new(move |path| (path == at).then_some(told));
        let error = ca.refused().await;
        let text = error.operator_text();
        assert_eq!(error.retry(), retry, "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_directory_with_addresses_that_are_none_is_refused() {
    for address in ["", " ", "/nonce", "http://localhost/nonce", "https://"] {
        let text = DIRECTORY.replace("BASE/nonce", address).leak();
        let ca = Ca::new(|path| (path == "/directory").then_some(("200 OK", "", JSON, &*text)));
        let error = ca.refused().await;
        assert!(error.to_string().contains("newNonce"), "{address}: {error}");
        assert_eq!(error.retry(), Retry::BackOff);
    }
}
