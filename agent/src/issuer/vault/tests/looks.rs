//! What a server tells without an issuance, and what is bounded in time.

use std::sync::mpsc;

use super::*;

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
            "pki/int/issuer/default/json",
            errors("404 Not Found", ""),
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

#[tokio::test]
async fn a_token_is_proved_and_not_only_there() {
    let ended = Arc::new(Mutex::new(false));
    let state = Arc::clone(&ended);
    let vault = Vault::new(move |path, request| {
        let ended = *state.lock().unwrap();
        (path.starts_with("auth/token/") && ended && !request.contains("s.another"))
            .then(|| errors("403 Forbidden", "permission denied"))
    });
    let authenticated = async |issuer: &VaultIssuer| {
        let found = issuer.check(&[]).await;
        let of = |found: &&Finding| found.question == Question::Authenticated;
        found.iter().find(of).unwrap().clone()
    };
    let (handed, login) = (vault.handed(), vault.issuer());
    assert_eq!(authenticated(&handed).await.is, Is::Yes);
    assert_eq!(authenticated(&login).await.is, Is::Yes);
    assert_eq!(authenticated(&login).await.is, Is::Yes);
    assert_eq!(vault.count(LOGIN), 1);
    *ended.lock().unwrap() = true;
    let found = authenticated(&handed).await;
    assert_eq!(found.is, Is::No, "{found:?}");
    assert!(
        found
            .text
            .contains("\"auth/token/lookup-self\" { capabilities = [\"read\"] }"),
        "{found:?}"
    );
    // A login proves itself.
    assert_eq!(authenticated(&login).await.is, Is::Yes);
    assert_eq!(vault.count(LOGIN), 2);
}

#[tokio::test]
async fn a_look_and_a_revocation_end_in_time() {
    let (_held, hanging) = mpsc::channel::<()>();
    let hanging = Mutex::new(hanging);
    let vault = Vault::new(move |path, _| {
        if path == LOGIN {
            let _ = hanging.lock().unwrap().recv();
        }
        None
    });
    let mut issuer = vault.issuer();
    issuer.whole = Duration::from_millis(500);
    let found = issuer.check(&[]).await;
    let last = found.last().unwrap();
    assert_eq!(
        (found.len(), last.question, last.is),
        (3, Question::Authenticated, Is::No)
    );
    assert!(last.text.contains("did not finish in time"), "{last:?}");
    let leaf = pki::parsed([&Ca::new().leaf()]).unwrap().remove(0);
    let revocation = Revocation {
        leaf: &leaf,
        reason: Reason::Superseded,
        identity: None,
    };
    let error = issuer.revoke(revocation).await.unwrap_err();
    assert_eq!(
        (error.label(), error.retry()),
        ("vault-late", Retry::BackOff)
    );
}
