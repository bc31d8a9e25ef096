//! Logins and secrets that are refused: how often, for whom, and until when.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

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
