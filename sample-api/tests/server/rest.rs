//! Connections that rest between two requests, and those that workers have: clients notice neither.

use std::time::Duration;

use renewd_sample_api::Workers;
use renewd_sample_api::metrics::{Handshake, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::client::{BOTH, Client, Http, settings, whole};
use crate::site::{DEADLINE, Running, Site, WEB};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const TELL: &[u8] = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nab\r\n\r\ncd";

/// Longer than a few looks at a connection that is young: had it been taken out of HTTP, it would be by now.
const LOOKS: Duration = Duration::from_millis(150);

async fn raw(site: &Site, running: &Running) -> TlsStream<TcpStream> {
    let pair = site.authority.client(&[WEB]);
    Client::raw(
        running.address,
        settings(&site.authority, Some(&pair), Http::One),
    )
    .await
}

async fn write(tls: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    tls.write_all(bytes).await.unwrap();
    tls.flush().await.unwrap();
}

/// The status of the next answer.
async fn answer(tls: &mut TlsStream<TcpStream>) -> String {
    let read = async {
        let mut text = Vec::new();
        // Each answer here has a body that ends with a line feed or a brace, and a length.
        loop {
            text.push(tls.read_u8().await.expect("an answer"));
            let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
            let length = head.split_once("content-length: ").expect("a length").1;
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if text.len() == end + 4 + length {
                return head.lines().next().unwrap().to_owned();
            }
        }
    };
    timeout(DEADLINE, read).await.expect("an answer in time")
}

#[tokio::test]
async fn a_request_after_a_rest_is_answered_however_it_is_cut() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut tls = raw(&site, &running).await;
    for cut in [1, 5, ASK.len() - 3, ASK.len() - 1, ASK.len()] {
        running.until("at rest", |mtls| mtls.resting() == 1).await;
        write(&mut tls, &ASK[..cut]).await;
        sleep(LOOKS).await;
        write(&mut tls, &ASK[cut..]).await;
        assert_eq!(answer(&mut tls).await, "http/1.1 200 ok", "{cut}");
    }
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Full), 1);
}

#[tokio::test]
async fn a_part_of_the_next_request_is_not_lost_when_it_came_with_the_last() {
    let site = Site::new();
    let running = Running::start(&site).await;
    for first in [ASK, TELL] {
        let expected =
            ["http/1.1 200 ok", "http/1.1 405 method not allowed"][usize::from(first == TELL)];
        for cut in [1, 2, ASK.len() - 3, ASK.len() - 1] {
            let mut tls = raw(&site, &running).await;
            write(&mut tls, &[first, &ASK[..cut]].concat()).await;
            assert_eq!(answer(&mut tls).await, expected, "{cut}");
            sleep(LOOKS).await;
            write(&mut tls, &ASK[cut..]).await;
            assert_eq!(answer(&mut tls).await, "http/1.1 200 ok", "{cut}");
        }
    }
}

#[tokio::test]
async fn whoever_rests_is_told_to_go_and_hung_up_on_like_anybody() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| {
        settings.next_request = Duration::from_secs(2);
    })
    .await;
    let mut late = raw(&site, &running).await;
    write(&mut late, ASK).await;
    answer(&mut late).await;
    running.until("at rest", |mtls| mtls.resting() == 1).await;
    // A clean end, not a reset: it had its time.
    let ended = timeout(DEADLINE, late.read(&mut [0; 8])).await.unwrap();
    assert_eq!(ended.unwrap(), 0);

    let mut client = raw(&site, &running).await;
    running.until("at rest", |mtls| mtls.resting() == 1).await;
    let pair = site.authority.client(&[WEB]);
    let lists = site.authority.lists(&[&pair]);
    site.publish_lists(2, &site.authority.server(), &lists);
    running.serves(2).await;
    let other = crate::site::Authority::named("other");
    site.publish_with(3, &site.authority.server(), &other.bundle());
    running
        .until("told", |mtls| mtls.metrics().drains(Reason::Untrusted) == 1)
        .await;
    let ended = timeout(DEADLINE, client.read(&mut [0; 8])).await.unwrap();
    assert_eq!(ended.unwrap(), 0);
    running
        .until("counted", |mtls| mtls.metrics().idle_closes() == 1)
        .await;
}

#[tokio::test]
async fn workers_share_the_connections_and_let_them_end_well() {
    let site = Site::new();
    let running = Running::start_on(&site, Workers::start().unwrap(), |config| {
        config.mtls.drain = DEADLINE;
    })
    .await;
    let mut clients = Vec::new();
    let mut streams = Vec::new();
    for http in BOTH {
        for _ in 0..4 {
            clients.push(Client::of(running.address, &site.authority, &[WEB], http).await);
            let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
            let response = client.send("/stream?seconds=1").await.unwrap();
            streams.push((client, response));
        }
    }
    for generation in 2..5 {
        site.publish(generation, &site.authority.server());
        running.serves(generation).await;
        for client in &mut clients {
            assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
        }
    }
    assert_eq!(running.mtls.metrics().requests("any", 200), 3 * 8 + 8);
    let stopped = running.stop();
    for (_client, response) in streams {
        assert!(whole(response).await.unwrap().1.ends_with("end\n"));
    }
    drop(clients);
    let drained = timeout(DEADLINE, stopped).await.unwrap().unwrap();
    assert_eq!(drained.forced, 0);
}
