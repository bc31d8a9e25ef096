//! The end: nothing that was begun is cut before the deadline.

use std::time::Duration;

use renewd_sample_api::metrics::Handshake;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{BOTH, Client, Http, whole};
use crate::site::{DEADLINE, Running, Site, WEB};

#[tokio::test]
async fn a_stream_survives_a_rotation_and_a_graceful_stop() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut streams = Vec::new();
    for http in BOTH {
        let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
        let response = client.send("/stream?seconds=3").await.unwrap();
        streams.push((client, response));
    }
    site.publish(2, &site.authority.server());
    running.serves(2).await;

    let address = running.address;
    let ended = running.stop();
    for (_client, response) in streams {
        let (head, body) = whole(response).await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(body.lines().count(), 31);
        assert!(body.ends_with("tick 29\nend\n"), "{body}");
    }
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!((drained.open, drained.forced), (2, 0));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_outlives_the_deadline_is_cut_and_counted() {
    let site = Site::new();
    let drain = Duration::from_millis(400);
    let running = Running::start_with(&site, drain).await;
    let mut idle = Client::of(running.address, &site.authority, &[WEB], Http::One).await;
    idle.ask("/").await.unwrap();
    let mut slow = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    let response = slow.send("/stream?seconds=300").await.unwrap();
    let begun = Instant::now();
    let drained = timeout(DEADLINE, running.stop()).await.unwrap().unwrap();
    assert!(begun.elapsed() >= drain);
    assert_eq!((drained.open, drained.forced), (2, 1));
    assert!(whole(response).await.is_err());
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_stop() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut clients = Vec::new();
    for http in BOTH {
        let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
        client.ask("/").await.unwrap();
        clients.push(client);
    }
    let begun = Instant::now();
    let drained = timeout(DEADLINE, running.stop()).await.unwrap().unwrap();
    assert_eq!((drained.open, drained.forced), (2, 0));
    assert!(begun.elapsed() < DEADLINE / 2);
}

#[tokio::test]
async fn a_client_that_has_just_connected_is_answered_once() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut clients = Vec::new();
    for http in BOTH {
        // Nothing is asked yet: the server has the connection, and the request is on its way.
        clients.push(Client::of(running.address, &site.authority, &[WEB], http).await);
    }
    running
        .until("both are in", |mtls| {
            mtls.metrics().handshakes(Handshake::Full) == 2
        })
        .await;
    let phases = running.mtls.clone();
    let ended = running.stop();
    let deadline = Instant::now() + DEADLINE;
    while phases.healthy(std::time::SystemTime::now()).is_ok() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // Time for a GOAWAY to arrive, if one were sent.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for client in &mut clients {
        assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
    }
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!((drained.open, drained.forced), (2, 0));
}

#[tokio::test]
async fn a_busy_http_1_client_hears_of_the_close_and_loses_nothing() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::One).await;
    client.ask("/").await.unwrap();
    let ended = running.stop();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (head, _) = client.ask("/").await.unwrap();
        assert_eq!(head.status(), 200);
        if head
            .headers()
            .get("connection")
            .is_some_and(|value| value == "close")
        {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!(drained.forced, 0);
}

#[tokio::test]
async fn a_busy_http_2_client_is_told_to_go_away_and_loses_nothing() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    client.ask("/").await.unwrap();
    let ended = running.stop();
    let deadline = Instant::now() + DEADLINE;
    while client.ready().await.is_ok() {
        match client.ask("/").await {
            Ok((head, _)) => assert_eq!(head.status(), 200),
            // Never sent, so safe to send elsewhere: that is what GOAWAY is for.
            Err(error) => assert!(error.is_canceled() || error.is_closed(), "{error:?}"),
        }
        assert!(Instant::now() < deadline);
    }
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!(drained.forced, 0);
}
