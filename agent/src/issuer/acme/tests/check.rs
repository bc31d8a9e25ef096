//! What is found of a CA, and of what it needs here, without an order.

use std::os::unix::fs::PermissionsExt as _;

use super::super::super::{Is, Question};
use super::super::dns01::Update;
use super::*;

/// What is found of one question.
async fn found(issuer: &AcmeIssuer, question: Question) -> (Is, String) {
    let found = issuer.check(&[]).await;
    let mut found = found.into_iter().filter(|one| one.question == question);
    let one = found.next().unwrap();
    (one.is, one.text)
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_found_before_it_is_needed_and_never_told() {
    const CANARY: &str = "!canary!";
    let ca = Ca::new(|_| None);
    let path = ca.directory.path().join("secret");
    let place = Secret::File(path.clone());
    let open = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    let mut external = ca.issuer();
    external.settings.external_account = Some(ExternalAccount {
        key_id: "kid-1".to_owned(),
        key: place.clone(),
    });
    let update = Dns01 {
        by: By::Update(Update {
            server: "127.0.0.1:1".to_owned(),
            zone: None,
            key_name: "renewd".to_owned(),
            key: place,
            algorithm: TsigAlgorithm::HmacSha256,
        }),
        wait: Duration::ZERO,
    };
    let update = ca.issuer_by(Challenge::Dns01(update));
    let both = [
        (&external, Question::Authenticated, "eab_key"),
        (&update, Question::MayIssue, "tsig_key"),
    ];
    for (text, mode, wanted) in [
        (None, 0, Some("is not there")),
        (Some("c2VjcmV0"), 0o644, Some("others may read")),
        (Some(CANARY), 0o600, Some("is no base64")),
        (Some("c2VjcmV0"), 0o600, None),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
            open(mode).unwrap();
        }
        for (issuer, question, key) in both {
            let (is, told) = found(issuer, question).await;
            match wanted {
                Some(wanted) => {
                    assert_eq!(is, Is::No, "{told}");
                    let place = path.display().to_string();
                    for part in [key, wanted, &place] {
                        assert!(told.contains(part), "{part} in {told}");
                    }
                }
                None => assert_eq!(is, Is::Unknown, "{told}"),
            }
            assert!(
                !told.contains(CANARY) && !told.contains("c2VjcmV0"),
                "{told}"
            );
        }
    }
    // The account is there, and only another one would need it.
    external.settings.external_account = None;
    issue(&external).await.unwrap_err();
    external.settings.external_account = Some(ExternalAccount {
        key_id: "kid-1".to_owned(),
        key: Secret::File("/nowhere/secret".into()),
    });
    let (is, told) = found(&external, Question::Authenticated).await;
    assert_eq!(is, Is::Yes, "{told}");
    assert!(told.contains("/nowhere/secret is not there"), "{told}");
}

#[tokio::test]
async fn whether_the_ca_knows_the_account_is_asked_without_making_one() {
    let gone = r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#;
    let barred = r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"deactivated"}"#;
    for (answer, is, part) in [
        (None, Is::Yes, "knows the account"),
        (
            Some(("400 Bad Request", "", PROBLEM, gone)),
            Is::Unknown,
            "another one",
        ),
        (
            Some(("401 Unauthorized", "", PROBLEM, barred)),
            Is::No,
            "closed the account",
        ),
        (
            Some(("502 Bad Gateway", "", "text/html", "<html>")),
            Is::Unknown,
            "502",
        ),
    ] {
        let made = AtomicUsize::new(0);
        let ca = Ca::new(move |path| {
            let again = path == "/account" && made.fetch_add(1, Ordering::Relaxed) > 0;
            answer.filter(|_| again)
        });
        let issuer = ca.issuer();
        issue(&issuer).await.unwrap_err();
        let (told, text) = found(&issuer, Question::Authenticated).await;
        assert_eq!(told, is, "{text}");
        assert!(text.contains(part), "{text}");
        let said = ca.said.lock().unwrap();
        let asked: Vec<_> = said.iter().filter(|said| said.0 == "/account").collect();
        assert_eq!(asked.len(), 2);
        assert!(
            asked[1].1.contains("\"onlyReturnExisting\":true"),
            "{}",
            asked[1].1
        );
    }
}
