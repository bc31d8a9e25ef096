//! How we are known to the server, and what it tells without an issuance.

use super::*;

#[tokio::test]
async fn a_login_serves_all_certificates_and_is_made_again_once_its_token_is_refused() {
    let refused = Arc::new(Mutex::new(0));
    let count = Arc::clone(&refused);
    let vault = Vault::new(move |path, _| {
        let mut refused = count.lock().unwrap();
        (path == SIGN && *refused > 0).then(|| {
            *refused -= 1;
            errors("403 Forbidden", "permission denied")
        })
    });
    let issuer = vault.issuer();
    issue(&issuer).await.unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count(LOGIN), 1);
    // The server was set up anew.
    *refused.lock().unwrap() = 1;
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count(LOGIN), 2);
    // A policy is missing: one login more shows that it is not the token.
    *refused.lock().unwrap() = 2;
    let error = issue(&issuer).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Operator, "{error}");
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (3, 6));
    // And a fresh one needs none.
    *refused.lock().unwrap() = 1;
    let issuer = vault.issuer();
    issue(&issuer).await.unwrap_err();
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (4, 7));
}

#[tokio::test]
async fn a_login_is_made_again_before_its_token_ends_with_the_secret_as_it_is_then() {
    let vault = Vault::new(|path, _| {
        // Two thirds of it are over soon.
        (path == "auth/jwt/login").then(|| (OK, "", JSON, granted("s.short", 1)))
    });
    let method = Method::Jwt {
        role: Some("host".into()),
        jwt: Secret::Credential("jwt".parse().unwrap()),
    };
    let issuer = vault.issuer_of(VaultSettings {
        auth: Auth::Login {
            mount: "jwt".into(),
            method,
        },
        ..vault.settings()
    });
    let error = issue(&issuer).await.unwrap_err();
    assert!(error.operator_text().contains("jwt"), "{error}");
    assert_eq!(error.retry(), Retry::Operator);
    for (logins, jwt) in [(1, "first.a.b"), (2, "second.a.b")] {
        std::fs::write(vault.directory.path().join("jwt"), jwt).unwrap();
        let begun = std::time::Instant::now();
        while vault.count("auth/jwt/login") < logins {
            issue(&issuer).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        let sent = vault.sent("auth/jwt/login");
        assert_eq!(sent, serde_json::json!({"role": "host", "jwt": jwt}));
    }
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_shown_is_told_before_anything_is_sent() {
    let vault = Vault::new(|_, _| None);
    let path = |name: &str| vault.directory.path().join(name);
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(["host".to_owned()]).unwrap();
    let certificate = params.self_signed(&own).unwrap().pem();
    let issuer = vault.issuer_of(VaultSettings {
        auth: Auth::Login {
            mount: "cert".into(),
            method: Method::Certificate {
                role: None,
                certificate: path("client.pem"),
                key: Secret::Credential("key".parse().unwrap()),
            },
        },
        ..vault.settings()
    });
    for (file, text, part) in [
        ("", "", "client.pem"),
        ("client.pem", "nothing", "key"),
        ("key", "nothing", "no certificate"),
        ("client.pem", &*certificate, "no unencrypted private key"),
        (
            "key",
            &*other.serialize_pem(),
            "not that of its certificate",
        ),
    ] {
        if !file.is_empty() {
            std::fs::write(path(file), text).unwrap();
        }
        let error = issue(&issuer).await.unwrap_err();
        let told = error.operator_text();
        assert!(told.contains(part), "{part} in {told}");
        assert_eq!(error.retry(), Retry::Operator, "{told}");
    }
    assert_eq!(vault.asked.lock().unwrap().len(), 0);
    std::fs::write(path("key"), own.serialize_pem()).unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(vault.sent("auth/cert/login"), serde_json::json!({}));
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_its_end_is_told_where_it_cannot_be() {
    let secs = Duration::from_secs;
    // What is looked at, what the renewal grants, whether it is asked for, and what is said for a life of an hour.
    for (looked_at, granted_then, renewals, told) in [
        (looked(3000, 3600, true), Some(3600), 0, None),
        (looked(2000, 3600, true), Some(3600), 1, None),
        (looked(2000, 3600, true), Some(2000), 1, Some("33m 20s")),
        (looked(2000, 3600, true), None, 1, Some("33m 20s")),
        (looked(600, 3600, false), None, 0, Some("10m")),
        (looked(90_000, 100_000, false), None, 0, None),
        (looked(20_000, 100_000, false), None, 0, Some("5h 33m 20s")),
        (looked(0, 0, false), None, 0, None),
    ] {
        let vault = Vault::new(move |path, _| match path {
            "auth/token/lookup-self" => Some((OK, "", JSON, looked_at.clone())),
            "auth/token/renew-self" => Some(match granted_then {
                Some(seconds) => (OK, "", JSON, granted(HANDED, seconds)),
                None => errors("400 Bad Request", "lease is not renewable"),
            }),
            _ => None,
        });
        let issuer = vault.handed();
        let server = super::super::Server::new(&issuer.settings).unwrap();
        let ready = issuer.session.token(&server).await.unwrap();
        assert_eq!(vault.count("auth/token/renew-self"), renewals);
        let warning = ready.warning(secs(3600));
        match told {
            None => assert_eq!(warning, None),
            Some(told) => {
                let warning = warning.unwrap();
                assert!(warning.contains(&format!("ends in {told} ")), "{warning}");
                assert!(warning.contains("credential:token"), "{warning}");
            }
        }
        issue(&issuer).await.unwrap();
        let asked = vault.asked.lock().unwrap().join("\n");
        assert!(asked.contains(&format!("x-vault-token: {HANDED}\r\n")));
    }
    // One that may not look at itself may still sign.
    let vault = Vault::new(|path, _| {
        (path == "auth/token/lookup-self").then(|| errors("403 Forbidden", "permission denied"))
    });
    issue(&vault.handed()).await.unwrap();
}

#[tokio::test]
async fn a_token_is_kept_alive_while_no_certificate_is_due() {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let mut told = told;
    let vault = Vault::new(move |path, _| match path {
        "auth/token/lookup-self" => Some((OK, "", JSON, looked(1, 3, true))),
        "auth/token/renew-self" => {
            let _ = tell.send(());
            Some((OK, "", JSON, granted(HANDED, 3)))
        }
        _ => None,
    });
    let issuer = vault.handed();
    issuer.anchors().await.unwrap();
    issuer.anchors().await.unwrap();
    for _ in 0..2 {
        told.recv().await.unwrap();
    }
    assert_eq!(vault.count(SIGN), 0);
}

#[tokio::test]
async fn what_can_be_seen_without_an_issuance_is_told() {
    use Question::{Authenticated, Clock, MayIssue, Reachable};
    let health = |sealed: bool, ahead: i64| {
        let now = jiff::Timestamp::now().as_second() + ahead;
        format!(r#"{{"sealed":{sealed},"version":"2.7.2","server_time_utc":{now}}}"#)
    };
    for (at, told, expected) in [
        (
            "",
            (OK, "", JSON, String::new()),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
        // A server tells its state also where that is bad.
        (
            "sys/health",
            ("503 Service Unavailable", "", JSON, health(true, 0)),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
        (
            "sys/health",
            (OK, "", JSON, health(false, 300)),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::No),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
        (
            "sys/health",
            ("502 Bad Gateway", "", "text/html", "<html>".into()),
            vec![(Reachable, Is::No)],
        ),
        (
            LOGIN,
            errors("400 Bad Request", "invalid role or secret ID"),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::No),
            ],
        ),
        (
            "sys/capabilities-self",
            (OK, "", JSON, format!(r#"{{"data":{{"{SIGN}":["deny"]}}}}"#)),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::No),
            ],
        ),
        (
            "sys/capabilities-self",
            errors("403 Forbidden", "permission denied"),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
    ] {
        let vault = Vault::new(move |path, _| (path == at).then(|| told.clone()));
        let found = vault.issuer().check(&[request(&["a.test"])]).await;
        let seen: Vec<_> = found
            .iter()
            .map(|found| (found.question, found.is))
            .collect();
        assert_eq!(seen, expected, "{at} {found:?}");
        assert_eq!(vault.count(SIGN), 0);
        // Servers have it in the root namespace only.
        let asked = vault.asked.lock().unwrap()[0].clone();
        assert!(asked.contains("/v1/sys/health ") && !asked.contains("x-vault-namespace"));
    }
}
