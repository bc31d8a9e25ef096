//! Who is enrolled by what, and what the server is believed by.

use super::super::super::Reason;
use super::*;

/// What a holder of a certificate for that request has.
fn held(authority: &Authority, request: &Request) -> HeldIdentity {
    let key = key();
    let leaf = authority.sign(&key.request(request).unwrap());
    HeldIdentity {
        not_after: LeafFacts::from_der(&leaf).unwrap().not_after,
        leaf,
        chain: vec![authority.issuing.der().clone()],
        key,
    }
}

#[tokio::test]
async fn a_first_certificate_is_had_by_the_password_and_the_next_by_the_one_before() {
    let ca = Ca::new(|_| None);
    let issuer = ca.issuer();
    let anchors = issuer.anchors().await.unwrap();
    assert_eq!(anchors, [ca.authority.root.der().clone()]);
    let first_key = key();
    let first = bring(&issuer, &request(), &first_key, None).await.unwrap();
    // Which the answer does not bring.
    assert_eq!(first.chain, [ca.authority.issuing.der().clone()]);
    std::fs::remove_file(ca.directory.path().join("password")).unwrap();
    let shown = Fingerprint::of(&first.leaf);
    let held = HeldIdentity {
        not_after: Timestamp::now() + Duration::from_secs(60),
        leaf: first.leaf,
        chain: first.chain,
        key: first_key,
    };
    let next_key = key();
    let next = bring(&issuer, &request(), &next_key, Some(&held))
        .await
        .unwrap();
    let facts = LeafFacts::from_der(&next.leaf).unwrap();
    assert_eq!(facts.key_fingerprint, next_key.fingerprint());
    assert_eq!(ca.operations(), ["simpleenroll", "simplereenroll"]);
    let asked = ca.asked.lock().unwrap();
    assert!(
        asked[1].ends_with(&format!("client: {shown}")),
        "{}",
        asked[1]
    );
    assert!(!asked[1].contains("authorization"), "{}", asked[1]);
}

#[tokio::test]
async fn what_cannot_ask_for_its_successor_is_not_shown() {
    let ca = Ca::new(|_| None);
    let issuer = ca.issuer();
    let mut others = request();
    others.names.push("b.test".parse().unwrap());
    let mut server = request();
    server.usages.client = false;
    let expired = HeldIdentity {
        not_after: Timestamp::now(),
        ..held(&ca.authority, &request())
    };
    for (held, expected) in [
        (expired, "simpleenroll"),
        (held(&ca.authority, &others), "simpleenroll"),
        (held(&ca.authority, &server), "simpleenroll"),
        (held(&ca.authority, &request()), "simplereenroll"),
    ] {
        ca.asked.lock().unwrap().clear();
        bring(&issuer, &request(), &key(), Some(&held))
            .await
            .unwrap();
        assert_eq!(ca.operations(), [expected]);
    }
}

#[tokio::test]
async fn a_renewal_that_is_refused_becomes_an_enrolment_and_one_that_cannot_be_had_now_does_not() {
    for (status, enrolled) in [
        ("400 Bad Request", true),
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("404 Not Found", true),
        ("429 Too Many Requests", false),
        ("503 Service Unavailable", false),
        ("202 Accepted", false),
    ] {
        let ca = Ca::new(move |operation| match operation {
            "simplereenroll" => told(status, "", "no"),
            _ => None,
        });
        let held = held(&ca.authority, &request());
        let outcome = bring(&ca.issuer(), &request(), &key(), Some(&held)).await;
        assert_eq!(outcome.is_ok(), enrolled, "{status}");
        let expected: &[&str] = match enrolled {
            true => &["simplereenroll", "simpleenroll"],
            false => &["simplereenroll"],
        };
        assert_eq!(ca.operations(), expected, "{status}");
    }
    // Where it is about to end, trouble at the CA is not waited for; that it has to decide is.
    for (status, enrolled) in [
        ("500 Internal Server Error", true),
        ("503 Service Unavailable", true),
        ("302 Found", true),
        ("204 No Content", true),
        ("429 Too Many Requests", false),
        ("202 Accepted", false),
        ("200 OK", false),
    ] {
        let ca = Ca::new(move |operation| match operation {
            "simplereenroll" => told(status, "", "no"),
            _ => None,
        });
        let held = HeldIdentity {
            not_after: Timestamp::now() + Duration::from_secs(60),
            ..held(&ca.authority, &request())
        };
        let outcome = bring(&ca.issuer(), &request(), &key(), Some(&held)).await;
        assert_eq!(outcome.is_ok(), enrolled, "{status}: {outcome:?}");
        if !enrolled {
            continue;
        }
        // Without a password, the renewal is what is tried again, with the same request.
        std::fs::remove_file(ca.directory.path().join("password")).unwrap();
        let error = bring(&ca.issuer(), &request(), &key(), Some(&held)).await;
        let error = error.unwrap_err();
        assert_eq!((error.retry(), error.sent()), (Retry::BackOff, Sent::Open));
        let text = error.operator_text();
        assert!(
            text.contains("/simplereenroll") || text.contains(status),
            "{text}"
        );
        assert!(
            text.contains("enrolled anew") && text.contains("is not there"),
            "{text}"
        );
    }
    // As is one that is refused in the handshake: it is another CA's.
    let ca = Ca::new(|_| None);
    let held = held(&Authority::new("other"), &request());
    bring(&ca.issuer(), &request(), &key(), Some(&held))
        .await
        .unwrap();
    assert_eq!(ca.operations(), ["simpleenroll"]);
}

#[tokio::test]
async fn a_password_that_was_not_accepted_is_not_sent_again_until_it_is_another_one() {
    let ca = Ca::new(|_| None);
    let put = |password: &str| {
        std::fs::write(ca.directory.path().join("password"), password).unwrap();
    };
    let sent = || ca.operations().len();
    put("wrong\n");
    let issuer = ca.issuer();
    let first = issue(&issuer).await.unwrap_err();
    let second = issue(&issuer).await.unwrap_err();
    assert_eq!(sent(), 1);
    assert_eq!(first.operator_text(), second.operator_text());
    assert_eq!(second.retry(), Retry::Operator);
    // A line's end is no part of it; an issuer that is made anew knows nothing of it.
    put("wrong");
    issue(&issuer).await.unwrap_err();
    assert_eq!(sent(), 1);
    issue(&ca.issuer()).await.unwrap_err();
    assert_eq!(sent(), 2);
    put(PASSWORD);
    issue(&issuer).await.unwrap();
    assert_eq!(sent(), 3);
}

#[tokio::test]
async fn a_request_that_is_decided_on_outlives_what_fails_in_between() {
    let ca = Ca::new(|_| None);
    let password = ca.directory.path().join("password");
    let mut settings = ca.settings();
    settings.bootstrap = Some(Bootstrap {
        certificate: ca.directory.path().join("bootstrap.pem"),
        key: ca.secret("password"),
    });
    let no_bootstrap = issue(&ca.with(settings)).await.unwrap_err();
    std::fs::rename(&password, ca.directory.path().join("away")).unwrap();
    let no_password = issue(&ca.issuer()).await.unwrap_err();
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(ca.directory.path().join("issuer/anchors.pem"), open).unwrap();
    let open_to_others = issue(&ca.issuer()).await.unwrap_err();
    let away = EstSettings {
        base: "https://localhost:1/.well-known/est".into(),
        trust: Some(Trust::System),
        ..ca.settings()
    };
    let away = issue(&ca.with(away)).await.unwrap_err();
    let labels = [no_bootstrap, no_password, open_to_others, away].map(|error| {
        assert_eq!(error.sent(), Sent::Open, "{error}");
        error.label()
    });
    let [bootstrap, secret, _, unreachable] = labels;
    assert_eq!(
        [bootstrap, secret, unreachable],
        ["est-bootstrap", "est-secret", "https-unreachable"]
    );
    // Where it is refused, it is another one that is brought next.
    for refused in ["cacerts", "simpleenroll"] {
        let ca = Ca::new(move |operation| match operation {
            at if at == refused => told("403 Forbidden", "", ""),
            _ => None,
        });
        let error = issue(&ca.issuer()).await.unwrap_err();
        assert_eq!(error.sent() == Sent::Refused, refused == "simpleenroll");
    }
}

#[tokio::test]
async fn a_bootstrap_certificate_is_as_good_as_a_password() {
    let ca = Ca::new(|_| None);
    let held = held(&ca.authority, &request());
    let mut settings = ca.settings();
    let certificate = ca.directory.path().join("bootstrap.pem");
    settings.login = None;
    settings.bootstrap = Some(Bootstrap {
        certificate: certificate.clone(),
        // Closed already.
        key: ca.secret("password"),
    });
    let issuer = ca.with(settings);
    let text = issue(&issuer).await.unwrap_err().operator_text();
    assert!(
        text.contains("bootstrap.pem cannot be used: No such file"),
        "{text}"
    );
    let chain = [held.leaf.clone(), held.chain[0].clone()];
    std::fs::write(&certificate, pem::certificates(&chain)).unwrap();
    let text = issue(&issuer).await.unwrap_err().operator_text();
    assert!(
        text.contains("no unencrypted private key") && !text.contains(PASSWORD),
        "{text}"
    );
    std::fs::write(
        ca.directory.path().join("password"),
        held.key.pem().as_str(),
    )
    .unwrap();
    issue(&issuer).await.unwrap();
    let asked = ca.asked.lock().unwrap();
    let shown = Fingerprint::of(&held.leaf);
    assert!(
        asked[0].ends_with(&format!("client: {shown}")),
        "{}",
        asked[0]
    );
}

#[tokio::test]
async fn what_the_ca_told_of_its_roots_verifies_its_server_from_then_on() {
    // The CA says that the server's root is its own, too, as one does whose root is about to change.
    let own = Arc::new(Mutex::new(Vec::<CertificateDer<'static>>::new()));
    let tells = Arc::clone(&own);
    let ca = Ca::new(move |operation| {
        let body = || body::encode(&pkcs7(&tells.lock().unwrap()));
        (operation == "cacerts").then(|| ("200 OK", "", body().into_bytes()))
    });
    *own.lock().unwrap() = [
        &https::anchors(&ca.server.ca()).unwrap()[..],
        &ca.authority.certificates(),
    ]
    .concat();
    let elsewhere = Ca::new(|_| None);
    let with = |label: &str, trust: Option<Trust>, of: &Ca| EstSettings {
        base: ca.settings().base + label,
        ca: of.server.ca(),
        trust,
        ..ca.settings()
    };
    let anchors = ca.with(with("", None, &ca)).anchors().await.unwrap();
    assert_eq!(anchors.len(), 2);
    // After a restart, with a `ca` that is not the server's.
    let issuer = ca.with(with("", None, &elsewhere));
    issue(&issuer).await.unwrap();
    assert_eq!(issuer.anchors().await.unwrap().len(), 2);
    // But not for another CA, nor where the operator says what to trust.
    let pinned = Some(ca.server.ca());
    for settings in [
        with("/label", None, &elsewhere),
        with("", pinned, &elsewhere),
    ] {
        let text = issue(&ca.with(settings)).await.unwrap_err().operator_text();
        assert!(text.contains("was refused: UnknownIssuer"), "{text}");
    }
}

#[tokio::test]
async fn what_can_be_found_without_an_enrolment_is_found() {
    let ca = Ca::new(|_| None);
    let findings = ca.issuer().check(&[request()]).await;
    let questions: Vec<Question> = findings.iter().map(|finding| finding.question).collect();
    assert_eq!(questions, Question::ALL);
    assert_eq!(findings[0].text, "2 CA certificates");
    std::fs::remove_file(ca.directory.path().join("password")).unwrap();
    let findings = ca.issuer().check(&[request()]).await;
    assert!(
        findings[3].text.contains("password is not there"),
        "{findings:?}"
    );
    assert_eq!(ca.operations(), Vec::<String>::new());
    let leaf = ca.authority.root.der();
    let error = ca
        .issuer()
        .revoke(Revocation {
            leaf,
            reason: Reason::Unspecified,
            identity: None,
        })
        .await;
    assert!(
        error
            .unwrap_err()
            .operator_text()
            .contains("revoke it at the CA")
    );
}
