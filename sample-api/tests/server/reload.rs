//! New generations: taken up without anybody noticing, or refused without anybody noticing.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use renewd_sample_api::admin::{self, Request};
use renewd_sample_api::keys::Reloaded;
use renewd_sample_api::metrics::{Part, Reload};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::time::{Instant, sleep};

use crate::client::{BOTH, Client, Http, health, settings, unresumed};
use crate::site::{Authority, DEADLINE, Pair, Running, Site, WEB};

async fn ask(site: &Site, request: Request) -> admin::Reply {
    let path = site.path().join("admin.sock");
    tokio::task::spawn_blocking(move || admin::ask(&path, request))
        .await
        .unwrap()
        .unwrap()
}

fn leaf(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap()
}

/// The leaf and what follows it.
fn parts(pair: &Pair) -> (String, String) {
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, rest) = pair.chain.split_once(end).unwrap();
    (format!("{leaf}{end}"), rest.to_owned())
}

async fn generation(client: &mut Client) -> u64 {
    let (_, body) = client.ask("/whoami").await.unwrap();
    let who: serde_json::Value = serde_json::from_str(&body).unwrap();
    who["generation"].as_u64().unwrap()
}

#[tokio::test]
async fn a_new_generation_is_for_new_connections_and_old_ones_go_on() {
    let site = Site::new();
    let running = Running::start(&site).await;
    for (http, next) in BOTH.into_iter().zip([2, 3]) {
        let mut old = Client::of(running.address, &site.authority, &[WEB], http).await;
        assert_eq!(generation(&mut old).await, next - 1);

        let pair = site.authority.server();
        site.publish(next, &pair);
        running.serves(next).await;

        let mut new = Client::of(running.address, &site.authority, &[WEB], http).await;
        assert_eq!(new.leaf, leaf(&pair));
        assert_eq!(generation(&mut new).await, next);
        assert_eq!(generation(&mut old).await, next - 1);
    }
}

#[tokio::test]
async fn one_generation_is_one_reload_whoever_asks_for_it() {
    let site = Site::new();
    let running = Running::start(&site).await;
    site.publish(2, &site.authority.server());
    // The watch asks at the same time; whoever is first builds, the others find it done.
    let reload = || running.keys.reload();
    let (a, b, c, d) = tokio::join!(reload(), reload(), reload(), reload());
    let now = running.keys.served();
    let mut swaps = 0;
    for reloaded in [a, b, c, d].map(Result::unwrap) {
        assert!(Arc::ptr_eq(reloaded.served(), &now));
        swaps += usize::from(matches!(reloaded, Reloaded::Swapped(_)));
    }
    assert!(swaps <= 1);
    assert!(ask(&site, Request::Reload).await.ok);
    assert!(Arc::ptr_eq(&running.keys.served(), &now));
    assert_eq!(now.generation, 2);
}

#[tokio::test]
async fn a_refused_generation_leaves_the_old_one_in_use_and_fails_the_reload() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut old = Client::of(running.address, &site.authority, &[WEB], Http::One).await;
    let (one, two) = (site.authority.server(), site.authority.server());
    let bundle = site.authority.bundle();
    let pair = |key: &str, chain: &str| Pair {
        key: key.to_owned(),
        chain: chain.to_owned(),
        serial: 0,
    };
    let (leaf, intermediate) = parts(&two);
    let reversed = format!("{intermediate}{leaf}");
    let foreign = format!("{leaf}{}", parts(&Authority::new().server()).1);
    let expired = site
        .authority
        .server_until(SystemTime::now() - Duration::from_secs(60));
    let truncated = &two.chain[..two.chain.len() / 2];

    let cases = [
        (
            "another's key",
            pair(&one.key, &two.chain),
            &*bundle,
            "do not make a pair",
        ),
        ("no key", pair("", &two.chain), &bundle, "key.pem"),
        (
            "garbage",
            pair(&two.key, "garbage"),
            &bundle,
            "fullchain.pem holds no certificate",
        ),
        (
            "truncated",
            pair(&two.key, truncated),
            &bundle,
            "fullchain.pem",
        ),
        (
            "reversed",
            pair(&two.key, &reversed),
            &bundle,
            "certificate 1 of fullchain.pem",
        ),
        (
            "foreign chain",
            pair(&two.key, &foreign),
            &bundle,
            "certificate 1 of fullchain.pem",
        ),
        ("expired", expired, &bundle, "valid from"),
        ("no trust", two.clone(), "", "ca.pem holds no certificate"),
        (
            "bad trust",
            two.clone(),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "ca.pem",
        ),
    ];
    for (number, (case, pair, bundle, reason)) in (2..).zip(&cases) {
        site.publish_with(number, pair, bundle);
        let reply = ask(&site, Request::Reload).await;
        assert!(!reply.ok, "{case}");
        assert!(
            reply
                .message
                .contains(&format!("generation {number} refused: ")),
            "{case}: {}",
            reply.message
        );
        assert!(reply.message.contains(reason), "{case}: {}", reply.message);
        assert!(
            reply.message.ends_with("generation 1 stays in use"),
            "{case}: {}",
            reply.message
        );
        assert_eq!(running.keys.served().generation, 1, "{case}");
    }
    // The watch and the command asked for each, and a refusal is counted each time it is met.
    let refused = running
        .mtls
        .metrics()
        .reloads(Part::Certificate, Reload::Refused);
    assert!(refused >= cases.len() as u64, "{refused}");
    let status = ask(&site, Request::Status).await;
    assert!(
        status.message.contains("serving generation 1,") && status.message.contains("refused"),
        "{}",
        status.message
    );
    let (code, _) = health(running.health).await;
    assert_eq!(code, 200);
    assert_eq!(generation(&mut old).await, 1);
    Client::of(running.address, &site.authority, &[WEB], Http::One).await;

    site.publish(99, &two);
    running.serves(99).await;
    assert!(
        !ask(&site, Request::Status)
            .await
            .message
            .contains("refused")
    );
}

#[tokio::test]
async fn what_is_missing_on_disk_is_named_and_the_old_one_stays() {
    let site = Site::new();
    let running = Running::start(&site).await;
    site.point(9);
    let reply = ask(&site, Request::Reload).await;
    assert!(
        !reply.ok && reply.message.contains("current generation"),
        "{}",
        reply.message
    );
    site.publish(2, &site.authority.server());
    running.serves(2).await;
    fs::remove_file(site.directory().join("current")).unwrap();
    let reply = ask(&site, Request::Reload).await;
    assert!(
        !reply.ok && reply.message.contains("no certificate is published"),
        "{}",
        reply.message
    );
    assert_eq!(running.keys.served().generation, 2);
}

#[tokio::test]
async fn a_directory_that_was_made_anew_is_found_and_watched_again() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let before = running.keys.served();
    fs::remove_dir_all(site.directory()).unwrap();
    fs::create_dir(site.directory()).unwrap();
    // Counts from one again: the number alone would hide that this is another certificate.
    site.publish(1, &site.authority.server());
    let mut served = running.keys.subscribe();
    let swapped = served.wait_for(|served| served.leaf.serial != before.leaf.serial);
    tokio::time::timeout(DEADLINE, swapped)
        .await
        .unwrap()
        .unwrap();
    site.publish(2, &site.authority.server());
    running.serves(2).await;
}

#[tokio::test]
async fn health_ends_with_the_certificate() {
    let site = Site::empty();
    let soon = SystemTime::now() + Duration::from_secs(2);
    site.publish(1, &site.authority.server_until(soon));
    let running = Running::start(&site).await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let asked = SystemTime::now();
        let (code, health) = health(running.health).await;
        match code {
            200 => assert!(asked <= soon, "healthy at {asked:?}, expired at {soon:?}"),
            503 => {
                assert_eq!(health["status"], "certificate expired");
                assert_eq!(health["generation"], 1);
                break;
            }
            other => panic!("{other}"),
        }
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
    site.publish(2, &site.authority.server());
    running.serves(2).await;
    assert_eq!(health(running.health).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_under_load_lose_nothing() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let (done, _) = tokio::sync::watch::channel(false);
    let mut busy = tokio::task::JoinSet::new();
    for number in 0..8 {
        let pair = site.authority.client(&[WEB]);
        // A resumed session does not show the leaf.
        let settings = unresumed(&site.authority, Some(&pair), BOTH[number % 2]);
        let (address, done) = (running.address, done.subscribe());
        // Half of them keep one connection, half make a new one each time.
        let keep = number < 4;
        busy.spawn(async move {
            let mut client = Client::connect(address, settings.clone()).await.unwrap();
            let (mut requests, mut leaves) = (0, std::collections::HashSet::new());
            while !*done.borrow() || requests == 0 {
                if !keep {
                    client = Client::connect(address, settings.clone()).await.unwrap();
                }
                leaves.insert(client.leaf.clone());
                assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
                requests += 1;
            }
            leaves.len()
        });
    }
    for next in 2..=20 {
        site.publish(next, &site.authority.server());
        running.serves(next).await;
        let pair = site.authority.client(&[WEB]);
        // One more client, so that each generation was really served before the next comes.
        let mut client = Client::connect(
            running.address,
            settings(&site.authority, Some(&pair), Http::Two),
        )
        .await
        .unwrap();
        assert_eq!(generation(&mut client).await, next);
    }
    done.send_replace(true);
    let mut most = 0;
    while let Some(leaves) = busy.join_next().await {
        most = most.max(leaves.unwrap());
    }
    assert!(most > 1, "nobody saw a rotation");
}
