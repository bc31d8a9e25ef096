//! What a server's refusals become, and what is never told of them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

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

#[tokio::test]
async fn a_login_that_was_refused_is_not_made_again_for_others_until_its_secret_is_another_one() {
    let vault = Vault::new(|path, request| {
        (path == LOGIN && !request.contains("right"))
            .then(|| errors("400 Bad Request", "invalid role or secret ID"))
    });
    let issuer = vault.issuer();
    for _ in 0..5 {
        let error = issue(&issuer).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Operator);
        let text = error.operator_text();
        assert!(
            text.contains("invalid role or secret ID; correct"),
            "{text}"
        );
    }
    assert_eq!(vault.count(LOGIN), 1);
    std::fs::write(vault.directory.path().join("secret"), "right").unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count(LOGIN), 2);
}

#[tokio::test]
async fn those_who_wait_for_a_login_share_what_it_comes_to() {
    for sealed in [true, false] {
        let vault = Vault::new(move |path, _| {
            (path == LOGIN && sealed).then(|| errors("503 Service Unavailable", "Vault is sealed"))
        });
        let issuer = vault.issuer();
        let all = futures_util::future::join_all((0..4).map(|_| issue(&issuer))).await;
        for one in all {
            let retry = one.err().map(|error| error.retry());
            assert_eq!(retry, sealed.then_some(Retry::BackOff));
        }
        assert_eq!(vault.count(LOGIN), 1);
        // What passes is asked for again.
        let _ = issue(&issuer).await;
        assert_eq!(vault.count(LOGIN), if sealed { 2 } else { 1 });
    }
}

#[tokio::test]
async fn what_somebody_replaces_anyway_is_waited_for() {
    let vault = Vault::new(|path, _| {
        path.ends_with("/login")
            .then(|| errors("403 Forbidden", "token is expired"))
    });
    let file = vault.directory.path().join("jwt");
    let place = Secret::File(file.clone());
    let jwt = Auth::Login {
        mount: "jwt".into(),
        method: Method::Jwt {
            role: None,
            jwt: place.clone(),
        },
    };
    for auth in [jwt, Auth::Token(place)] {
        let is_jwt = matches!(auth, Auth::Login { .. });
        let settings = VaultSettings {
            auth,
            ..vault.settings()
        };
        let issuer = vault.issuer_of(settings);
        // Not there yet, empty for now, what cannot be sent, open to all, ended.
        for (text, mode) in [
            (None, 0),
            (Some(" \n"), 0o600),
            (Some("a\u{1}b"), 0o600),
            (Some("a.b.c"), 0o644),
            (Some("a.b.c"), 0o600),
        ] {
            let _ = std::fs::remove_file(&file);
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
                std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            }
            if let Err(error) = issue(&issuer).await {
                assert_eq!(error.retry(), Retry::BackOff, "{error}");
            } else {
                assert!(!is_jwt && mode == 0o600 && text == Some("a.b.c"));
            }
        }
    }
    // What systemd gives at a start is no better later.
    std::fs::write(vault.directory.path().join("secret"), "").unwrap();
    for file in ["secret", ""] {
        let error = issue(&vault.issuer()).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Operator, "{error}");
        if !file.is_empty() {
            std::fs::remove_file(vault.directory.path().join(file)).unwrap();
        }
    }
}
