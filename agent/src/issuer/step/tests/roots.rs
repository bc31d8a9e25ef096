//! The pinned root: fetched once, compared, and kept.

use super::*;

/// With the root that the server stands for, or another, pinned by its digest.
fn pinned(ca: &Ca, other: bool) -> StepSettings {
    let own = std::fs::read_to_string(ca.server.directory.path().join("ca.pem")).unwrap();
    let own = pem::parse_certificates(&own).unwrap();
    let print = match other {
        true => Fingerprint::of(ca.root.der()),
        false => Fingerprint::of(&own[0]),
    };
    StepSettings {
        root: Root::Fingerprint(print),
        ..ca.settings()
    }
}

#[tokio::test]
async fn a_pinned_root_is_fetched_once_and_all_that_follows_is_verified_by_it() {
    let ca = Ca::new(|_| None);
    let settings = pinned(&ca, false);
    let directory = ca.directory.path().join("issuer");
    assert!(StepIssuer::root_pem(&directory, &settings).is_err());
    let anchors = ca.issuer(settings.clone()).anchors().await.unwrap();
    // The pinned one, and what it names beside it, each once.
    assert_eq!(anchors.len(), 2);
    assert_eq!(anchors[1], *ca.root.der());
    let federated = StepSettings {
        federation: true,
        ..settings.clone()
    };
    let asked = |path: &str| {
        ca.asked
            .lock()
            .unwrap()
            .iter()
            .any(|(asked, _)| asked == path)
    };
    assert!(
        !asked("/1.0/federation"),
        "only where the operator wants it"
    );
    let all = ca.issuer(federated).anchors().await.unwrap();
    assert_eq!((all.len(), &all[..2]), (3, &anchors[..]));
    // After a restart nobody is asked without being verified.
    order(&ca.issuer(settings.clone()), &request(&["a.test"]), None)
        .await
        .unwrap();
    let ways = ca.ways();
    let fetched = ways.iter().filter(|path| path.starts_with("/root/"));
    assert_eq!(fetched.count(), 1, "{ways:?}");
    let shown = StepIssuer::root_pem(&directory, &settings).unwrap();
    assert_eq!(shown, pem::certificate(&anchors[0]));
    // What is kept is believed for its digest alone.
    let kept = directory.join("root.pem");
    for damage in [ca.root.pem().as_bytes(), b"\xff", &[b'#'; 70_000]] {
        std::fs::write(&kept, damage).unwrap();
        ca.issuer(settings.clone()).anchors().await.unwrap();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), shown);
    }
}

#[tokio::test]
async fn a_root_of_another_digest_is_not_believed_and_the_ca_is_asked_nothing_more() {
    let ca = Ca::new(|_| None);
    let issuer = ca.issuer(pinned(&ca, true));
    let error = order(&issuer, &request(&["a.test"]), None)
        .await
        .unwrap_err();
    let text = error.operator_text();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1800)));
    assert!(
        text.contains("has no root") && text.contains("`fingerprint`"),
        "{text}"
    );
    assert_eq!(ca.ways().len(), 1);
    assert!(!ca.directory.path().join("issuer/root.pem").exists());
    // As a CA says that has none of it.
    for body in [
        "404 page not found",
        r#"{"status":404,"message":"not found"}"#,
    ] {
        let ca = Ca::new(move |path| {
            path.starts_with("/root/")
                .then_some(("404 Not Found", "", "application/json", body))
        });
        let error = ca.issuer(pinned(&ca, false)).anchors().await.unwrap_err();
        assert_eq!(error.label(), "step-root", "{error}");
    }
}

#[tokio::test]
async fn a_server_that_the_pinned_root_does_not_stand_for_is_given_nothing() {
    let ca = Ca::new(|_| None);
    ca.put("other.pem", &ca.root.pem());
    let settings = StepSettings {
        root: Root::File(ca.directory.path().join("other.pem")),
        ..ca.settings()
    };
    let error = order(&ca.issuer(settings), &request(&["a.test"]), None).await;
    let text = error.unwrap_err().operator_text();
    assert!(
        text.contains("UnknownIssuer") && text.contains("has a new root"),
        "{text}"
    );
    assert!(ca.asked.lock().unwrap().is_empty());
}
