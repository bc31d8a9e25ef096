//! Who gets in, and as whom.

use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose;
use rustls::{NamedGroup, ProtocolVersion};
use serde_json::Value;

use crate::client::{BOTH, Client, Http, settings};
use crate::site::{Authority, Pair, Running, Site, WEB};

/// In TLS 1.3 a client believes that the handshake is done before it is refused: only the first read tells.
async fn is_refused(site: &Site, running: &Running, pair: Option<&Pair>) -> bool {
    match Client::connect(running.address, settings(&site.authority, pair, Http::One)).await {
        Err(_) => true,
        Ok(mut client) => client.ask("/").await.is_err(),
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_one_uri_over_http_1_and_2() {
    let site = Site::new();
    let running = Running::start(&site).await;
    for http in BOTH {
        let mut client = Client::of(
            running.address,
            &site.authority,
            &["ignored.example", WEB],
            http,
        )
        .await;
        let (_, hello) = client.ask("/").await.unwrap();
        assert_eq!(hello, format!("hello, {WEB}\n"));
        let (head, body) = client.ask("/whoami").await.unwrap();
        assert_eq!(head.status(), 200);
        let who: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(who["identity"], WEB);
        assert_eq!(who["kind"], "uri");
        assert_eq!(who["generation"], 1);
        assert!(!who["serial"].as_str().unwrap().is_empty());
        assert_eq!(client.version, ProtocolVersion::TLSv1_3);
        assert_eq!(client.group, Some(NamedGroup::X25519MLKEM768));
    }
}

#[tokio::test]
async fn clients_that_the_bundle_does_not_vouch_for_are_refused() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let client_auth = ExtendedKeyUsagePurpose::ClientAuth;
    let server_auth = ExtendedKeyUsagePurpose::ServerAuth;
    let (ours, other) = (&site.authority, Authority::new());

    let good = ours.sign(&[WEB], client_auth.clone(), in_an_hour);
    assert!(!is_refused(&site, &running, Some(&good)).await);
    for (case, pair) in [
        ("no certificate", None),
        ("another CA", Some(other.client(&[WEB]))),
        ("expired", Some(ours.sign(&[WEB], client_auth, an_hour_ago))),
        (
            "wrong usage",
            Some(ours.sign(&[WEB], server_auth, in_an_hour)),
        ),
    ] {
        assert!(is_refused(&site, &running, pair.as_ref()).await, "{case}");
    }
}

#[tokio::test]
async fn a_client_without_exactly_one_identity_gets_a_problem_on_every_route() {
    let site = Site::new();
    let running = Running::start(&site).await;
    for (names, reason) in [
        (&["spiffe://a/1", "spiffe://a/2"][..], "more than one URI"),
        (&["a.example", "b.example"], "more than one DNS"),
        (&[], "neither"),
    ] {
        for http in BOTH {
            let mut client = Client::of(running.address, &site.authority, names, http).await;
            for path in ["/", "/whoami", "/stream?seconds=1", "/nowhere"] {
                let (head, body) = client.ask(path).await.unwrap();
                assert_eq!(head.status(), 403, "{path}");
                assert_eq!(head.headers()["content-type"], "application/problem+json");
                let problem: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(problem["status"], 403);
                assert!(
                    problem["detail"].as_str().unwrap().contains(reason),
                    "{body}"
                );
            }
        }
    }
}

#[tokio::test]
async fn streams_are_bounded_and_unknown_routes_are_problems() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::One).await;
    for (path, status) in [
        ("/stream?seconds=301", 400),
        ("/stream?seconds=soon", 400),
        ("/stream?second=1", 400),
        ("/nowhere", 404),
    ] {
        let (head, body) = client.ask(path).await.unwrap();
        assert_eq!(head.status(), status, "{path}");
        assert_eq!(
            head.headers()["content-type"],
            "application/problem+json",
            "{body}"
        );
    }
    let (_, body) = client.ask("/stream?seconds=0").await.unwrap();
    assert_eq!(body, "end\n");
}
