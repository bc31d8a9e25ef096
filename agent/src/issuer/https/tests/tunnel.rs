//! The way through a proxy.

use std::io::{self, Read as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;

use super::*;

/// What a proxy saw of one connection.
struct Seen {
    /// The request that it was asked.
    head: String,
    /// All that went to the server after that.
    sent: Vec<u8>,
}

/// A proxy that answers so, and where that is 200 copies what comes, to that port, whatever it was asked for.
fn proxy(answer: &'static str, to: u16) -> (String, mpsc::Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let Some(head) = head(&mut client) else {
                continue;
            };
            client.write_all(answer.as_bytes()).unwrap();
            let mut sent = Vec::new();
            if answer.starts_with("HTTP/1.1 200") {
                sent = copied(client, TcpStream::connect(("127.0.0.1", to)).unwrap());
            }
            // A test need not listen.
            let _ = tell.send(Seen { head, sent });
        }
    });
    (address, told)
}

/// Copies both ways until both have ended; returns what the client sent.
fn copied(mut client: TcpStream, server: TcpStream) -> Vec<u8> {
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let answering = thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (mut sent, mut server) = (Vec::new(), server);
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = client.read(&mut piece) {
        sent.extend(&piece[..read]);
        if server.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    answering.join().unwrap();
    sent
}

const OPEN: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const CANARY: &str = "canary-of-a-token";
const DEADLINE: Duration = Duration::from_secs(10);

/// A server that says what it was asked, and the request.
fn server() -> (Server, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let server = Server::new(Box::new(move |request, write| {
        tell.send(request.to_owned()).unwrap();
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    }));
    (server, told)
}

fn request(port: u16) -> Request<Bytes> {
    Request::post(format!("https://localhost:{port}/sign"))
        .header("authorization", CANARY)
        .body(Bytes::from_static(b"a request"))
        .unwrap()
}

#[tokio::test]
async fn a_request_goes_through_a_proxy_that_sees_nothing_but_to_whom() {
    let (server, asked) = server();
    let (proxy, seen) = proxy(OPEN, server.port);
    let client = Https::new(&server.ca(), Some(&proxy)).unwrap();
    let answer = client.send(request(server.port)).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.body()[..]),
        (StatusCode::OK, &b"ok"[..])
    );
    let asked = asked.recv_timeout(DEADLINE).unwrap();
    assert!(
        asked.starts_with("POST /sign ") && asked.contains(CANARY),
        "{asked}"
    );
    assert!(asked.ends_with("a request"), "{asked}");
    drop(client);
    let seen = seen.recv_timeout(DEADLINE).unwrap();
    let first = format!("CONNECT localhost:{} HTTP/1.1", server.port);
    assert_eq!(seen.head.lines().next(), Some(&*first));
    for hidden in [CANARY, "/sign", "a request"] {
        let sent = seen.sent.windows(hidden.len());
        let told = sent.chain(seen.head.as_bytes().windows(hidden.len()));
        assert!(
            told.into_iter().all(|part| part != hidden.as_bytes()),
            "{hidden}"
        );
    }
    // A record of a handshake (RFC 8446, section 5.1) is the first that goes through it.
    assert_eq!(seen.sent[0], 22);
}

#[tokio::test]
async fn the_server_behind_a_proxy_is_verified() {
    let ((server, _), (other, asked)) = (server(), server());
    // The proxy leads to another one than it was asked for.
    let (proxy, seen) = proxy(OPEN, other.port);
    let client = Https::new(&server.ca(), Some(&proxy)).unwrap();
    let error = client.send(request(server.port)).await.unwrap_err();
    assert!(matches!(error, HttpsError::Untrusted { .. }), "{error}");
    drop(client);
    let seen = seen.recv_timeout(DEADLINE).unwrap();
    assert!(seen.head.starts_with("CONNECT "), "{}", seen.head);
    assert!(asked.try_recv().is_err(), "the request went to a stranger");
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_is_asked_for_nothing_else() {
    let (server, _) = server();
    let (proxy, seen) = proxy("HTTP/1.1 403 Forbidden\r\n\r\n", server.port);
    let client = Https::new(&server.ca(), Some(&proxy)).unwrap();
    let error = client.send(get(server.port, "/")).await.unwrap_err();
    assert!(matches!(error, HttpsError::Unreachable { .. }), "{error}");
    let head = seen.recv_timeout(DEADLINE).unwrap().head;
    let first = format!("CONNECT localhost:{} ", server.port);
    assert!(head.starts_with(&first), "{head}");
}
