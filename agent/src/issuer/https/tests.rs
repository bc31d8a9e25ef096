//! The client against servers that misbehave as no real one can be made to.

mod identity;
mod tunnel;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use renewd_core::leaf::Fingerprint;
use rustls::DEFAULT_VERSIONS;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;

use super::super::{IssueError, Retry};
use super::*;

/// What a server does with a connection once it has the request, head and body: everything that it writes. Below the
/// request stands `client: ` and the fingerprint of the client's certificate, if it was shown one.
pub(crate) type Manner = Box<dyn Fn(&str, &mut dyn FnMut(&[u8]) -> bool) + Send>;

/// Which clients a server lets in.
pub(crate) enum Clients {
    All,
    /// Those with a certificate below one of these, and those without any.
    Below(RootCertStore),
    /// Only those with a certificate below one of these.
    OnlyBelow(RootCertStore),
}

/// A TLS server of its own CA.
pub(crate) struct Server {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn new(manner: Manner) -> Self {
        Self::of(Clients::All, DEFAULT_VERSIONS, manner)
    }

    pub(crate) fn of(
        clients: Clients,
        versions: &[&'static SupportedProtocolVersion],
        manner: Manner,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let name = format!("{:02x?}", &ca_key.public_key_raw()[1..9]);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, ca_key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), ca.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = |roots: RootCertStore| {
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        };
        let verifier = match clients {
            Clients::All => WebPkiClientVerifier::no_client_auth(),
            Clients::Below(roots) => verifier(roots).allow_unauthenticated().build().unwrap(),
            Clients::OnlyBelow(roots) => verifier(roots).build().unwrap(),
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = Stream::new(&mut connection, &mut socket);
                let Some(mut request) = request(&mut stream) else {
                    // What it was refused with may still have to be sent.
                    let _ = connection.write_tls(&mut socket);
                    continue;
                };
                if let Some([leaf, ..]) = stream.conn.peer_certificates() {
                    request.push_str(&format!("\r\nclient: {}", Fingerprint::of(leaf)));
                }
                manner(&request, &mut |bytes| {
                    stream.write_all(bytes).is_ok() && stream.flush().is_ok()
                });
                connection.send_close_notify();
                let _ = connection.write_tls(&mut socket);
            }
        });
        Self { directory, port }
    }

    fn answering(text: &str) -> Self {
        let text = text.to_owned();
        Self::new(Box::new(move |_, write| {
            write(text.as_bytes());
        }))
    }

    pub(crate) fn ca(&self) -> Trust {
        Trust::File(self.directory.path().join("ca.pem"))
    }

    async fn asked(&self, trust: &Trust) -> Result<Response<Bytes>, HttpsError> {
        let deadlines = Deadlines {
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(2),
        };
        let client = Https::with(peer(trust), deadlines)?;
        client.send(get(self.port, "/directory")).await
    }

    async fn get(&self) -> Result<Response<Bytes>, HttpsError> {
        self.asked(&self.ca()).await
    }
}

fn peer(trust: &Trust) -> Peer<'_> {
    Peer {
        trust,
        also: &[],
        proxy: None,
        identity: None,
        tls12: false,
    }
}

fn head(stream: &mut impl std::io::Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// The whole request: a socket that is closed with something unread takes the answer back.
fn request(stream: &mut impl std::io::Read) -> Option<String> {
    let mut request = head(stream)?;
    let length = request
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.push_str(&String::from_utf8(body).ok()?);
    Some(request)
}

fn get(port: u16, path: &str) -> Request<Bytes> {
    let uri = format!("https://localhost:{port}{path}");
    Request::get(uri).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_good_server_is_asked_under_our_own_name_and_read_to_the_end() {
    let server = Server::new(Box::new(|head, write| {
        let agent = concat!("user-agent: renewd/", env!("CARGO_PKG_VERSION"), "\r\n");
        assert!(head.contains(agent), "{head}");
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    }));
    let answer = server.get().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(&answer.body()[..], b"hello");
}

#[tokio::test]
async fn a_slow_server_is_left_at_the_deadline() {
    // One byte now and then keeps a connection alive, and is no answer.
    let server = Server::new(Box::new(|_, write| {
        while write(b"H") {
            thread::park_timeout(Duration::from_millis(300));
        }
    }));
    let begun = Instant::now();
    let error = server.get().await.unwrap_err();
    assert!(
        matches!(error, HttpsError::Slow { .. } | HttpsError::Broken { .. }),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    // The same with a body that trickles.
    let server = Server::new(Box::new(|_, write| {
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while write(b".") {
            thread::park_timeout(Duration::from_millis(300));
        }
    }));
    let error = server.get().await.unwrap_err();
    assert!(matches!(error, HttpsError::Slow { .. }), "{error}");
    assert_eq!(error.retry(), Retry::BackOff);
}

#[tokio::test]
async fn an_endless_answer_is_left_after_a_mebibyte() {
    let server = Server::new(Box::new(|_, write| {
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 524288000\r\n\r\n");
        let piece = [b'.'; 16 * 1024];
        for _ in 0..(500 * 64) {
            if !write(&piece) {
                return;
            }
        }
    }));
    let error = server.get().await.unwrap_err();
    assert!(matches!(error, HttpsError::TooLong { .. }), "{error}");
    assert!(error.to_string().contains("longer than 1048576 bytes"));
}

#[tokio::test]
async fn a_truncated_answer_is_none() {
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhalf",
        "HTTP/1.1 200",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let error = Server::answering(text).get().await.unwrap_err();
        assert!(
            matches!(error, HttpsError::Broken { .. }),
            "{text}: {error}"
        );
        assert_eq!(error.retry(), Retry::BackOff);
    }
}

#[tokio::test]
async fn a_redirect_is_followed_within_the_host_and_nowhere_else() {
    let server = Server::new(Box::new(|head, write| {
        if head.starts_with("GET /directory ") {
            write(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        } else {
            write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    }));
    assert_eq!(&server.get().await.unwrap().body()[..], b"ok");
    for (to, named) in [
        (
            "https://elsewhere.invalid/",
            "redirects to elsewhere.invalid",
        ),
        ("http://localhost/", "redirects to localhost"),
        ("/directory", "over and over"),
    ] {
        let server = Server::answering(&format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ));
        let error = server.get().await.unwrap_err();
        assert!(matches!(error, HttpsError::Redirected { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused_and_the_sentence_says_so() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let other = Server::answering("");
    let error = server.asked(&other.ca()).await.unwrap_err();
    assert!(matches!(error, HttpsError::Untrusted { .. }), "{error}");
    let text = IssueError::from(error).operator_text();
    assert!(
        text.contains(&format!("localhost:{}", server.port)),
        "{text}"
    );
    assert!(
        text.contains("UnknownIssuer") && text.contains("`ca`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let server = Server::answering("");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let client = Https::new(&server.ca(), None).unwrap();
    let error = client.send(get(closed, "/")).await.unwrap_err();
    assert!(matches!(error, HttpsError::Unreachable { .. }), "{error}");
    // And so is one behind a proxy that is not there.
    let proxy = format!("http://127.0.0.1:{closed}");
    let client = Https::new(&server.ca(), Some(&proxy)).unwrap();
    let error = client.send(get(server.port, "/")).await.unwrap_err();
    assert!(matches!(error, HttpsError::Unreachable { .. }), "{error}");
}

#[test]
fn anchors_come_from_one_file_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let problem = |path: &Path| Https::new(&Trust::File(path.into()), None).unwrap_err();
    assert!(matches!(problem(&path), HttpsError::Roots { .. }));
    std::fs::write(&path, "nothing").unwrap();
    assert!(matches!(problem(&path), HttpsError::Roots { .. }));
    assert!(problem(&path).to_string().contains("ca.pem"));
}

#[test]
fn retry_after_is_seconds_or_a_date_and_absurd_values_are_bounded() {
    let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
    let week = Some(LONGEST_RETRY_AFTER);
    for (text, expected) in [
        ("120", Some(Duration::from_secs(120))),
        (" 0 ", Some(Duration::ZERO)),
        ("1000000000", week),
        ("99999999999999999999999999", week),
        (
            "Sun, 22 Nov 2026 07:01:30 GMT",
            Some(Duration::from_secs(90)),
        ),
        ("Tue, 31 Dec 2999 23:59:59 GMT", week),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        assert_eq!(retry_after(&headers, now), expected, "{text:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}
