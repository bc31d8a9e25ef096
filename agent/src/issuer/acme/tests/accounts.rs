//! Accounts that the CA does not know any more.

use super::*;

#[tokio::test]
async fn an_account_that_the_ca_does_not_know_any_more_is_put_aside() {
    let ca = Ca::new(|path| {
        (path == "/order").then_some((
            "400 Bad Request",
            "",
            PROBLEM,
            r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"unknown"}"#,
        ))
    });
    let kept = ca.directory.path().join("issuer");
    let aside = |file: &str| std::fs::read_to_string(kept.join(file)).ok();
    let files = || {
        let kept = std::fs::read_dir(&kept).unwrap();
        let files = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = files.filter(|file| file.starts_with("account-")).collect();
        files.sort();
        files
    };
    let error = ca.refused().await;
    assert!(error.to_string().contains("accountDoesNotExist"), "{error}");
    // Once in an hour, and not over and over.
    let _ = ca.refused().await;
    assert_eq!(ca.count("/account"), 2);
    let [account, unknown] = files().try_into().unwrap();
    assert_eq!(unknown, format!("{account}.unknown"));
    let first = aside(&unknown).unwrap();
    // An hour later.
    let text = aside(&account).unwrap();
    let mut known: serde_json::Value = serde_json::from_str(&text).unwrap();
    known["made"] = "2020-01-01T00:00:00Z".into();
    std::fs::write(kept.join(&account), known.to_string()).unwrap();
    let _ = ca.refused().await;
    assert_eq!(ca.count("/account"), 3);
    assert_eq!(aside(&unknown), Some(first), "the first key is never lost");
    assert_eq!(files().len(), 3);
}

#[tokio::test]
async fn an_account_that_took_the_place_of_the_refused_one_is_not_put_aside() {
    let accounts = AtomicUsize::new(0);
    let ca = Ca::new(move |path| {
        let one = path == "/account" && accounts.fetch_add(1, Ordering::Relaxed) == 0;
        one.then_some(("201 Created", "location: BASE/account/old\r\n", JSON, "{}"))
    });
    let issuer = ca.issuer();
    let transport = issuer.transport().unwrap();
    let old = issuer.accounts.open(&issuer, &transport).await.unwrap();
    // Two orders in flight are told so.
    for _ in 0..2 {
        assert!(issuer.accounts.forget(&issuer, old.id()).await.unwrap());
        let new = issuer.accounts.open(&issuer, &transport).await.unwrap();
        assert_ne!(new.id(), old.id());
    }
    assert_eq!(ca.count("/account"), 2);
}
