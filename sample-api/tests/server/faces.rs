//! Two listeners, each with its own certificate and trust.

use std::fs;
use std::time::Duration;

use renewd_sample_api::Settings;
use renewd_sample_api::admin::{self, Request};
use renewd_sample_api::config::FaceConfig;
use tokio::time::timeout;

use crate::client::{Client, Http, plain, settings, whole};
use crate::site::{DEADLINE, Pair, Running, Site, WEB};

async fn ask(site: &Site, request: Request) -> admin::Reply {
    let path = site.path().join("admin.sock");
    let asked = tokio::task::spawn_blocking(move || admin::ask(&path, request));
    asked.await.unwrap().unwrap()
}

#[tokio::test]
async fn each_face_has_its_own_certificate_trust_and_policy_and_they_end_together() {
    let (outside, inside) = (Site::new(), Site::new());
    let policy = inside.path().join("policy.toml");
    fs::write(&policy, "[[role]]\nname = \"in\"\ncallers = [\"*\"]\nmethods = [\"*\"]\npaths = [\"/whoami\", \"/stream\"]\n").unwrap();
    let running = Running::start_from(&outside, |config| {
        let mut mtls = Settings::new(inside.directory());
        mtls.policy = Some(policy);
        config.faces.push(FaceConfig {
            name: "inside".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            mtls,
        });
    })
    .await;
    let second = running.second.unwrap();
    let pairs = [&outside, &inside].map(|site| site.authority.client(&[WEB]));
    let mut out = Client::connect(
        running.address,
        settings(&outside.authority, Some(&pairs[0]), Http::Two),
    )
    .await
    .unwrap();
    let mut inn = Client::connect(
        second,
        settings(&inside.authority, Some(&pairs[1]), Http::Two),
    )
    .await
    .unwrap();
    assert_eq!(out.ask("/").await.unwrap().0.status(), 200);
    assert_eq!(inn.ask("/").await.unwrap().0.status(), 403);
    assert!(
        inn.ask("/whoami")
            .await
            .unwrap()
            .1
            .contains("\"role\":\"in\"")
    );
    // The server's certificate is sound for it, and its own is the other face's.
    let mixed = settings(&outside.authority, Some(&pairs[1]), Http::One);
    let refused = match Client::connect(running.address, mixed).await {
        Err(_) => true,
        Ok(mut client) => client.ask("/").await.is_err(),
    };
    assert!(refused);

    // One reload for all, and a refusal of one leaves the other alone.
    let broken = Pair {
        key: inside.authority.server().key,
        ..inside.authority.server()
    };
    inside.publish(2, &broken);
    outside.publish(2, &outside.authority.server());
    let reply = ask(&outside, Request::Reload).await;
    assert!(
        !reply.ok
            && reply
                .message
                .starts_with("inside: certificate refused: generation 2"),
        "{}",
        reply.message
    );
    let status = ask(&outside, Request::Status).await.message;
    assert!(
        status.starts_with("main: serving generation 2,"),
        "{status}"
    );
    assert!(
        status.contains("; inside: serving generation 1,"),
        "{status}"
    );
    for (path, generation) in [("/metrics", 2), ("/metrics/inside", 1)] {
        let text = plain(running.health, path).await.1;
        assert!(
            text.contains(&format!("certificate_info{{generation=\"{generation}\"")),
            "{text}"
        );
    }
    assert_eq!(plain(running.health, "/readyz").await.0.status(), 200);

    let stream = inn.send("/stream?seconds=1").await.unwrap();
    let ended = running.stop();
    assert!(whole(stream).await.unwrap().1.ends_with("end\n"));
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!((drained.open, drained.forced), (2, 0));
}

#[tokio::test]
async fn health_is_that_of_the_worst_face() {
    let (outside, inside) = (Site::new(), Site::empty());
    let soon = std::time::SystemTime::now() + Duration::from_secs(2);
    inside.publish(7, &inside.authority.server_until(soon));
    let running = Running::start_from(&outside, |config| {
        config.faces.push(FaceConfig {
            name: "inside".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            mtls: Settings::new(inside.directory()),
        });
    })
    .await;
    assert_eq!(plain(running.health, "/healthz").await.0.status(), 200);
    running
        .until("it has expired", |_| std::time::SystemTime::now() > soon)
        .await;
    for path in ["/healthz", "/readyz"] {
        let (head, body) = plain(running.health, path).await;
        assert_eq!(head.status(), 503);
        assert!(
            body.contains("\"generation\":7") && body.contains("certificate expired"),
            "{body}"
        );
    }
}
