//! The dialogues before TLS, with servers that are right, and wrong at each step.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use renewd_core::proof::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pki::Pki;
use super::server::{self, serving};
use super::{assert_failed, assert_served, once, probe};
use crate::probe::starttls::Dialogue;
use crate::probe::{Limits, ProbeTarget, Protocol};

const PROTOCOLS: [Protocol; 5] = [
    Protocol::Postgres,
    Protocol::Mysql,
    Protocol::Smtp,
    Protocol::Imap,
    Protocol::Ldap,
];

const LDAP_REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// What MySQL 8 says first; with or without the capability to do TLS.
fn mysql_greeting(tls: bool) -> Vec<u8> {
    let mut payload = vec![10];
    payload.extend_from_slice(b"8.0.36\0");
    payload.extend_from_slice(&[7, 0, 0, 0]);
    payload.extend_from_slice(b"12345678\0");
    payload.extend_from_slice(&(if tls { 0xffff_u16 } else { 0xf7ff }).to_le_bytes());
    payload.extend_from_slice(&[255, 2, 0, 0xff, 0xdf, 21]);
    payload.extend_from_slice(&[0; 10]);
    payload.extend_from_slice(b"123456789012\0caching_sha2_password\0");
    packet(&payload)
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[0], payload].concat()
}

/// An ExtendedResponse with lengths in the long form, as Active Directory writes them.
fn ldap_response(code: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let response = [&[0x0a, 1, code, 4, 0, 4, length], text.as_bytes()].concat();
    let response_length = u8::try_from(response.len()).unwrap();
    let head = [2, 1, 1, 0x78, 0x84, 0, 0, 0, response_length];
    let whole = u8::try_from(head.len() + response.len()).unwrap();
    [&[0x30, 0x84, 0, 0, 0, whole], &head[..], &response].concat()
}

/// The server's part of a dialogue that comes to TLS.
async fn lead(protocol: Protocol, mut stream: TcpStream) -> TcpStream {
    match protocol {
        Protocol::Tls => {}
        Protocol::Postgres => {
            assert_eq!(stream.read_u64().await.unwrap(), 0x0000_0008_04d2_162f);
            stream.write_all(b"S").await.unwrap();
        }
        Protocol::Mysql => {
            stream.write_all(&mysql_greeting(true)).await.unwrap();
            let mut request = [0; 36];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(request[..4], [32, 0, 0, 1]);
            assert_eq!(request[5] & 0x0a, 0x0a, "PROTOCOL_41 and SSL are set");
        }
        Protocol::Smtp => {
            stream
                .write_all(b"220-mx.test\r\n220 ESMTP\r\n")
                .await
                .unwrap();
            assert_eq!(line(&mut stream).await, "EHLO localhost\r\n");
            let offer = b"250-mx.test\r\n250-PIPELINING\r\n250-starttls\r\n250 HELP\r\n";
            stream.write_all(offer).await.unwrap();
            assert_eq!(line(&mut stream).await, "STARTTLS\r\n");
            stream.write_all(b"220 Go ahead\r\n").await.unwrap();
        }
        Protocol::Imap => {
            stream
                .write_all(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
                .await
                .unwrap();
            assert_eq!(line(&mut stream).await, "a1 STARTTLS\r\n");
            let answer = b"* CAPABILITY IMAP4rev1\r\na1 ok begin now\r\n";
            stream.write_all(answer).await.unwrap();
        }
        Protocol::Ldap => {
            let mut request = [0; LDAP_REQUEST.len()];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(request, LDAP_REQUEST);
            stream.write_all(&ldap_response(0, "")).await.unwrap();
        }
    }
    stream
}

/// One line, and no byte behind it.
async fn line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    while !line.ends_with('\n') {
        line.push(char::from(stream.read_u8().await.unwrap()));
    }
    line
}

/// The same address with another scheme.
fn with(protocol: Protocol, target: &ProbeTarget) -> ProbeTarget {
    let text = target.to_string();
    text.replace("tls:", &format!("{}:", protocol.as_str()))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn every_protocol_that_comes_to_tls_is_served() {
    let pki = Pki::new();
    let published = pki.identity();
    let expected = pki.expect(&published);
    for protocol in PROTOCOLS {
        let (listener, target) = server::listen().await;
        let config = serving(published.certified());
        let log = Arc::default();
        let choose = move |_| config.clone();
        let prelude = move |stream| lead(protocol, stream);
        tokio::spawn(server::accept(listener, log, choose, prelude));
        let report = probe(&with(protocol, &target), &expected, once()).await;
        assert_served(&report, &expected);
    }
}

#[tokio::test]
async fn a_silent_server_is_a_timeout_that_names_the_step() {
    let pki = Pki::new();
    let expected = pki.expect(&pki.identity());
    for (protocol, step) in [
        (
            Protocol::Postgres,
            "PostgreSQL SSLRequest: connected, but no answer",
        ),
        (Protocol::Mysql, "MySQL greeting: connected, but no answer"),
        (Protocol::Smtp, "SMTP greeting: connected, but no answer"),
        (Protocol::Imap, "IMAP greeting: connected, but no answer"),
        (Protocol::Ldap, "LDAP StartTLS: connected, but no answer"),
    ] {
        let (_listener, target) = server::listen().await;
        let limits = Limits {
            handshake_timeout: Duration::from_millis(50),
            ..once()
        };
        let report = probe(&with(protocol, &target), &expected, limits).await;
        assert_failed(&report, Reason::Timeout, step);
    }
}

#[tokio::test]
async fn a_refusal_before_tls_is_a_handshake_failure_that_names_the_step() {
    let pki = Pki::new();
    let expected = pki.expect(&pki.identity());
    let (listener, target) = server::listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u64().await.unwrap();
        stream.write_all(b"N").await.unwrap();
    });
    let report = probe(&with(Protocol::Postgres, &target), &expected, once()).await;
    assert_failed(
        &report,
        Reason::Handshake,
        "PostgreSQL SSLRequest: the server does no TLS here",
    );
}

#[tokio::test]
async fn what_is_slipped_in_behind_the_answer_breaks_the_handshake() {
    let pki = Pki::new();
    let published = pki.identity();
    let (listener, target) = server::listen().await;
    let config = serving(published.certified());
    let prelude = |stream| async {
        let mut stream = lead(Protocol::Postgres, stream).await;
        stream.write_all(b"injected").await.unwrap();
        stream
    };
    let choose = move |_| config.clone();
    tokio::spawn(server::accept(listener, Arc::default(), choose, prelude));
    let report = probe(
        &with(Protocol::Postgres, &target),
        &pki.expect(&published),
        once(),
    )
    .await;
    assert_failed(&report, Reason::Handshake, "not TLS: \"injected");
}

/// What the dialogue makes of a server that says this and closes.
async fn told(protocol: Protocol, answer: &[u8]) -> Result<(), String> {
    // Wide enough for all that the client says, so that neither side waits for the other.
    let (mut ours, mut theirs) = tokio::io::duplex(answer.len() + 1024);
    theirs.write_all(answer).await.unwrap();
    theirs.shutdown().await.unwrap();
    Dialogue::new(&mut ours).hold(protocol).await
}

#[tokio::test]
async fn every_wrong_answer_is_told_in_words() {
    let error = packet(b"\xff\x10\x04Too many connections");
    let ldap_error = ldap_response(52, "TLS not configured");
    for (protocol, answer, words) in [
        (Protocol::Postgres, &b"E"[..], "answered with an error"),
        (Protocol::Postgres, b"H", "not PostgreSQL"),
        (Protocol::Postgres, b"", "the server closed the connection"),
        (
            Protocol::Mysql,
            &error,
            "error 1040: \"Too many connections\"",
        ),
        (
            Protocol::Mysql,
            &mysql_greeting(false),
            "the server offers no TLS",
        ),
        (
            Protocol::Mysql,
            b"\x01\0\0\0\x0a",
            "the greeting is too short",
        ),
        (Protocol::Mysql, b"HTTP/1.1", "not MySQL"),
        (Protocol::Mysql, b"\xff\xff\xff\0", "beyond 64 KiB"),
        (Protocol::Mysql, b"\0\0\0\0", "not MySQL"),
        (
            Protocol::Smtp,
            b"554 go away\r\n",
            "expected 220, got \"554 go away\"",
        ),
        (
            Protocol::Smtp,
            b"220 x\r\n250-x\r\n250 HELP\r\n",
            "does not offer STARTTLS",
        ),
        (
            Protocol::Smtp,
            b"220 x\r\n250 STARTTLS\r\n",
            "does not offer STARTTLS",
        ),
        (
            Protocol::Smtp,
            b"220 x\r\n250-x\r\n250 STARTTLS\r\n454 no\r\n",
            "expected 220, got \"454 no\"",
        ),
        (
            Protocol::Smtp,
            b"220 x\r\n250-x\r\n251 x\r\n",
            "expected 250",
        ),
        (Protocol::Smtp, &[b'2'; 70_000], "beyond 64 KiB"),
        (
            Protocol::Smtp,
            &b"220-x\r\n".repeat(10_000),
            "beyond 64 KiB",
        ),
        (Protocol::Smtp, b"\x1b[2J\r\n", "got \"\\x1b[2J\""),
        (Protocol::Imap, b"* BYE\r\n", "expected * OK, got \"* BYE\""),
        (Protocol::Imap, b"* PREAUTH x\r\n", "expected * OK"),
        (
            Protocol::Imap,
            b"* OK\r\na1 BAD no\r\n",
            "expected a1 OK, got \"a1 BAD no\"",
        ),
        (Protocol::Imap, b"* OK\r\na1 OKAY\r\n", "expected a1 OK"),
        (
            Protocol::Ldap,
            &ldap_error,
            "LDAP result 52 \"TLS not configured\"",
        ),
        (Protocol::Ldap, b"HTTP/1.1", "not LDAP"),
        (Protocol::Ldap, b"\x30\x80", "a length without end"),
        (Protocol::Ldap, b"\x30\x84\xff\xff\xff\xff", "beyond 64 KiB"),
        (Protocol::Ldap, b"\x30\x03\x02\x01\x02", "not LDAP's answer"),
    ] {
        let error = told(protocol, answer).await.expect_err(words);
        assert!(error.contains(words), "{protocol:?} {words:?}: {error}");
    }
}

proptest! {
    #[test]
    fn no_answer_brings_a_dialogue_down(
        protocol in prop::sample::select(&PROTOCOLS[..]),
        keep in 0_usize..64,
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        // A right beginning leads deeper than noise alone.
        let right = match protocol {
            Protocol::Postgres | Protocol::Tls => Vec::new(),
            Protocol::Mysql => mysql_greeting(true),
            Protocol::Smtp => b"220 x\r\n250-x\r\n250 STARTTLS\r\n220".to_vec(),
            Protocol::Imap => b"* OK\r\n* x\r\na1 OK\r\n".to_vec(),
            Protocol::Ldap => ldap_response(0, "all is well"),
        };
        let answer = [&right[..keep.min(right.len())], &noise].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Whatever it says: an answer, and no panic.
        let _: Result<(), String> = runtime.block_on(told(protocol, &answer));
    }
}
