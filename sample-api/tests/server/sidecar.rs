//! In front of an application that speaks plain HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{any, get};
use renewd_sample_api::metrics::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::timeout;

use crate::client::{BOTH, Client, Http, plain, settings, whole};
use crate::site::{DEADLINE, Running, Site, WEB};

/// Answers with what it was sent.
fn application() -> Router {
    let seen = |headers: HeaderMap| async move {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in &headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            all.entry(name.to_string()).or_default().push(value);
        }
        (
            [("connection", "x-hop"), ("x-hop", "1"), ("x-end", "2")],
            serde_json::to_string(&all).unwrap(),
        )
    };
    let slow = || async {
        let lines = futures_util::stream::unfold(0, |tick| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            (tick < 40).then(|| (Ok::<_, std::io::Error>(format!("tick {tick}\n")), tick + 1))
        });
        Body::from_stream(lines)
    };
    Router::new().route("/slow", get(slow)).fallback(any(seen))
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, application()).await });
    address
}

async fn in_front_of(site: &Site, upstream: &str) -> Running {
    Running::start_from(site, |config| {
        config.upstream = Some(upstream.parse().unwrap())
    })
    .await
}

#[tokio::test]
async fn the_application_learns_who_calls_and_nobody_else_can_tell_it() {
    let site = Site::new();
    let running = in_front_of(&site, &format!("http://{}", serve().await)).await;
    for http in BOTH {
        let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
        let forged = [
            ("x-client-identity", "root"),
            ("X-Client-Identity", "root"),
            ("x_client_identity", "root"),
            ("x-forwarded-client-cert", "Hash=0;URI=spiffe://root"),
            ("x_forwarded_client_cert", "Hash=0;URI=spiffe://root"),
            ("x.forwarded~client_cert", "Hash=0;URI=spiffe://root"),
            ("forwarded", "for=root"),
            ("x-forwarded-for", "root"),
            ("x-forwarded-proto", "root"),
            ("x-kept", "yes"),
        ];
        let (head, body) = client.ask_as("/any?q=1", &forged).await.unwrap();
        assert_eq!(head.status(), 200);
        let seen: BTreeMap<String, Vec<String>> = serde_json::from_str(&body).unwrap();
        assert!(!body.contains("root"), "{body}");
        assert_eq!(seen["x-client-identity"], [WEB]);
        let [certificate] = seen["x-forwarded-client-cert"].as_slice() else {
            panic!("{body}");
        };
        let (hash, uri) = certificate.split_once(';').unwrap();
        assert_eq!(hash.strip_prefix("Hash=").unwrap().len(), 64);
        assert_eq!(uri, format!("URI=\"{WEB}\""));
        assert_eq!(
            seen["forwarded"],
            ["for=127.0.0.1;proto=https;host=localhost"]
        );
        assert_eq!(
            (&seen["x-kept"][..], &seen["host"][..]),
            (&["yes".to_owned()][..], &["localhost".to_owned()][..])
        );
        assert!(seen.contains_key("traceparent"));
        // What speaks of one connection ends with it.
        assert!(!head.headers().contains_key("x-hop"));
        assert_eq!(head.headers()["x-end"], "2");
    }
    let mut wished_away = Client::of(running.address, &site.authority, &[WEB], Http::One).await;
    let wish = [(
        "connection",
        "x-client-identity, forwarded, host, traceparent",
    )];
    let (_, body) = wished_away.ask_as("/", &wish).await.unwrap();
    let seen: BTreeMap<String, Vec<String>> = serde_json::from_str(&body).unwrap();
    assert_eq!(seen["x-client-identity"], [WEB]);
    assert_eq!(seen["host"], ["localhost"]);
    assert!(seen.contains_key("traceparent"));
}

#[tokio::test]
async fn responses_are_passed_on_while_they_come() {
    let site = Site::new();
    let running = in_front_of(&site, &format!("http://{}", serve().await)).await;
    for http in BOTH {
        let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
        let mut response = client.send("/slow").await.unwrap();
        let first = http_body_util::BodyExt::frame(response.body_mut())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(first.into_data().unwrap(), "tick 0\n");
        let (_, rest) = whole(response).await.unwrap();
        assert!(
            rest.starts_with("tick 1\n") && rest.ends_with("tick 39\n"),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn an_application_behind_a_unix_socket_is_reached_too_and_one_that_is_gone_is_502() {
    let site = Site::new();
    let socket = site.path().join("app.sock");
    let running = in_front_of(&site, &format!("unix:{}", socket.display())).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    let (head, body) = client.ask("/").await.unwrap();
    assert_eq!(head.status(), 502);
    assert_eq!(head.headers()["content-type"], "application/problem+json");
    assert!(body.contains("cannot be reached"), "{body}");
    let metric = async |line: &str| {
        plain(running.health, "/metrics")
            .await
            .1
            .contains(&format!("\n{line}\n"))
    };
    assert!(metric("sample_api_upstream_up 0").await);

    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, application()).await });
    assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
    assert!(metric("sample_api_upstream_up 1").await);
    assert!(metric("sample_api_upstream_requests_total{result=\"answered\"} 1").await);
    assert!(metric("sample_api_upstream_requests_total{result=\"failed\"} 1").await);
}

/// Accepts one upgrade, and then says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(
            head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&format!("x-client-identity: {WEB}\r\n")),
            "{head}"
        );
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        tcp.write_all(answer).await.unwrap();
        let (mut read, mut write) = tcp.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    address
}

#[tokio::test]
async fn an_upgraded_connection_is_passed_through_and_ends_with_its_client() {
    let site = Site::new();
    let upstream = format!("http://{}", echo().await);
    let running = Running::start_from(&site, |config| {
        config.mtls.drain = Duration::from_millis(600);
        config.upstream = Some(upstream.parse().unwrap());
    })
    .await;
    let pair = site.authority.client(&[WEB]);
    let mut tls = Client::raw(
        running.address,
        settings(&site.authority, Some(&pair), Http::One),
    )
    .await;
    tls.write_all(
        b"GET /chat HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(DEADLINE, tls.read_u8()).await.unwrap().unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let mut said = [0; 5];
    for _ in 0..3 {
        tls.write_all(b"hello").await.unwrap();
        tls.flush().await.unwrap();
        timeout(DEADLINE, tls.read_exact(&mut said))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&said, b"hello");
    }
    let lists = site.authority.lists(&[&pair]);
    site.publish_lists(2, &site.authority.server(), &lists);
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, tls.read_to_end(&mut rest))
        .await
        .expect("cut in time");
    assert_eq!(running.mtls.metrics().forces(Reason::Revoked), 1);
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let site = Site::new();
    let running = Running::start_from(&site, |config| {
        config.redirect = Some("127.0.0.1:0".parse().unwrap())
    })
    .await;
    let (head, _) = plain(running.redirect.unwrap(), "/a?b=c").await;
    assert_eq!(head.status(), 308);
    let port = running.address.port();
    assert_eq!(
        head.headers()["location"],
        format!("https://localhost:{port}/a?b=c")
    );
    let answer = async |head: &str| {
        let mut tcp = TcpStream::connect(running.redirect.unwrap()).await.unwrap();
        let head = format!("{head}\r\nconnection: close\r\n\r\n");
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for host in ["a@b", ":", ":80"] {
        let answer = answer(&format!("GET /evil.example HTTP/1.1\r\nhost: {host}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let answer = answer("OPTIONS * HTTP/1.1\r\nhost: a").await;
    assert!(
        answer.contains(&format!("location: https://a:{port}/\r\n")),
        "{answer}"
    );
}
