//! Who may do what, over real connections; the table of decisions stands beside the policy itself.

use std::fs;
use std::time::Duration;

use renewd_sample_api::fingerprint::Fingerprint;
use renewd_sample_api::metrics::{Part, Reload};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::client::{BOTH, Client, Http};
use crate::site::{Authority, Running, Site, WEB};

const BATCH: &str = "night.batch.example";

fn policy(paths: &str, extra: &str) -> String {
    format!(
        "[[role]]\nname = \"web\"\ncallers = [\"spiffe://example.internal/*\"]\nmethods = [\"GET\"]\npaths = {paths}\n{extra}"
    )
}

async fn code(client: &mut Client, path: &str) -> u16 {
    let (head, body) = client.ask(path).await.unwrap();
    if head.status() == 403 {
        assert_eq!(head.headers()["content-type"], "application/problem+json");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["title"], "Forbidden");
    }
    head.status().as_u16()
}

#[tokio::test]
async fn what_no_role_allows_is_denied_and_a_new_policy_counts_from_the_next_request() {
    let site = Site::new();
    let file = site.path().join("policy.toml");
    fs::write(&file, policy("[\"/\"]", "")).unwrap();
    let running = Running::start_as(&site, |settings| settings.policy = Some(file.clone())).await;
    let mut clients = Vec::new();
    for http in BOTH {
        clients.push((
            Client::of(running.address, &site.authority, &[WEB], http).await,
            Client::of(running.address, &site.authority, &[BATCH], http).await,
        ));
    }
    for (web, batch) in &mut clients {
        assert_eq!(code(web, "/").await, 200);
        assert_eq!(code(web, "/whoami").await, 403);
        assert_eq!(code(web, "/nowhere").await, 403);
        assert_eq!(code(web, "//").await, 403);
        assert_eq!(code(batch, "/").await, 403);
    }
    let swaps = |running: &Running| {
        running
            .mtls
            .metrics()
            .reloads(Part::Policy, Reload::Swapped)
    };
    let batch_role = "[[role]]\nname = \"batch\"\ncallers = [\"dns:*.batch.example\"]\nmethods = [\"*\"]\npaths = [\"/**\"]\n";
    // Renamed into its place, as an editor does.
    fs::write(site.path().join("new"), policy("[\"/whoami\"]", batch_role)).unwrap();
    fs::rename(site.path().join("new"), &file).unwrap();
    running
        .until("the new policy", |_| swaps(&running) == 1)
        .await;
    for (web, batch) in &mut clients {
        assert_eq!(code(web, "/").await, 403);
        assert_eq!(code(web, "/whoami").await, 200);
        assert_eq!(code(batch, "/nowhere").await, 404);
        let (_, body) = batch.ask("/whoami").await.unwrap();
        let who: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&who["identity"], &who["role"]),
            (&BATCH.into(), &"batch".into())
        );
    }
    assert_eq!(running.mtls.metrics().requests("web", 200), 4);
    assert_eq!(running.mtls.metrics().requests("batch", 404), 2);
}

#[tokio::test]
async fn a_broken_policy_leaves_the_old_one_in_force_fails_the_reload_and_does_not_hold_up_a_certificate()
 {
    let site = Site::new();
    let file = site.path().join("policy.toml");
    fs::write(&file, policy("[\"/\"]", "")).unwrap();
    let running = Running::start_as(&site, |settings| settings.policy = Some(file.clone())).await;
    fs::write(&file, policy("[\"no slash\"]", "")).unwrap();
    site.publish(2, &site.authority.server());
    let refusal = running.mtls.reload().await.unwrap_err().to_string();
    assert!(
        refusal.contains("policy.toml:5: `no slash`: a path begins with `/`"),
        "{refusal}"
    );
    assert_eq!(running.keys.served().generation, 2);
    let status = running.mtls.status().await;
    assert!(
        status.contains("serving generation 2") && status.contains("policy.toml:5"),
        "{status}"
    );
    assert!(
        running
            .mtls
            .metrics()
            .reloads(Part::Policy, Reload::Refused)
            >= 1
    );
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    assert_eq!(code(&mut client, "/").await, 200);

    fs::remove_file(&file).unwrap();
    assert!(running.mtls.reload().await.is_err());
    assert_eq!(code(&mut client, "/").await, 200);
    fs::write(&file, policy("[\"/\"]", "")).unwrap();
    running.mtls.reload().await.unwrap();
    assert!(!running.mtls.status().await.contains("last reload"));
}

#[tokio::test]
async fn a_role_may_name_the_anchor_and_a_resumed_client_keeps_its_own() {
    let site = Site::empty();
    let other = Authority::named("other");
    site.publish_with(
        1,
        &site.authority.server(),
        &(site.authority.bundle() + &other.bundle()),
    );
    let der = CertificateDer::from_pem_slice(other.bundle().as_bytes()).unwrap();
    let file = site.path().join("policy.toml");
    let anchor = Fingerprint::of(&der);
    let pinned = policy("[\"/\"]", &format!("anchors = [\"{anchor}\"]\n"));
    fs::write(&file, pinned).unwrap();
    let running = Running::start_as(&site, |settings| {
        settings.policy = Some(file);
        settings.drain = Duration::from_millis(500);
    })
    .await;
    for (authority, expected) in [(&*site.authority, 403), (&other, 200)] {
        let pair = authority.client(&[WEB]);
        let settings = crate::client::settings(&site.authority, Some(&pair), Http::One);
        for round in 0..3 {
            let mut client = Client::connect(running.address, settings.clone())
                .await
                .unwrap();
            assert_eq!(code(&mut client, "/").await, expected, "{round}");
            assert_eq!(client.kind == rustls::HandshakeKind::Resumed, round > 0);
        }
    }
}

#[tokio::test]
async fn the_trace_of_a_request_reaches_whoever_answers() {
    use axum::Router;
    use axum::routing::get;
    use renewd_sample_api::{Caller, MutualTls, Settings};

    let site = Site::new();
    let mtls = MutualTls::open(Settings::new(site.directory())).unwrap();
    let echo = |caller: Caller| async move {
        let parent = caller.traceparent().to_str().unwrap().to_owned();
        assert_eq!(
            parent.split('-').nth(1),
            Some(caller.trace().to_string().as_str())
        );
        parent
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(echo));
    let server = tokio::spawn(async move {
        mtls.serve(vec![listener], app, std::future::pending())
            .await
    });
    let mut client = Client::of(address, &site.authority, &[WEB], Http::One).await;
    let (one, two) = (
        client.ask("/").await.unwrap().1,
        client.ask("/").await.unwrap().1,
    );
    assert_ne!(one, two);
    let kept = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(
        client.ask_with("/", "traceparent", kept).await.unwrap().1,
        kept
    );
    server.abort();
}
