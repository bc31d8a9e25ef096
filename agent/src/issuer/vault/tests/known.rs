//! How we are known to the server, and for how long.

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
    // A policy is missing: one login more shows that it is not the token, and that is known then.
    *refused.lock().unwrap() = 3;
    let error = issue(&issuer).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Operator, "{error}");
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (3, 6));
    issue(&issuer).await.unwrap_err();
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (3, 7));
    // An operator who looks at it has changed something: it is tried out once more.
    issuer.check(&[]).await;
    *refused.lock().unwrap() = 1;
    issue(&issuer).await.unwrap();
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (4, 9));
    // And a fresh one needs none.
    *refused.lock().unwrap() = 2;
    let issuer = vault.issuer();
    issue(&issuer).await.unwrap_err();
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (5, 10));
    // What it was denied, another one would be denied, too.
    issue(&issuer).await.unwrap_err();
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (5, 11));
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
        // Files are replaced one after the other; what systemd gives at the start is not.
        let retry = match part {
            "key" => Retry::Operator,
            _ => Retry::BackOff,
        };
        assert_eq!(error.retry(), retry, "{told}");
    }
    assert_eq!(vault.asked.lock().unwrap().len(), 0);
    std::fs::write(path("key"), own.serialize_pem()).unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(vault.sent("auth/cert/login"), serde_json::json!({}));
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_its_end_is_told_where_it_cannot_be() {
    let secs = Duration::from_secs;
    let with = |looked: String, more: Value| {
        let mut looked: Value = serde_json::from_str(&looked).unwrap();
        let more = more.as_object().unwrap().clone();
        looked["data"].as_object_mut().unwrap().extend(more);
        looked.to_string()
    };
    let period = |seconds: u64| serde_json::json!({ "period": seconds });
    let renewed = |life: i64| {
        serde_json::json!({
            "issue_time": "2026-01-01T00:00:00Z",
            "last_renewal": "2026-02-01T00:00:00.5Z",
            "expire_time": format!("2026-02-01T{:02}:00:00.5Z", life / 3600),
        })
    };
    let ending = serde_json::json!({ "expire_time": "2026-01-01T00:00:00Z" });
    // What is looked at, what the renewal grants, whether it is asked for, and what is said for a life of an hour.
    for (looked_at, granted_then, renewals, told) in [
        (looked(3000, 3600, true), Some(3600), 0, None),
        (looked(2000, 3600, true), Some(3600), 1, None),
        (looked(2000, 3600, true), Some(2000), 1, Some("33m 20s")),
        (looked(2000, 3600, true), None, 1, Some("33m 20s")),
        (looked(600, 3600, false), None, 0, Some("10m")),
        (looked(90_000, 100_000, false), None, 0, None),
        (looked(20_000, 100_000, false), None, 0, Some("5h 33m 20s")),
        // Only one that was made without an end has none.
        (looked(0, 0, false), None, 0, None),
        (looked(0, 3600, false), None, 0, Some("0s")),
        (looked(0, 3600, true), Some(3600), 1, None),
        (with(looked(0, 0, false), ending), None, 0, Some("0s")),
        // Made with more or less than each renewal gives.
        (
            with(looked(1000, 90_000, true), period(3600)),
            Some(3600),
            1,
            None,
        ),
        (
            with(looked(3000, 90_000, true), period(3600)),
            None,
            0,
            None,
        ),
        (
            with(looked(3000, 600, true), period(36_000)),
            Some(36_000),
            1,
            None,
        ),
        (
            with(looked(7000, 90_000, true), renewed(7200)),
            None,
            0,
            None,
        ),
        (
            with(looked(2000, 90_000, true), renewed(7200)),
            Some(7200),
            1,
            None,
        ),
    ] {
        let text = looked_at.clone();
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
        assert_eq!(vault.count("auth/token/renew-self"), renewals, "{text}");
        let warning = issuer.session.warning(&ready, secs(3600));
        match told {
            None => assert_eq!(warning, None, "{text}"),
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
}

#[tokio::test]
async fn a_token_that_came_to_its_longest_life_is_told_of_after_another_look_too_until_it_is_another_one()
 {
    let left = Arc::new(Mutex::new(2000));
    let seen = Arc::clone(&left);
    let vault = Vault::new(move |path, _| {
        let left = *seen.lock().unwrap();
        match path {
            "auth/token/lookup-self" => {
                let now = jiff::Timestamp::now();
                let data = serde_json::json!({
                    "ttl": left, "creation_ttl": 3600, "renewable": true, "last_renewal": now,
                    "expire_time": now + jiff::SignedDuration::from_secs(left),
                });
                let first = looked(2000, 3600, true);
                let body = if left == 2000 {
                    first
                } else {
                    super::data(data)
                };
                Some((OK, "", JSON, body))
            }
            "auth/token/renew-self" => Some((OK, "", JSON, granted(HANDED, 1990))),
            _ => None,
        }
    });
    let issuer = vault.handed();
    let server = super::super::Server::new(&issuer.settings).unwrap();
    let warned = async || {
        let ready = issuer.session.token(&server).await.unwrap();
        issuer.session.warning(&ready, WHOLE_LIFE).is_some()
    };
    assert!(warned().await);
    *left.lock().unwrap() = 1980;
    assert!(warned().await);
    assert_eq!(vault.count("auth/token/renew-self"), 1);
    std::fs::write(vault.directory.path().join("token"), "s.another").unwrap();
    assert!(!warned().await);
}

#[tokio::test]
async fn a_token_that_may_not_look_at_itself_is_renewed_all_the_same_and_told_of_once() {
    let denied = || errors("403 Forbidden", "permission denied");
    for (renewal, told, known) in [
        ((OK, "", JSON, granted(HANDED, 3600)), "all the same", true),
        (
            errors("400 Bad Request", "lease is not renewable"),
            "cannot be renewed",
            true,
        ),
        // It may sign yet.
        (denied(), "cannot be renewed", false),
    ] {
        let vault = Vault::new(move |path, _| match path {
            "auth/token/lookup-self" => Some(denied()),
            "auth/token/renew-self" => Some(renewal.clone()),
            _ => None,
        });
        let issuer = vault.handed();
        let server = super::super::Server::new(&issuer.settings).unwrap();
        let ready = issuer.session.token(&server).await.unwrap();
        assert_eq!(vault.count("auth/token/renew-self"), 1);
        let warning = issuer.session.warning(&ready, WHOLE_LIFE).unwrap();
        assert!(
            warning.contains(told) && warning.contains("lookup-self"),
            "{warning}"
        );
        assert_eq!(issuer.session.warning(&ready, WHOLE_LIFE), None);
        issue(&issuer).await.unwrap();
        assert_eq!(issuer.session.prove(&server).await.is_ok(), known);
    }
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
