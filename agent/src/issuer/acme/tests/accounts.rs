//! Accounts: what the CA is told, and those that it does not know any more.

use serde_json::json;

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

#[tokio::test]
async fn the_ca_is_told_where_it_may_write_to_and_once_when_that_changes() {
    let ca = Ca::new(|path| {
        (path == "/account/1").then_some(("200 OK", "", JSON, r#"{"status":"valid"}"#))
    });
    let told = |path: &str| {
        let said = ca.said.lock().unwrap();
        let said = said.iter().filter(|said| said.0 == path);
        let said = said.map(|(_, text)| serde_json::from_str::<serde_json::Value>(text).unwrap());
        said.map(|said| said["contact"].clone()).collect::<Vec<_>>()
    };
    let order = async |contact: &[&str]| {
        let mut issuer = ca.issuer();
        issuer.settings.contact = contact.iter().map(|&one| one.to_owned()).collect();
        // So far it comes, and no further.
        let error = issue(&issuer).await.unwrap_err();
        assert!(error.to_string().contains("a challenge"), "{error}");
    };
    order(&["mailto:a@a.test"]).await;
    order(&["mailto:a@a.test"]).await;
    assert_eq!(told("/account"), [json!(["mailto:a@a.test"])]);
    assert_eq!(told("/account/1"), [json!(null); 0]);
    let both = ["mailto:a@a.test", "mailto:b@a.test"];
    for _ in 0..2 {
        order(&both).await;
        assert_eq!(told("/account/1"), [json!(both)]);
    }
    for _ in 0..2 {
        order(&[]).await;
        assert_eq!(told("/account/1"), [json!(both), json!([])]);
    }
    assert_eq!(ca.count("/account"), 1);
}

const CHANGES: &str = r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order","keyChange":"BASE/change","meta":{}}"#;

/// The file of the account, and the key in it and beside it.
fn keys(ca: &Ca) -> (Option<String>, Option<String>) {
    let kept = std::fs::read_dir(ca.directory.path().join("issuer")).unwrap();
    let mut files = kept.map(|entry| entry.unwrap().path());
    let file = files.find(|file| file.to_str().unwrap().contains("account-"));
    let text = std::fs::read_to_string(file.unwrap()).unwrap();
    let known: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = |of: &str| known[of]["key_pkcs8"].as_str().map(str::to_owned);
    (key("credentials"), key("next"))
}

/// A CA that answers so to a change of keys, and so to the question for an account.
fn changing(change: Told, known: Told) -> Ca {
    let accounts = AtomicUsize::new(0);
    Ca::new(move |path| match path {
        "/directory" => Some(("200 OK", "", JSON, CHANGES)),
        "/change" => Some(change),
        "/account" if accounts.fetch_add(1, Ordering::Relaxed) > 0 => Some(known),
        _ => None,
    })
}

const DONE: Told = ("200 OK", "", JSON, "{}");
const KNOWN: Told = ("200 OK", "location: BASE/account/1\r\n", JSON, "{}");
const UNKNOWN: Told = (
    "400 Bad Request",
    "",
    PROBLEM,
    r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#,
);

#[tokio::test]
async fn a_key_is_changed_by_a_request_that_both_sign() {
    let ca = changing(DONE, KNOWN);
    let _ = ca.refused().await;
    let (old, none) = keys(&ca);
    assert_eq!(none, None);
    ca.issuer().rollover().await.unwrap();
    let (new, none) = keys(&ca);
    assert!(new != old && new.is_some() && none.is_none());
    let said = ca.said.lock().unwrap();
    let (_, inner) = said.iter().find(|said| said.0 == "/change").unwrap();
    let inner: serde_json::Value = serde_json::from_str(inner).unwrap();
    let part = |name: &str| {
        let text = inner[name].as_str().unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
    };
    let (protected, payload) = (part("protected"), part("payload"));
    assert!(
        protected["nonce"].is_null() && protected["url"].as_str().unwrap().ends_with("/change")
    );
    assert!(payload["account"].as_str().unwrap().ends_with("/account/1"));
    assert_ne!(protected["jwk"], payload["oldKey"]);
}

#[tokio::test]
async fn after_a_lost_answer_the_ca_is_asked_which_key_it_goes_by_and_none_is_lost() {
    let lost = (
        "500 Internal Server Error",
        "",
        PROBLEM,
        r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#,
    );
    for (known, taken) in [(KNOWN, true), (UNKNOWN, false)] {
        let ca = changing(lost, known);
        let _ = ca.refused().await;
        let (old, _) = keys(&ca);
        ca.issuer().rollover().await.unwrap_err();
        let (first, next) = keys(&ca);
        assert!(first == old && next.is_some(), "both are kept");
        let _ = ca.refused().await;
        let settled = if taken { next } else { old };
        assert_eq!(keys(&ca), (settled, None));
    }
}

#[tokio::test]
async fn a_ca_that_changes_no_keys_says_so_and_the_key_stays() {
    let none = ("501 Not Implemented", "", "text/plain", "");
    let refused = (
        "403 Forbidden",
        "",
        PROBLEM,
        r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"no"}"#,
    );
    for (told, part) in [
        (none, "cannot give an account another key"),
        (refused, "no (unauthorized)"),
    ] {
        let ca = changing(told, UNKNOWN);
        let _ = ca.refused().await;
        let before = keys(&ca);
        let error = ca.issuer().rollover().await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(keys(&ca), before);
    }
    // Nor one whose directory has no address for it.
    let ca = Ca::new(|_| None);
    let error = ca.issuer().rollover().await.unwrap_err();
    assert_eq!(error.label(), "acme-no-rollover");
}
