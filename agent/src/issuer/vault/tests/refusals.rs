//! What a server's refusals become, and what is never told of them.

use super::*;

#[tokio::test]
async fn refusals_become_sentences_with_when_to_ask_again() {
    let hour = Retry::After(Duration::from_secs(3600));
    let cases: Vec<(&str, Told, Retry, &[&str])> = vec![
        (
            SIGN,
            errors("503 Service Unavailable", "Vault is sealed"),
            Retry::BackOff,
            &["is sealed", "unseal"],
        ),
        (
            LOGIN,
            errors("503 Service Unavailable", "Vault is sealed"),
            Retry::BackOff,
            &["is sealed"],
        ),
        (
            SIGN,
            errors("472 Standby", ""),
            Retry::BackOff,
            &["is a standby", "sys/health"],
        ),
        (
            SIGN,
            ("473 Standby", "", "text/plain", String::new()),
            Retry::BackOff,
            &["is a standby"],
        ),
        (
            SIGN,
            errors(
                "412 Precondition Failed",
                "required index state not present",
            ),
            Retry::BackOff,
            &["behind"],
        ),
        (
            SIGN,
            (
                "429 Too Many Requests",
                "retry-after: 3600\r\n",
                JSON,
                r#"{"errors":["request path: rate limit quota exceeded"]}"#.into(),
            ),
            hour,
            &["asked too much", "quota"],
        ),
        (
            SIGN,
            (
                "429 Too Many Requests",
                "retry-after: 1000000000\r\n",
                JSON,
                r#"{"errors":[]}"#.into(),
            ),
            Retry::After(LONGEST_RETRY_AFTER),
            &["asked too much"],
        ),
        (
            SIGN,
            errors(
                "403 Forbidden",
                "1 error occurred:\\n\\t* permission denied\\n\\n",
            ),
            Retry::Operator,
            &[
                "denied pki/int/sign/host: 1 error occurred: * permission denied",
                "path \"pki/int/sign/host\" { capabilities = [\"update\"] }",
            ],
        ),
        (
            LOGIN,
            errors("400 Bad Request", "invalid role or secret ID"),
            Retry::Operator,
            &[
                "refused the login",
                "invalid role or secret ID",
                "`auth_mount`",
            ],
        ),
        (
            LOGIN,
            errors("403 Forbidden", "permission denied"),
            Retry::After(Duration::from_secs(900)),
            &["refused the login at auth/approle/login", "locked"],
        ),
        (
            LOGIN,
            (OK, "", JSON, granted("", 0)),
            Retry::Operator,
            &["asks for a second factor", "exempt"],
        ),
        (
            SIGN,
            errors("400 Bad Request", "unknown role: host"),
            Retry::Operator,
            &["unknown role: host", "`role`"],
        ),
        (
            SIGN,
            errors(
                "404 Not Found",
                "no handler for route \\\"pki/int/sign/host\\\". route entry not found.",
            ),
            Retry::Operator,
            &["(404)", "`mount`"],
        ),
        (
            SIGN,
            errors("404 Not Found", ""),
            Retry::Operator,
            &["no reason given"],
        ),
        (
            SIGN,
            errors(
                "400 Bad Request",
                "subject alternate name a.test not allowed by this role",
            ),
            Retry::Operator,
            &["a.test not allowed", "allowed_domains"],
        ),
        (
            SIGN,
            errors(
                "400 Bad Request",
                "cannot satisfy request, as TTL would result in notAfter of X that is beyond the expiration of the CA certificate at Y",
            ),
            Retry::Operator,
            &["beyond the expiration", "`lifetime`"],
        ),
        (
            SIGN,
            errors(
                "400 Bad Request",
                "the common_name field is required, or must be provided",
            ),
            Retry::Operator,
            &["require_cn=false"],
        ),
        (
            SIGN,
            errors(
                "500 Internal Server Error",
                "unable to find PKI issuer for reference: x",
            ),
            Retry::BackOff,
            &["failed", "`issuer_ref`"],
        ),
        (
            SIGN,
            (
                "502 Bad Gateway",
                "retry-after: 7\r\n",
                "text/html",
                "<html>".into(),
            ),
            Retry::After(Duration::from_secs(7)),
            &["502 Bad Gateway", "a page of HTML"],
        ),
        (
            SIGN,
            ("403 Forbidden", "", "text/html", "<html>".into()),
            Retry::BackOff,
            &["403 Forbidden", "a page of HTML"],
        ),
        (
            LOGIN,
            (OK, "", "text/html", "<html>".into()),
            Retry::BackOff,
            &[
                "the answer to auth/approle/login cannot be used",
                "`address`",
            ],
        ),
        (
            LOGIN,
            (OK, "", JSON, r#"{"data":{}}"#.into()),
            Retry::BackOff,
            &["it has no \"auth\""],
        ),
        (
            SIGN,
            (
                "307 Temporary Redirect",
                "location: https://10.0.0.9:8200/v1/pki/int/sign/host\r\n",
                JSON,
                String::new(),
            ),
            Retry::BackOff,
            &["redirects to 10.0.0.9", "api_addr"],
        ),
    ];
    for (at, told, retry, parts) in cases {
        let vault = Vault::new(move |path, _| (path == at).then(|| told.clone()));
        let error = issue(&vault.issuer()).await.unwrap_err();
        let text = error.operator_text();
        assert_eq!(error.retry(), retry, "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(error.sent(), Sent::Refused, "{text}");
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_told_of_a_server_that_repeats_it() {
    for at in [LOGIN, SIGN, "auth/token/lookup-self"] {
        for (status, kind) in [
            ("400 Bad Request", JSON),
            ("403 Forbidden", JSON),
            ("500 Internal Server Error", JSON),
            ("502 Bad Gateway", "text/plain"),
            ("200 OK", "text/plain"),
        ] {
            let repeats = move |path: &str, request: &str| {
                (path == at).then(|| {
                    let text = serde_json::to_string(request)
                        .unwrap()
                        .replace("\\r\\n", " ");
                    (status, "", kind, format!(r#"{{"errors":[{text}]}}"#))
                })
            };
            let vault = Vault::new(repeats);
            for issuer in [vault.issuer(), vault.handed(), vault.awkward()] {
                if let Err(error) = issue(&issuer).await {
                    let text = format!("{} {error:?}", error.operator_text());
                    for secret in [SECRET, HANDED, "s.login", "ward/"] {
                        assert!(!text.contains(secret), "{at} {status}: {text}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_secret_is_left_out_however_it_is_written() {
    let secret = "a\"b<c&d e/f\\é";
    for form in [
        secret.to_owned(),
        serde_json::to_string(secret).unwrap(),
        r#"a\"b\u003cc\u0026d e/f\\é"#.to_owned(),
        "a%22b%3Cc%26d%20e%2Ff%5C%C3%A9".to_owned(),
        "a%22b%3cc%26d%20e%2ff%5c%c3%a9".to_owned(),
    ] {
        let text = words::without(&format!("told {form}!"), &[None, Some(secret)]);
        assert!(
            text.contains("[secret]") && !text.contains('a'),
            "{form}: {text}"
        );
    }
}
