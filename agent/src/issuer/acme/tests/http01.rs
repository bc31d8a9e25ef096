//! http-01: the responder, and files below a web server.

use super::*;

#[tokio::test]
async fn without_anybody_to_answer_the_ca_it_is_not_asked() {
    for (challenge, unit) in [
        (Challenge::Http01 { webroot: None }, "renewd-http01.socket"),
        (Challenge::TlsAlpn01, "renewd-tls-alpn01.socket"),
    ] {
        let ca = Ca::new(|_| None);
        let error = issue(&ca.issuer_by(challenge)).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Operator);
        let text = error.operator_text();
        assert!(text.contains(unit), "{text}");
        assert_eq!(ca.count("/directory"), 0);
    }
}

fn get(port: u16, head: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn the_responder_answers_what_is_up_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let challenges = Arc::<Challenges>::default();
    super::super::http01::serve(listener, Arc::clone(&challenges)).unwrap();
    let path = "GET /.well-known/acme-challenge/tok HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let ask = |head: &'static str| tokio::task::spawn_blocking(move || get(port, head));
    assert!(ask(path).await.unwrap().starts_with("HTTP/1.1 404 "));
    let by = Challenge::Http01 { webroot: None };
    let proofs = [proof("a.test", "tok.thumb"), proof("b.test", "tak.thumb")];
    let up = Placed::put(&challenges, &by, &proofs).await.unwrap();
    let answer = ask(path).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\ntok.thumb"),
        "{answer}"
    );
    for other in [
        "GET /.well-known/acme-challenge/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /.well-known/acme-challenge/../tok HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /.well-known/acme-challenge/tok HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        assert!(
            ask(other).await.unwrap().starts_with("HTTP/1.1 404 "),
            "{other}"
        );
    }
    // One that says nothing is let go, and holds nobody up.
    let begun = Instant::now();
    let silent = ask("GET /");
    assert!(ask(path).await.unwrap().starts_with("HTTP/1.1 200 "));
    silent.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(25));
    drop(up);
    assert!(ask(path).await.unwrap().starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_token_that_leads_elsewhere_is_refused() {
    for token in ["", "../../x", "a/b", "a.b", "ä", &"a".repeat(200)] {
        let proof = Proof::new(&Identifier::Dns("a.test".into()), token, "x");
        assert!(matches!(proof, Err(AcmeError::Protocol { .. })), "{token}");
    }
}

#[tokio::test]
async fn a_file_below_a_web_server_can_be_read_and_goes_when_it_was_seen() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let put = async |root: &Path| {
        let webroot = Some(root.to_owned());
        let by = Challenge::Http01 { webroot };
        Placed::put(&Arc::default(), &by, &[proof("a.test", "tok.thumb")]).await
    };
    let placed = put(&root).await.unwrap();
    let path = root.join(".well-known/acme-challenge/tok");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "tok.thumb");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    drop(placed);
    assert!(!path.exists());
    // The root itself is not made.
    let put = put(&root.join("nowhere")).await;
    assert!(matches!(put, Err(AcmeError::Webroot { .. })));
}
