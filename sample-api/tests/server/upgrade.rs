//! What HTTP is not through with, or hands on: bodies that are read after the answer, and connections that change to another
//! protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{any, get};
use hyper_util::rt::TokioIo;
use renewd_sample_api::metrics::Reason;
use renewd_sample_api::serve::Drained;
use renewd_sample_api::{MutualTls, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::client::{Client, Http, settings, unresumed};
use crate::site::{DEADLINE, Pair, Running, Site, WEB};

async fn raw(site: &Site, address: SocketAddr, pair: &Pair) -> TlsStream<TcpStream> {
    let settings = settings(&site.authority, Some(pair), Http::One);
    Client::raw(address, settings).await
}

/// Handlers of one's own behind the library.
async fn serve(mtls: &Arc<MutualTls>, app: Router) -> (SocketAddr, JoinHandle<Drained>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mtls = mtls.clone();
    let serving = async move {
        mtls.serve(vec![listener], app, std::future::pending())
            .await
    };
    (address, tokio::spawn(serving))
}

async fn head(tls: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(DEADLINE, tls.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The body of a request looks like another request, and comes after the answer.
#[tokio::test]
async fn a_body_that_is_read_after_the_answer_is_not_taken_for_a_request() {
    let site = Site::new();
    let mtls = MutualTls::open(Settings::new(site.directory())).unwrap();
    let (heard, mut hears) = mpsc::unbounded_channel();
    let app = Router::new().fallback(any(move |request: Request| {
        let heard = heard.clone();
        async move {
            let path = request.uri().path().to_owned();
            tokio::spawn(async move {
                let body = axum::body::to_bytes(request.into_body(), 1000).await;
                heard.send((path, body.unwrap_or_default())).unwrap();
            });
            "early"
        }
    }));
    let (address, server) = serve(&mtls, app).await;
    let pair = site.authority.client(&[WEB]);
    let mut tls = raw(&site, address, &pair).await;
    let body = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = body.len();
    let ask = format!("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    tls.write_all(ask.as_bytes()).await.unwrap();
    tls.flush().await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200"));
    // Several looks at a connection that is young: had it been taken out of HTTP, it would be by now.
    sleep(Duration::from_millis(150)).await;
    assert_eq!(mtls.resting(), 0);
    tls.write_all(body.as_bytes()).await.unwrap();
    tls.flush().await.unwrap();
    let (path, read) = timeout(DEADLINE, hears.recv()).await.unwrap().unwrap();
    assert_eq!((path.as_str(), &read[..]), ("/upload", body.as_bytes()));
    assert!(hears.try_recv().is_err());
    server.abort();
}

#[tokio::test]
async fn a_handler_that_upgrades_by_itself_ends_with_its_client_too() {
    let site = Site::new();
    let mut settings = Settings::new(site.directory());
    settings.drain = Duration::from_millis(600);
    let mtls = MutualTls::open(settings).unwrap();
    let (ended, end) = oneshot::channel();
    let ended = std::sync::Mutex::new(Some(ended));
    let ended = Arc::new(ended);
    let app = Router::new().route(
        "/",
        get(move |mut request: Request| {
            let ended = ended.clone();
            async move {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut io = TokioIo::new(upgrade.await.unwrap());
                    io.write_all(b"hello").await.unwrap();
                    io.flush().await.unwrap();
                    let end = io.read(&mut [0; 8]).await;
                    let ended = ended.lock().unwrap().take();
                    ended
                        .unwrap()
                        .send(end.map_err(|error| error.kind()))
                        .unwrap();
                });
                let headers = [("connection", "upgrade"), ("upgrade", "x")];
                (StatusCode::SWITCHING_PROTOCOLS, headers)
            }
        }),
    );
    let (address, server) = serve(&mtls, app).await;
    let pair = site.authority.client(&[WEB]);
    let mut tls = raw(&site, address, &pair).await;
    tls.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 101"));
    let mut said = [0; 5];
    tls.read_exact(&mut said).await.unwrap();
    assert_eq!(mtls.gauges().await.open, 1);
    let lists = site.authority.lists(&[&pair]);
    site.publish_lists(2, &site.authority.server(), &lists);
    let end = timeout(DEADLINE, end).await.unwrap().unwrap();
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionAborted));
    let rest = timeout(DEADLINE, tls.read_to_end(&mut Vec::new())).await;
    assert!(rest.is_ok(), "the client was left hanging");
    assert_eq!(mtls.metrics().forces(Reason::Revoked), 1);
    server.abort();
}

/// More than tokio lets one task do at a time.
#[tokio::test]
async fn whoever_waits_in_the_queue_when_the_server_stops_is_served() {
    const WAITING: usize = 200;
    let site = Site::new();
    let running = Running::start_as(&site, |settings| settings.max_connections = 1).await;
    let pair = site.authority.client(&[WEB]);
    let config = unresumed(&site.authority, Some(&pair), Http::One);
    let mut first = Client::connect(running.address, config.clone())
        .await
        .unwrap();
    first.ask("/").await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        waiting.push(TcpStream::connect(running.address).await.unwrap());
    }
    let stopped = running.stop();
    let connector = tokio_rustls::TlsConnector::from(config);
    for tcp in waiting {
        let mut tls = (connector.connect("localhost".try_into().unwrap(), tcp))
            .await
            .expect("served");
        tls.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let read = timeout(DEADLINE, tls.read_to_end(&mut answer)).await;
        assert!(read.is_ok() && answer.starts_with(b"HTTP/1.1 200"));
    }
    drop(first);
    timeout(DEADLINE, stopped).await.unwrap().unwrap();
}
