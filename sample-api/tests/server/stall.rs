//! Clients that do not go on: with a request, with taking a response, or with anything but new streams.

use std::time::Duration;

use renewd_sample_api::metrics::Stall;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::client::{Client, Http, plain, settings};
use crate::site::{DEADLINE, Running, Site, WEB};

const LIMIT: Duration = Duration::from_millis(300);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `GET /` with an authority, in HPACK without a table of its own.
const GET: &[u8] = b"\x82\x87\x84\x01\x09localhost";

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface, with a window for each stream.
fn begin(window: u32) -> Vec<u8> {
    let mut setting = vec![0, 4];
    setting.extend(window.to_be_bytes());
    [PREFACE, &frame(kind::SETTINGS, 0, 0, &setting)].concat()
}

async fn read_frame(tls: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    tls.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    tls.read_exact(&mut payload).await?;
    Ok((kind, flags, u32::from_be_bytes(stream), payload))
}

/// All frames until the server hangs up. Its settings and pings are answered and it is pinged, as a client does that is alive.
async fn until_hung_up(
    tls: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let (mut read, mut write) = tokio::io::split(tls);
    let mut clock = tokio::time::interval(LIMIT / 4);
    let read = async {
        loop {
            let ping = frame(kind::PING, 0, 0, &[7; 8]);
            let mut next = Box::pin(read_frame(&mut read));
            let frame_read = loop {
                tokio::select! {
                    frame_read = &mut next => break frame_read,
                    _ = clock.tick() => {
                        let _ = write.write_all(&ping).await;
                        let _ = write.flush().await;
                    }
                }
            };
            let Ok(frame_read) = frame_read else { return };
            let (kind, flags, _, payload) = &frame_read;
            if matches!(*kind, kind::SETTINGS | kind::PING) && flags & ACK == 0 {
                let payload: &[u8] = if *kind == kind::PING { payload } else { &[] };
                let _ = write.write_all(&frame(*kind, ACK, 0, payload)).await;
                let _ = write.flush().await;
            }
            all.push(frame_read);
        }
    };
    timeout(DEADLINE, read).await.expect("hung up on");
    all
}

/// What a GOAWAY gives as its reason.
fn went_away(frames: &[(u8, u8, u32, Vec<u8>)]) -> Option<u8> {
    let goaway = frames
        .iter()
        .rev()
        .find(|(kind, ..)| *kind == kind::GOAWAY)?;
    Some(goaway.3[7])
}

async fn start(site: &Site) -> Running {
    Running::start_as(site, |settings| settings.stall = LIMIT).await
}

async fn raw(site: &Site, running: &Running, http: Http) -> TlsStream<TcpStream> {
    let pair = site.authority.client(&[WEB]);
    Client::raw(
        running.address,
        settings(&site.authority, Some(&pair), http),
    )
    .await
}

async fn counted(running: &Running, what: Stall, count: u64) {
    running
        .until(what.word(), |mtls| mtls.metrics().stalls(what) == count)
        .await;
}

/// An application that wants the whole body, and answers with as much.
async fn echo() -> std::net::SocketAddr {
    let app = axum::Router::new().fallback(async |body: axum::body::Bytes| body);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn start_before_echo(site: &Site) -> Running {
    let upstream = format!("http://{}", echo().await).parse().unwrap();
    Running::start_from(site, |config| {
        config.mtls.stall = LIMIT;
        config.upstream = Some(upstream);
    })
    .await
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_408_over_http_1_and_the_connection_ends() {
    let site = Site::new();
    let running = start_before_echo(&site).await;
    let mut tls = raw(&site, &running, Http::One).await;
    let begun = Instant::now();
    tls.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    let mut answer = String::new();
    let _ = timeout(DEADLINE, tls.read_to_string(&mut answer))
        .await
        .expect("the connection ends");
    assert!(begun.elapsed() >= LIMIT);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    counted(&running, Stall::Request, 1).await;
    assert_eq!(running.mtls.metrics().requests("any", 408), 1);
    let metrics = plain(running.health, "/metrics").await.1;
    let line = "sample_api_stalled_total{what=\"request\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_body_that_comes_slowly_but_comes_is_waited_for() {
    let site = Site::new();
    let running = start_before_echo(&site).await;
    let mut tls = raw(&site, &running, Http::One).await;
    tls.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n")
        .await
        .unwrap();
    let begun = Instant::now();
    for byte in b"slowness" {
        let mut answer = [0; 64];
        // Nothing is answered before the end.
        let waited = timeout(LIMIT / 4, tls.read(&mut answer)).await;
        assert!(waited.is_err(), "{}", String::from_utf8_lossy(&answer));
        tls.write_all(&[*byte]).await.unwrap();
        tls.flush().await.unwrap();
    }
    assert!(begun.elapsed() > LIMIT);
    let mut answer = [0; 4096];
    let length = timeout(DEADLINE, tls.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(running.mtls.metrics().stalls(Stall::Request), 0);
}

#[tokio::test]
async fn a_body_that_stalls_over_http_2_ends_its_stream_and_no_other() {
    let site = Site::new();
    let running = start_before_echo(&site).await;
    let mut tls = raw(&site, &running, Http::Two).await;
    let post = [b"\x83".as_slice(), &GET[1..]].concat();
    let ask = [
        begin(65_535),
        frame(kind::HEADERS, END_HEADERS, 1, &post),
        frame(kind::DATA, 0, 1, b"half"),
    ];
    tls.write_all(&ask.concat()).await.unwrap();
    let answered = async |tls: &mut TlsStream<TcpStream>, stream: u32| {
        let mut ended = Vec::new();
        while !ended.iter().any(|(kind, flags, of)| {
            *of == stream && (*kind == kind::RST_STREAM || *flags & END_STREAM != 0)
        }) {
            let (kind, flags, of, payload) = read_frame(tls).await.unwrap();
            if kind == kind::HEADERS && of == stream {
                // 408 is not in the static table, 200 is its place 8.
                assert_eq!(payload[0] == 0x88, stream == 3);
            }
            ended.push((kind, flags, of));
        }
        ended
    };
    timeout(DEADLINE, answered(&mut tls, 1)).await.unwrap();
    counted(&running, Stall::Request, 1).await;
    assert_eq!(running.mtls.metrics().requests("any", 408), 1);
    let next = frame(kind::HEADERS, END_HEADERS | END_STREAM, 3, GET);
    tls.write_all(&next).await.unwrap();
    timeout(DEADLINE, answered(&mut tls, 3)).await.unwrap();
}

/// 64 MiB, which no buffer on the way takes.
async fn start_with_much(site: &Site) -> Running {
    let app = axum::Router::new().fallback(async || vec![0_u8; 64 << 20]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Running::start_from(site, |config| {
        config.mtls.stall = LIMIT;
        config.upstream = Some(upstream.parse().unwrap());
    })
    .await
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_is_hung_up_on() {
    let site = Site::new();
    let running = start_with_much(&site).await;
    let mut one = raw(&site, &running, Http::One).await;
    one.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    counted(&running, Stall::Response, 1).await;
    let ask = [
        begin(0x7fff_ffff),
        frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()),
        frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET),
    ];
    let mut two = raw(&site, &running, Http::Two).await;
    two.write_all(&ask.concat()).await.unwrap();
    counted(&running, Stall::Response, 2).await;
    running
        .until("both are gone", |mtls| {
            mtls.metrics().requests("any", 200) == 2
        })
        .await;
    for tls in [&mut one, &mut two] {
        let mut all = Vec::new();
        let _ = timeout(DEADLINE, tls.read_to_end(&mut all))
            .await
            .expect("hung up on");
        assert!(all.len() < 64 << 20);
    }
}

#[tokio::test]
async fn a_client_that_keeps_its_window_closed_is_hung_up_on_though_it_is_alive() {
    let site = Site::new();
    for window in [0, 1] {
        let running = start_with_much(&site).await;
        let mut tls = raw(&site, &running, Http::Two).await;
        let ask = [
            begin(window),
            frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET),
        ];
        tls.write_all(&ask.concat()).await.unwrap();
        let frames = until_hung_up(&mut tls).await;
        let data = frames.iter().filter(|(kind, ..)| *kind == kind::DATA);
        assert_eq!(
            data.map(|(.., data)| data.len()).sum::<usize>(),
            window as usize
        );
        assert!(frames.iter().any(|(kind, ..)| *kind == kind::HEADERS));
        counted(&running, Stall::Response, 1).await;
        std::fs::remove_file(site.path().join("admin.sock")).unwrap();
    }
}

#[tokio::test]
async fn responses_that_are_handed_over_whole_are_waited_for_no_longer() {
    const BODY: usize = 7_000;
    let site = Site::new();
    let app = axum::Router::new().fallback(async || vec![0_u8; BODY]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let running = Running::start_from(&site, |config| {
        config.mtls.stall = LIMIT;
        config.upstream = Some(upstream.parse().unwrap());
    })
    .await;
    let mut tls = raw(&site, &running, Http::Two).await;
    // A byte of each may be sent, and is; the rest waits for a window that never opens.
    let mut ask = begin(1);
    for stream in 0..20 {
        ask.extend(frame(
            kind::HEADERS,
            END_HEADERS | END_STREAM,
            2 * stream + 1,
            GET,
        ));
    }
    tls.write_all(&ask).await.unwrap();
    until_hung_up(&mut tls).await;
    counted(&running, Stall::Response, 1).await;
}

#[tokio::test]
async fn a_response_of_which_the_client_takes_a_part_now_and_then_goes_on() {
    let site = Site::new();
    let running = start_with_much(&site).await;
    let mut tls = raw(&site, &running, Http::Two).await;
    let window = 20_000;
    let ask = [
        begin(window),
        frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET),
    ];
    tls.write_all(&ask.concat()).await.unwrap();
    let begun = Instant::now();
    let (mut taken, mut given) = (0, window as usize);
    while begun.elapsed() < LIMIT * 4 {
        // More is let in once all of the last is there.
        let (kind, _, _, payload) = timeout(DEADLINE, read_frame(&mut tls))
            .await
            .unwrap()
            .unwrap();
        taken += usize::from(kind == kind::DATA) * payload.len();
        if taken == given {
            let mut nothing = [0];
            assert!(timeout(LIMIT / 4, tls.read(&mut nothing)).await.is_err());
            let more = [0, 1].map(|stream| frame(8, 0, stream, &window.to_be_bytes()));
            tls.write_all(&more.concat()).await.unwrap();
            given += window as usize;
        }
    }
    assert_eq!(running.mtls.metrics().stalls(Stall::Response), 0);
}

#[tokio::test]
async fn a_response_that_the_application_takes_its_time_for_is_not_the_clients_fault() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| {
        settings.stall = Duration::from_millis(20);
    })
    .await;
    for http in crate::client::BOTH {
        let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
        let (_, text) = client.ask("/stream?seconds=1").await.unwrap();
        assert!(text.ends_with("end\n"), "{http:?}: {text}");
    }
    assert_eq!(running.mtls.metrics().stalls(Stall::Response), 0);
}

#[tokio::test]
async fn who_agrees_on_http_2_and_does_not_speak_it_is_hung_up_on() {
    let site = Site::new();
    let running = start(&site).await;
    let mut silent = raw(&site, &running, Http::Two).await;
    let mut all = Vec::new();
    let _ = timeout(DEADLINE, silent.read_to_end(&mut all))
        .await
        .expect("hung up on");
    counted(&running, Stall::Request, 1).await;
    // Nor does it help to send it in small parts.
    let mut slow = raw(&site, &running, Http::Two).await;
    let trickle = async {
        for byte in PREFACE {
            if slow.write_all(&[*byte]).await.is_err() || slow.flush().await.is_err() {
                return;
            }
            let mut answer = [0; 64];
            while let Ok(read) = timeout(LIMIT / 10, slow.read(&mut answer)).await {
                if matches!(read, Ok(0) | Err(_)) {
                    return;
                }
            }
        }
        panic!("it took {PREFACE:?}");
    };
    timeout(DEADLINE, trickle).await.expect("hung up on");
    counted(&running, Stall::Request, 2).await;
}

#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection() {
    let site = Site::new();
    let running = start(&site).await;
    let mut other = Client::of(running.address, &site.authority, &["a.example"], Http::Two).await;
    let tls = raw(&site, &running, Http::Two).await;
    let mut flood = begin(65_535);
    for stream in (1..4000).step_by(2) {
        flood.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, GET));
        flood.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let (mut read, mut write) = tokio::io::split(tls);
    tokio::spawn(async move { write.write_all(&flood).await });
    let mut frames = Vec::new();
    let all = async {
        while let Ok(frame) = read_frame(&mut read).await {
            frames.push(frame);
        }
    };
    timeout(DEADLINE, all).await.expect("hung up on");
    assert_eq!(went_away(&frames), Some(11), "ENHANCE_YOUR_CALM");
    assert_eq!(other.ask("/").await.unwrap().0.status(), 200);
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let site = Site::new();
    let running = start(&site).await;
    let tls = raw(&site, &running, Http::Two).await;
    let (mut read, mut write) = tokio::io::split(tls);
    let flood = tokio::spawn(async move {
        let head = [begin(65_535), frame(kind::HEADERS, END_STREAM, 1, GET)];
        write.write_all(&head.concat()).await?;
        // Each is a literal with a name of its own, and none ends the head.
        let part = [b"\x00\x01x\x7f\x81\x07".as_slice(), &[b'y'; 256]].concat();
        for _ in 0..10_000 {
            write
                .write_all(&frame(kind::CONTINUATION, 0, 1, &part))
                .await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let mut frames = Vec::new();
    let all = async {
        while let Ok(frame) = read_frame(&mut read).await {
            frames.push(frame);
        }
    };
    timeout(DEADLINE, all).await.expect("hung up on");
    assert!(
        went_away(&frames).is_some_and(|reason| reason != 0),
        "{frames:?}"
    );
    flood.abort();
}
