//! Which way is gone to the next certificate.

use super::*;

const REFUSED: Told = (
    "401 Unauthorized",
    "",
    "application/json",
    r#"{"status":401,"message":"certificate has been revoked"}"#,
);
const BROKEN: Told = (
    "500 Internal Server Error",
    "",
    "application/json",
    r#"{"status":500,"message":"database is locked"}"#,
);

/// Short for the paths.
fn short(ways: &[String]) -> Vec<&str> {
    ways.iter()
        .map(|path| path.rsplit('/').next().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_held_is_renewed_by_itself_unless_it_is_not_what_is_asked_for() {
    let hour = SignedDuration::from_mins(40);
    let ca = Ca::new(|_| None);
    let other = authority("another CA");
    let mut of_another_life = request(&["a.test"]);
    of_another_life.lifetime = Duration::from_secs(86_400);
    for (why, held, asked, with_a_key, way) in [
        (
            "as it is",
            ca.held(&["a.test"], hour),
            request(&["a.test"]),
            false,
            "rekey",
        ),
        (
            "in another order",
            ca.held(&["b.test", "a.test"], hour),
            request(&["a.test", "b.test"]),
            true,
            "rekey",
        ),
        (
            "of which the clock here says that it has not begun",
            ca.held(&["a.test"], SignedDuration::from_hours(2)),
            request(&["a.test"]),
            true,
            "rekey",
        ),
        (
            "other names",
            ca.held(&["a.test", "b.test"], hour),
            request(&["a.test"]),
            false,
            "sign",
        ),
        (
            "another CA's",
            held_of(&other, &["a.test"], hour),
            request(&["a.test"]),
            false,
            "sign",
        ),
        (
            "another life",
            ca.held(&["a.test"], hour),
            of_another_life.clone(),
            true,
            "sign",
        ),
        (
            "another life, and the token is used up",
            ca.held(&["a.test"], hour),
            of_another_life,
            false,
            "rekey",
        ),
    ] {
        ca.asked.lock().unwrap().clear();
        let issuer = match with_a_key {
            true => ca.with_a_key(),
            false => ca.issuer(ca.settings()),
        };
        order(&issuer, &asked, Some(&held)).await.unwrap();
        assert_eq!(short(&ca.ways()), [way], "{why}");
    }
}

#[tokio::test]
async fn where_the_ca_will_not_renew_a_new_token_begins_anew_and_where_it_cannot_it_is_waited_for()
{
    let left = SignedDuration::from_mins(40);
    let refusing = || Ca::new(|path| (path == "/1.0/rekey").then_some(REFUSED));
    let ca = refusing();
    let held = ca.held(&["a.test"], left);
    order(&ca.with_a_key(), &request(&["a.test"]), Some(&held))
        .await
        .unwrap();
    assert_eq!(short(&ca.ways()), ["rekey", "sign"]);

    // Without one, both are told; and the renewal may yet succeed.
    ca.provide("");
    let error = order(
        &ca.issuer(ca.settings()),
        &request(&["a.test"]),
        Some(&held),
    )
    .await;
    let error = error.unwrap_err();
    let text = error.operator_text();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1800)));
    for part in [
        "refused a renewal: certificate has been revoked (401",
        "holds no token",
        "step ca token",
    ] {
        assert!(text.contains(part), "{text}");
    }

    // The place of a token that is not there is told, too.
    std::fs::remove_file(ca.directory.path().join("token")).unwrap();
    let error = order(
        &ca.issuer(ca.settings()),
        &request(&["a.test"]),
        Some(&held),
    )
    .await;
    let text = error.unwrap_err().operator_text();
    assert!(text.contains("token cannot be read: /"), "{text}");

    let ca = Ca::new(|path| (path == "/1.0/rekey").then_some(BROKEN));
    let held = ca.held(&["a.test"], left);
    let error = order(&ca.with_a_key(), &request(&["a.test"]), Some(&held)).await;
    assert_eq!(error.unwrap_err().retry(), Retry::BackOff);
    assert_eq!(short(&ca.ways()), ["rekey"], "no token was spent on it");
}

#[tokio::test]
async fn what_has_ended_is_prolonged_and_exchanged_for_a_fresh_key_where_the_ca_allows_it() {
    let ended = SignedDuration::from_mins(-5);
    // The prolonged one is for the key that is held.
    let prolonged = Arc::new(Mutex::new(""));
    let told = Arc::clone(&prolonged);
    let ca = Ca::new(move |path| {
        (path == "/1.0/renew").then_some((
            "201 Created",
            "",
            "application/json",
            *told.lock().unwrap(),
        ))
    });
    let held = ca.held(&["a.test"], ended);
    let answer = json!({ "crt": pem::certificate(&held.leaf) }).to_string();
    *prolonged.lock().unwrap() = Box::leak(answer.into_boxed_str());
    let issuer = ca.issuer(ca.settings());
    order(&issuer, &request(&["a.test"]), Some(&held))
        .await
        .unwrap();
    assert_eq!(short(&ca.ways()), ["renew", "rekey"]);
    let sent = ca.sent("/1.0/renew");
    let line = sent
        .lines()
        .find_map(|line| line.strip_prefix("authorization: Bearer "));
    let parts: Vec<&str> = line.unwrap().split('.').collect();
    let decoded = |part: &str| -> Value {
        use base64::Engine;
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
        serde_json::from_slice(&json.unwrap()).unwrap()
    };
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    assert_eq!(header["x5cInsecure"].as_array().unwrap().len(), 1);
    assert_eq!(claims["iss"], "step-ca-client/1.0");
    assert_eq!(claims["aud"], format!("{}/1.0/renew", issuer.settings.url));

    // Where it does not, only a token helps.
    let ca = Ca::new(|path| (path == "/1.0/renew").then_some(REFUSED));
    let held = ca.held(&["a.test"], ended);
    order(
        &ca.issuer(ca.settings()),
        &request(&["a.test"]),
        Some(&held),
    )
    .await
    .unwrap();
    assert_eq!(short(&ca.ways()), ["renew", "sign"]);

    // One that was prolonged for nothing counts as an issuance.
    let told = Arc::new(Mutex::new(""));
    let tells = Arc::clone(&told);
    let ca = Ca::new(move |path| match path {
        "/1.0/renew" => Some((
            "201 Created",
            "",
            "application/json",
            *tells.lock().unwrap(),
        )),
        "/1.0/rekey" => Some(BROKEN),
        _ => None,
    });
    let held = ca.held(&["a.test"], ended);
    let answer = json!({ "crt": pem::certificate(&held.leaf) }).to_string();
    *told.lock().unwrap() = Box::leak(answer.into_boxed_str());
    let error = order(
        &ca.issuer(ca.settings()),
        &request(&["a.test"]),
        Some(&held),
    )
    .await;
    assert_eq!(error.unwrap_err().sent(), Sent::Spent);
}

#[tokio::test]
async fn where_the_ca_says_that_it_has_ended_its_key_asks_before_a_token_is_spent() {
    let ca = Ca::of(true, |path| (path == "/1.0/renew").then_some(REFUSED));
    // By the clock of the CA, which is a real one.
    let then = Timestamp::constant(1_600_000_000, 0);
    let held = ca.held(
        &["a.test"],
        then.duration_since(NOW) + SignedDuration::from_mins(40),
    );
    let place = ca.directory.path().join("issuer");
    let issuer = StepIssuer::new(
        place,
        ca.settings(),
        Secrets::default(),
        Arc::new(move || then),
    );
    order(&issuer, &request(&["a.test"]), Some(&held))
        .await
        .unwrap();
    assert_eq!(short(&ca.ways()), ["renew", "sign"]);
}

#[test]
fn a_certificate_that_no_server_lets_in_and_a_token_that_is_dead_are_tried_at_a_slow_pace() {
    use super::super::super::https::HttpsError;
    use rustls::AlertDescription;
    let alert = || HttpsError::Alert {
        host: "ca.test".into(),
        alert: AlertDescription::CertificateUnknown,
    };
    let dead = StepError::NoToken {
        place: "file:/t".into(),
        names: "a.test".into(),
    };
    let slow = HttpsError::Slow {
        host: "ca.test".into(),
    };
    for (admission, expected) in [
        (dead, Retry::After(Duration::from_secs(1800))),
        // A token that may be good yet is.
        (slow.into(), Retry::BackOff),
    ] {
        let error = StepError::Unrenewed {
            refused: Box::new(alert().into()),
            admission: Box::new(admission),
        };
        assert_eq!(IssueError::from(error).retry(), expected);
    }
}

#[tokio::test]
async fn a_leaf_is_revoked_by_itself_by_a_provisioners_key_or_not_from_here() {
    use super::super::super::Reason;
    let ca = Ca::new(|_| None);
    let held = ca.held(&["a.test"], SignedDuration::from_mins(40));
    let serial = LeafFacts::from_der(&held.leaf).unwrap().serial;
    let revocation = |identity| Revocation {
        leaf: &held.leaf,
        reason: Reason::KeyCompromise,
        identity,
    };
    let by_token = ca.issuer(ca.settings());
    by_token.revoke(revocation(Some(&held))).await.unwrap();
    assert_eq!(
        ca.body("/1.0/revoke"),
        json!({ "serial": format!("0x{serial}"), "ott": "", "reasonCode": 1, "reason": "", "passive": true })
    );
    ca.with_a_key().revoke(revocation(None)).await.unwrap();
    assert_ne!(ca.body("/1.0/revoke")["ott"], "");
    let error = by_token.revoke(revocation(None)).await.unwrap_err();
    assert!(
        error.operator_text().contains("step ca revoke 0x"),
        "{error}"
    );

    let ca = Ca::new(|path| {
        (path == "/1.0/revoke").then_some((
            "400 Bad Request",
            "",
            "application/json",
            r#"{"status":400,"message":"certificate with serial number '1' is already revoked"}"#,
        ))
    });
    let issuer = ca.issuer(ca.settings());
    issuer.revoke(revocation(Some(&held))).await.unwrap();
}
