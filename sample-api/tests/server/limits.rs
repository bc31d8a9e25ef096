//! What a client may not do: too much, too slowly, or in another language.

use std::time::Duration;

use renewd_sample_api::metrics::Handshake;
use rustls::{ProtocolVersion, SupportedProtocolVersion};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{Client, Http, settings, unresumed};
use crate::site::{Authority, DEADLINE, Running, Site, WEB};

#[tokio::test]
async fn plain_http_on_the_tls_port_is_told_so() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut tcp = TcpStream::connect(running.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{answer}"
    );
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("https://"));
    running
        .until("counted", |mtls| {
            mtls.metrics().handshakes(Handshake::PlainHttp) == 1
        })
        .await;
}

#[tokio::test]
async fn every_refused_handshake_is_counted_by_its_reason() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    use std::time::SystemTime;
    let site = Site::new();
    let running = Running::start(&site).await;
    let (ours, hour) = (&site.authority, Duration::from_secs(3600));
    let now = SystemTime::now();
    for (how, pair) in [
        (Handshake::NoCertificate, None),
        (
            Handshake::Untrusted,
            Some(Authority::named("other").client(&[WEB])),
        ),
        (
            Handshake::Expired,
            Some(ours.sign(&[WEB], ClientAuth, now - hour)),
        ),
        (
            Handshake::WrongUsage,
            Some(ours.sign(&[WEB], ServerAuth, now + hour)),
        ),
    ] {
        let config = unresumed(ours, pair.as_ref(), Http::One);
        if let Ok(mut client) = Client::connect(running.address, config).await {
            assert!(client.ask("/").await.is_err(), "{how:?}");
        }
        running
            .until(how.word(), |mtls| mtls.metrics().handshakes(how) == 1)
            .await;
    }
    for garbage in [&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0][..], &[0x80; 200]] {
        let mut tcp = TcpStream::connect(running.address).await.unwrap();
        tcp.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(DEADLINE, tcp.read_to_end(&mut answer))
            .await
            .expect("hung up on");
    }
    running
        .until("garbage", |mtls| {
            mtls.metrics().handshakes(Handshake::Protocol) == 2
        })
        .await;
}

#[tokio::test]
async fn a_chain_of_a_hundred_is_refused_at_little_cost() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let begun = Instant::now();
    let long = site.authority.long_chain(&[WEB], 100);
    let config = unresumed(&site.authority, Some(&long), Http::One);
    if let Ok(mut client) = Client::connect(running.address, config).await {
        assert!(client.ask("/").await.is_err());
    }
    running
        .until("refused", |mtls| {
            mtls.metrics().handshakes(Handshake::BadCertificate)
                + mtls.metrics().handshakes(Handshake::Untrusted)
                == 1
        })
        .await;
    assert!(begun.elapsed() < DEADLINE / 2);
}

#[tokio::test]
async fn whoever_does_not_finish_the_handshake_or_a_head_is_hung_up_on() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| {
        settings.handshake = Duration::from_millis(300);
        settings.next_request = Duration::from_millis(600);
    })
    .await;
    for begin in [&[][..], &[0x16], &[0x16, 3, 1, 2]] {
        let mut tcp = TcpStream::connect(running.address).await.unwrap();
        tcp.write_all(begin).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(DEADLINE, tcp.read_to_end(&mut answer))
            .await
            .expect("hung up on");
    }
    running
        .until("three", |mtls| {
            mtls.metrics().handshakes(Handshake::Timeout) == 3
        })
        .await;
    // A head that comes byte by byte has as long as one that comes at once.
    let mut tls = Client::raw(
        running.address,
        settings(
            &site.authority,
            Some(&site.authority.client(&[WEB])),
            Http::One,
        ),
    )
    .await;
    let begun = Instant::now();
    let slow = async {
        for byte in b"GET / HTTP/1.1\r\nx-slow: "
            .iter()
            .chain(std::iter::repeat(&b'x'))
        {
            if tls.write_all(&[*byte]).await.is_err() || tls.flush().await.is_err() {
                break;
            }
            let mut answer = [0; 64];
            let ended = timeout(Duration::from_millis(30), tls.read(&mut answer)).await;
            if matches!(ended, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
    };
    timeout(DEADLINE, slow).await.expect("hung up on");
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn heads_and_bodies_have_a_bound() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| settings.max_body = 1000).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::One).await;
    let (head, _) = client
        .ask_with("/", "x-long", &"x".repeat(20_000))
        .await
        .unwrap();
    assert_eq!(head.status(), 431);
    let pair = site.authority.client(&[WEB]);
    let mut tls = Client::raw(
        running.address,
        settings(&site.authority, Some(&pair), Http::One),
    )
    .await;
    tls.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 512];
    let length = tls.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 413 "));
}

#[tokio::test]
async fn one_identity_has_so_many_connections_and_another_is_not_concerned() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| settings.max_per_identity = Some(2)).await;
    let mut web = Vec::new();
    for _ in 0..2 {
        let mut client = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
        client.ask("/").await.unwrap();
        web.push(client);
    }
    let third = async || {
        let config = settings(
            &site.authority,
            Some(&site.authority.client(&[WEB])),
            Http::Two,
        );
        match Client::connect(running.address, config).await {
            Err(_) => false,
            Ok(mut client) => client.ask("/").await.is_ok(),
        }
    };
    assert!(!third().await);
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Limit), 1);
    let mut other = Client::of(running.address, &site.authority, &["a.example"], Http::Two).await;
    other.ask("/").await.unwrap();
    drop(web.pop());
    let deadline = Instant::now() + DEADLINE;
    while !third().await {
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test]
async fn whom_there_is_no_room_for_waits_and_is_not_refused() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| settings.max_connections = 1).await;
    let mut first = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    first.ask("/").await.unwrap();
    let config = settings(
        &site.authority,
        Some(&site.authority.client(&[WEB])),
        Http::Two,
    );
    let mut second = Box::pin(Client::connect(running.address, config));
    assert!(
        timeout(Duration::from_millis(300), &mut second)
            .await
            .is_err()
    );
    drop(first);
    let mut second = timeout(DEADLINE, second).await.unwrap().unwrap();
    assert_eq!(second.ask("/").await.unwrap().0.status(), 200);
}

#[tokio::test]
async fn tls_1_2_is_for_those_who_ask_for_it_by_setting() {
    let site = Site::new();
    for allowed in [false, true] {
        let running = Running::start_as(&site, |settings| settings.choices.tls12 = allowed).await;
        let only: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
        let config = Arc::new(crate::client::versions(
            &site.authority,
            &site.authority.client(&[WEB]),
            only,
        ));
        match Client::connect(running.address, config.clone()).await {
            Ok(mut client) => {
                assert!(allowed);
                assert_eq!(client.version, ProtocolVersion::TLSv1_2);
                assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
                let mut again = Client::connect(running.address, config).await.unwrap();
                assert_eq!(again.kind, rustls::HandshakeKind::Resumed);
                assert_eq!(again.ask("/").await.unwrap().0.status(), 200);
            }
            Err(_) => assert!(!allowed),
        }
        std::fs::remove_file(site.path().join("admin.sock")).unwrap();
    }
}
