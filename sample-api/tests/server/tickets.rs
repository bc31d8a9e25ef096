//! Resumption: over a new leaf, never over a change of trust, never past the client's certificate.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use renewd_sample_api::metrics::Handshake;
use rustls::{ClientConfig, HandshakeKind};

use crate::client::{Client, Http, settings};
use crate::site::{Authority, Pair, Running, Site, WEB};

const MANY: usize = 40;

/// One connection with one request, in which the tickets arrive.
async fn once(running: &Running, config: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    let mut client = Client::connect(running.address, config.clone())
        .await
        .ok()?;
    let (head, _) = client.ask("/").await.ok()?;
    (head.status() == 200).then_some(client.kind)
}

/// Of as many clients, each with tickets of its own: resumed, in full, refused.
async fn resumptions(running: &Running, clients: &[Arc<ClientConfig>]) -> (usize, usize, usize) {
    let (mut resumed, mut full, mut refused) = (0, 0, 0);
    for config in clients {
        match once(running, config).await {
            Some(HandshakeKind::Resumed) => resumed += 1,
            Some(_) => full += 1,
            None => refused += 1,
        }
    }
    (resumed, full, refused)
}

#[tokio::test]
async fn tickets_survive_a_new_leaf_and_die_with_the_trust() {
    let site = Site::empty();
    let other = Authority::named("other");
    site.publish(1, &site.authority.server());
    let running = Running::start(&site).await;
    let clients: Vec<_> = (0..MANY)
        .map(|_| {
            settings(
                &site.authority,
                Some(&site.authority.client(&[WEB])),
                Http::One,
            )
        })
        .collect();
    assert_eq!(resumptions(&running, &clients).await, (0, MANY, 0));
    assert_eq!(resumptions(&running, &clients).await, (MANY, 0, 0));

    site.publish(2, &site.authority.server());
    running.serves(2).await;
    let (resumed, _, refused) = resumptions(&running, &clients).await;
    println!("resumed after a leaf rotation: {resumed} of {MANY}");
    assert!(resumed * 100 >= MANY * 95 && refused == 0, "{resumed}");

    // The same certificates in another file are the same trust.
    let again = format!(
        "# a remark\n{}{}",
        site.authority.bundle(),
        site.authority.bundle()
    );
    site.publish_with(3, &site.authority.server(), &again);
    running.serves(3).await;
    assert_eq!(resumptions(&running, &clients).await.0, MANY);

    let both = site.authority.bundle() + &other.bundle();
    site.publish_with(4, &site.authority.server(), &both);
    running.serves(4).await;
    let after = resumptions(&running, &clients).await;
    println!("resumed after a change of trust: {} of {MANY}", after.0);
    assert_eq!(after, (0, MANY, 0));
    // The next trust has tickets of its own, and going back does not bring the old ones to life.
    assert_eq!(resumptions(&running, &clients).await.0, MANY);
    site.publish(5, &site.authority.server());
    running.serves(5).await;
    assert_eq!(resumptions(&running, &clients).await.0, 0);
    let metrics = running.mtls.metrics();
    assert_eq!(metrics.handshakes(Handshake::Resumed), 4 * MANY as u64);
    assert_eq!(metrics.handshakes(Handshake::Full), 3 * MANY as u64);
}

#[tokio::test]
async fn a_revoked_client_has_no_use_for_its_tickets() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let (victim, other) = (site.authority.client(&[WEB]), site.authority.client(&[WEB]));
    let victims = settings(&site.authority, Some(&victim), Http::One);
    let others = settings(&site.authority, Some(&other), Http::One);
    for config in [&victims, &others] {
        assert!(once(&running, config).await.is_some());
        assert_eq!(once(&running, config).await, Some(HandshakeKind::Resumed));
    }
    site.publish_lists(
        2,
        &site.authority.server(),
        &site.authority.lists(&[&victim]),
    );
    running.serves(2).await;
    assert_eq!(once(&running, &victims).await, None);
    assert!(once(&running, &others).await.is_some());
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Revoked), 1);
    assert_eq!(once(&running, &others).await, Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn no_ticket_outlives_the_clients_certificate() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let soon = SystemTime::now() + Duration::from_secs(3);
    let client = site.authority.client_until(&[WEB], soon);
    let config = settings(&site.authority, Some(&client), Http::One);
    assert!(once(&running, &config).await.is_some());
    let mut resumed = 0;
    loop {
        let asked = SystemTime::now();
        match once(&running, &config).await {
            Some(HandshakeKind::Resumed) => resumed += 1,
            Some(other) => panic!("{other:?} at {asked:?}"),
            None => break,
        }
        assert!(asked <= soon, "served at {asked:?}, expired at {soon:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(resumed > 0);
    // The ticket is not taken, and the certificate is refused for what it is: it counts to the end of its last second.
    running
        .until("a second more", |_| {
            SystemTime::now() > soon + Duration::from_secs(1)
        })
        .await;
    assert_eq!(once(&running, &config).await, None);
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Expired), 1);
}

/// `openssl s_client`, which keeps its session in a file. True if it was resumed, none if there was no answer.
fn openssl(site: &Site, running: &Running, pair: &Pair, session: [&str; 2]) -> Option<bool> {
    let file = |name: &str, text: &str| {
        let path = site.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &running.address.to_string(),
            "-servername",
            "localhost",
        ])
        .arg("-CAfile")
        .arg(file("openssl-ca.pem", &site.authority.bundle()))
        .arg("-cert")
        .arg(file("openssl-cert.pem", &pair.chain))
        .arg("-cert_chain")
        .arg(site.path().join("openssl-cert.pem"))
        .arg("-key")
        .arg(file("openssl-key.pem", &pair.key))
        .args([session[0], site.path().join(session[1]).to_str().unwrap()])
        .args(["-verify_return_error", "-ign_eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    child.wait().unwrap();
    let answered = said.iter().any(|line| line.contains("HTTP/1.1 200"));
    answered.then(|| said.iter().any(|line| line.starts_with("Reused, ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_resumes_over_a_new_leaf_and_neither_when_revoked_nor_when_expired() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let soon = SystemTime::now() + Duration::from_secs(6);
    let lasting = site.authority.client(&[WEB]);
    let short = site.authority.client_until(&[WEB], soon);
    let run = |pair: &Pair, option: &str, name: &str| {
        tokio::task::block_in_place(|| openssl(&site, &running, pair, [option, name]))
    };
    for (pair, name) in [(&lasting, "lasting"), (&short, "short")] {
        assert_eq!(run(pair, "-sess_out", name), Some(false), "{name}");
        assert_eq!(run(pair, "-sess_in", name), Some(true), "{name}");
    }
    site.publish(2, &site.authority.server());
    running.serves(2).await;
    assert_eq!(run(&lasting, "-sess_in", "lasting"), Some(true));

    running
        .until("expired", |_| {
            SystemTime::now() > soon + Duration::from_secs(1)
        })
        .await;
    assert_eq!(run(&short, "-sess_in", "short"), None);

    site.publish_lists(
        3,
        &site.authority.server(),
        &site.authority.lists(&[&lasting]),
    );
    running.serves(3).await;
    assert_eq!(run(&lasting, "-sess_in", "lasting"), None);
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Resumed), 3);
}
