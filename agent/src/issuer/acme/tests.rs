//! The issuer against a CA of our own that does what pebble cannot be made to do. The way to a certificate is tried
//! against a real one, by the scenarios.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use renewd_core::names::CertificateName;
use renewd_core::request::{KeyType, Request, Usages};
use tempfile::TempDir;

use super::super::Retry;
use super::super::https::tests::Server;
use super::challenge::Placed;
use super::*;
use crate::keys::PrivateKey;

/// A CA that answers each request by its path: with a status, further headers, a type and a body, in which `BASE` is
/// its own address.
struct Ca {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
    /// What was signed, each after its path.
    said: Arc<Mutex<Vec<(String, String)>>>,
    directory: TempDir,
}

type Told = (&'static str, &'static str, &'static str, &'static str);

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const DIRECTORY: &str = r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order","renewalInfo":"BASE/ari","meta":{}}"#;
const ORDER: &str =
    r#"{"status":"pending","authorizations":["BASE/authz"],"finalize":"BASE/finalize"}"#;
const AUTHZ: &str = r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"http-01","url":"BASE/challenge","token":"abc","status":"pending"}]}"#;

impl Ca {
    /// `told` says what is answered at a path; what it does not name is answered as a good CA does.
    fn new(told: impl Fn(&str) -> Option<Told> + Send + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let (seen, heard) = (Arc::clone(&asked), Arc::clone(&said));
        let server = Server::new(Box::new(move |head, write| {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let host = head.lines().find_map(|line| line.strip_prefix("host: "));
            let base = format!("https://{}", host.unwrap());
            seen.lock().unwrap().push(path.clone());
            let body = head.split("\r\n\r\n").nth(1).unwrap();
            heard
                .lock()
                .unwrap()
                .extend(payload(body).map(|text| (path.clone(), text)));
            let (status, headers, kind, body) = told(&path).unwrap_or(match path.as_str() {
                "/directory" => ("200 OK", "", JSON, DIRECTORY),
                "/nonce" => ("200 OK", "", JSON, ""),
                "/account" => ("201 Created", "location: BASE/account/1\r\n", JSON, "{}"),
                "/order" | "/order/1" => ("201 Created", "location: BASE/order/1\r\n", JSON, ORDER),
                "/authz" => ("200 OK", "", JSON, AUTHZ),
                _ => (
                    "404 Not Found",
                    "",
                    PROBLEM,
                    r#"{"type":"urn:ietf:params:acme:error:malformed"}"#,
                ),
            });
            let (headers, body) = (headers.replace("BASE", &base), body.replace("BASE", &base));
            let text = format!(
                "HTTP/1.1 {status}\r\nreplay-nonce: n\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            write(text.as_bytes());
        }));
        Self {
            server,
            asked,
            said,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn issuer(&self) -> AcmeIssuer {
        let settings = AcmeSettings {
            directory: format!("https://localhost:{}/directory", self.server.port),
            ca: self.server.ca(),
            trust: self.server.ca(),
            proxy: None,
            contact: Vec::new(),
            terms_agreed: true,
            external_account: None,
            webroot: Some(self.webroot()),
            profile: None,
        };
        let place = self.directory.path().join("issuer");
        AcmeIssuer::new(place, settings, Secrets::default(), Arc::default())
    }

    fn webroot(&self) -> PathBuf {
        let webroot = self.directory.path().join("www");
        let _ = std::fs::create_dir(&webroot);
        webroot
    }

    fn count(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == path).count()
    }

    async fn refused(&self) -> IssueError {
        issue(&self.issuer()).await.unwrap_err()
    }
}

/// What a signed body says (RFC 7515).
fn payload(body: &str) -> Option<String> {
    let signed: serde_json::Value = serde_json::from_str(body).ok()?;
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(signed["payload"].as_str()?)
        .ok()?;
    String::from_utf8(payload).ok()
}

async fn issue(issuer: &AcmeIssuer) -> Result<Answer, IssueError> {
    replace(issuer, None).await
}

async fn replace(
    issuer: &AcmeIssuer,
    replaces: Option<&CertificateDer<'static>>,
) -> Result<Answer, IssueError> {
    bring(issuer, &csr(), replaces).await
}

fn request() -> Request {
    Request {
        issuer: "acme".parse().unwrap(),
        directory: None,
        names: vec!["a.test".parse().unwrap()],
        lifetime: Duration::from_secs(3600),
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

fn csr() -> Vec<u8> {
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    key.request(&request()).unwrap()
}

async fn bring(
    issuer: &AcmeIssuer,
    csr: &[u8],
    replaces: Option<&CertificateDer<'static>>,
) -> Result<Answer, IssueError> {
    let certificate: CertificateName = "a".parse().unwrap();
    let order = Order {
        certificate: &certificate,
        request: &request(),
        csr,
        replaces,
    };
    issuer.issue(order).await
}

#[tokio::test]
async fn problems_become_sentences_with_when_to_ask_again() {
    let cases: [(&str, Told, Retry, &[&str]); 9] = [
        (
            "/authz",
            (
                "200 OK",
                "",
                JSON,
                r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[]}"#,
            ),
            Retry::After(Duration::from_secs(1800)),
            &["does not offer http-01 for a.test", "dns-01"],
        ),
        (
            "/order",
            (
                "429 Too Many Requests",
                "retry-after: 120\r\n",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}"#,
            ),
            Retry::After(Duration::from_secs(120)),
            &["refused the order", "too many certificates (rateLimited)"],
        ),
        (
            "/order",
            (
                "429 Too Many Requests",
                "retry-after: 18446744073709551615\r\n",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"x"}"#,
            ),
            Retry::After(super::https::LONGEST_RETRY_AFTER),
            &["rateLimited"],
        ),
        (
            "/order",
            (
                "403 Forbidden",
                "",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:caa","detail":"no","subproblems":[{"type":"x","detail":"forbidden\nby CAA","identifier":{"type":"dns","value":"a.test"}}]}"#,
            ),
            Retry::BackOff,
            &["a.test: forbidden\\nby CAA", "(caa)", "RFC 8659"],
        ),
        (
            "/account",
            (
                "403 Forbidden",
                "",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:externalAccountRequired","detail":"who are you?"}"#,
            ),
            Retry::After(Duration::from_secs(1800)),
            &["refused the account", "eab_key_id"],
        ),
        (
            "/order",
            (
                "400 Bad Request",
                "retry-after: 5\r\n",
                PROBLEM,
                r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not a.test"}"#,
            ),
            Retry::After(Duration::from_secs(1800)),
            &["not a.test (rejectedIdentifier)", "another name"],
        ),
        (
            "/directory",
            (
                "502 Bad Gateway",
                "retry-after: 7\r\n",
                "text/html",
                "<html>nginx</html>",
            ),
            Retry::After(Duration::from_secs(7)),
            &["502 Bad Gateway", "a page of HTML"],
        ),
        (
            "/directory",
            ("200 OK", "", "text/html", "<html>Welcome!</html>"),
            Retry::BackOff,
            &["200 OK", "a page of HTML"],
        ),
        (
            "/directory",
            ("200 OK", "", JSON, "{\"newNonce\":"),
            Retry::BackOff,
            &["the account", "`directory`"],
        ),
    ];
    for (at, told, retry, parts) in cases {
        let ca = Ca::new(move |path| (path == at).then_some(told));
        let error = ca.refused().await;
        let text = error.operator_text();
        assert_eq!(error.retry(), retry, "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_directory_with_addresses_that_are_none_is_refused() {
    for address in ["", " ", "/nonce", "http://localhost/nonce", "https://"] {
        let text = DIRECTORY.replace("BASE/nonce", address).leak();
        let ca = Ca::new(|path| (path == "/directory").then_some(("200 OK", "", JSON, &*text)));
        let error = ca.refused().await;
        assert!(error.to_string().contains("newNonce"), "{address}: {error}");
        assert_eq!(error.retry(), Retry::BackOff);
    }
}

#[tokio::test]
async fn a_ca_that_wants_more_proofs_than_there_are_names_is_refused() {
    let ca = Ca::new(|path| {
        let order = r#"{"status":"pending","authorizations":["BASE/authz","BASE/authz"],"finalize":"BASE/f"}"#;
        let headers = "location: BASE/order/1\r\n";
        (path == "/order").then_some(("201 Created", headers, JSON, order))
    });
    let error = ca.refused().await;
    assert!(error.to_string().contains("2 proofs for 1 name"), "{error}");
    assert_eq!(ca.count("/authz"), 0);
}

#[tokio::test]
async fn what_the_ca_saw_at_a_name_is_told_with_the_name() {
    let ca = Ca::new(|path| match path {
        "/order" | "/order/1" => Some((
            "201 Created",
            "location: BASE/order/1\r\n",
            JSON,
            r#"{"status":"invalid","authorizations":["BASE/authz"],"finalize":"BASE/f","error":{"type":"urn:ietf:params:acme:error:malformed","detail":"order"}}"#,
        )),
        "/authz" => Some((
            "200 OK",
            "",
            JSON,
            r#"{"status":"invalid","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"http-01","url":"BASE/c","token":"abc","status":"invalid","error":{"type":"urn:ietf:params:acme:error:unauthorized","detail":"got a page"}}]}"#,
        )),
        _ => None,
    });
    let error = ca.refused().await;
    let text = error.operator_text();
    assert!(
        text.contains("a.test is ours: got a page (unauthorized)"),
        "{text}"
    );
    assert_eq!(error.retry(), Retry::BackOff);
    // An order that is over is not gone on with.
    let _ = issue(&ca.issuer()).await;
    assert_eq!(ca.count("/order"), 2);
}

#[tokio::test]
async fn an_unfinished_order_is_gone_on_with_and_an_account_is_made_once() {
    // The challenge is never taken, as when the process dies there.
    let ca = Ca::new(|_| None);
    for _ in 0..3 {
        let error = ca.refused().await;
        assert!(error.to_string().contains("a challenge"), "{error}");
    }
    assert_eq!(
        (
            ca.count("/account"),
            ca.count("/order"),
            ca.count("/order/1")
        ),
        (1, 1, 2)
    );
    let kept = ca.directory.path().join("issuer");
    for entry in std::fs::read_dir(kept).unwrap() {
        use std::os::unix::fs::MetadataExt;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
    }
    // What the CA may ask for is up again after a start, before the order is gone on with.
    let again = ca.issuer();
    assert!(again.challenges.holds("abc"));
    // Nothing else that was put up stays.
    let place = ca.webroot().join(".well-known/acme-challenge");
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
}

/// A CA that is ready to sign at once, and answers so where its certificate is.
fn signing(download: impl Fn() -> Told + Send + 'static) -> Ca {
    const READY: &str = r#"{"status":"ready","authorizations":[],"finalize":"BASE/finalize"}"#;
    const VALID: &str = r#"{"status":"valid","authorizations":[],"finalize":"BASE/finalize","certificate":"BASE/cert"}"#;
    let order = ("201 Created", "location: BASE/order/1\r\n", JSON);
    Ca::new(move |path| match path {
        "/order" => Some((order.0, order.1, order.2, READY)),
        "/finalize" | "/order/1" => Some((order.0, order.1, order.2, VALID)),
        "/cert" => Some(download()),
        _ => None,
    })
}

#[tokio::test]
async fn an_order_that_was_sent_is_gone_on_with_by_the_same_request_and_by_no_other() {
    let chain: &'static str = pem::certificates(&[leaf()]).leak();
    let downloads = AtomicUsize::new(0);
    let ca = signing(move || match downloads.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => (
            "500 Internal Server Error",
            "",
            PROBLEM,
            r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#,
        ),
        _ => ("200 OK", "", "application/pem-certificate-chain", chain),
    });
    let orders = |ca: &Ca| (ca.count("/order"), ca.count("/finalize"));
    let error = issue(&ca.issuer()).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Open, "{error}");
    assert_eq!(orders(&ca), (1, 1));
    // Its key is gone.
    let mine = csr();
    let error = bring(&ca.issuer(), &mine, None).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Open);
    assert_eq!(orders(&ca), (2, 2));
    bring(&ca.issuer(), &mine, None).await.unwrap();
    assert_eq!(orders(&ca), (2, 2));
    // It is over.
    bring(&ca.issuer(), &mine, None).await.unwrap();
    assert_eq!(orders(&ca), (3, 3));
}

#[tokio::test]
async fn a_certificate_that_was_issued_and_cannot_be_used_counts() {
    for (status, kind, body) in [
        ("404 Not Found", PROBLEM, "{\"type\":\"x\"}"),
        ("404 Not Found", "text/html", "<html>"),
        ("200 OK", "application/pem-certificate-chain", "nothing"),
    ] {
        let ca = signing(move || (status, "", kind, body));
        let mine = csr();
        for orders in 1..3 {
            let error = bring(&ca.issuer(), &mine, None).await.unwrap_err();
            assert_eq!(error.sent(), Sent::Spent, "{error}");
            assert_eq!(ca.count("/order"), orders);
        }
    }
}

#[tokio::test]
async fn an_order_that_leads_nowhere_is_forgotten_and_one_that_cannot_be_asked_for_is_not() {
    // Its proof was refused, which this CA does not say of the order.
    let ca = Ca::new(|path| {
        (path == "/authz").then_some((
            "200 OK",
            "",
            JSON,
            r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"dns-01","url":"BASE/c","token":"abc","status":"invalid"}]}"#,
        ))
    });
    for orders in 1..3 {
        let _ = ca.refused().await;
        assert_eq!(ca.count("/order"), orders);
    }
    let looks = AtomicUsize::new(0);
    let ca = Ca::new(move |path| {
        let trouble = path == "/order/1" && looks.fetch_add(1, Ordering::Relaxed) == 0;
        trouble.then_some((
            "500 Internal Server Error",
            "",
            PROBLEM,
            r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#,
        ))
    });
    for text in ["a challenge", "serverInternal", "a challenge"] {
        let error = ca.refused().await;
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(ca.count("/order"), 1);
}

#[tokio::test]
async fn an_account_that_the_ca_does_not_know_any_more_is_put_aside() {
    let ca = Ca::new(|path| {
        (path == "/order").then_some((
            "400 Bad Request",
            "",
            PROBLEM,
            r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"unknown"}"#,
        ))
    });
    let kept = ca.directory.path().join("issuer");
    let aside = |file: &str| std::fs::read_to_string(kept.join(file)).ok();
    let files = || {
        let kept = std::fs::read_dir(&kept).unwrap();
        let files = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = files.filter(|file| file.starts_with("account-")).collect();
        files.sort();
        files
    };
    let error = ca.refused().await;
    assert!(error.to_string().contains("accountDoesNotExist"), "{error}");
    // Once in an hour, and not over and over.
    let _ = ca.refused().await;
    assert_eq!(ca.count("/account"), 2);
    let [account, unknown] = files().try_into().unwrap();
    assert_eq!(unknown, format!("{account}.unknown"));
    let first = aside(&unknown).unwrap();
    // An hour later.
    let text = aside(&account).unwrap();
    let mut known: serde_json::Value = serde_json::from_str(&text).unwrap();
    known["made"] = "2020-01-01T00:00:00Z".into();
    std::fs::write(kept.join(&account), known.to_string()).unwrap();
    let _ = ca.refused().await;
    assert_eq!(ca.count("/account"), 3);
    assert_eq!(aside(&unknown), Some(first), "the first key is never lost");
    assert_eq!(files().len(), 3);
}

#[tokio::test]
async fn an_account_that_took_the_place_of_the_refused_one_is_not_put_aside() {
    let accounts = AtomicUsize::new(0);
    let ca = Ca::new(move |path| {
        let one = path == "/account" && accounts.fetch_add(1, Ordering::Relaxed) == 0;
        one.then_some(("201 Created", "location: BASE/account/old\r\n", JSON, "{}"))
    });
    let issuer = ca.issuer();
    let transport = issuer.transport().unwrap();
    let old = issuer.accounts.open(&issuer, &transport).await.unwrap();
    // Two orders in flight are told so.
    for _ in 0..2 {
        assert!(issuer.accounts.forget(&issuer, old.id()).await.unwrap());
        let new = issuer.accounts.open(&issuer, &transport).await.unwrap();
        assert_ne!(new.id(), old.id());
    }
    assert_eq!(ca.count("/account"), 2);
}

#[tokio::test]
async fn without_anybody_to_answer_the_ca_it_is_not_asked() {
    let ca = Ca::new(|_| None);
    let mut issuer = ca.issuer();
    issuer.settings.webroot = None;
    let error = issue(&issuer).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Operator);
    assert!(
        error.operator_text().contains(SOCKET_UNIT),
        "{}",
        error.operator_text()
    );
    assert_eq!(ca.count("/directory"), 0);
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
    serve(listener, Arc::clone(&challenges)).unwrap();
    let path = "GET /.well-known/acme-challenge/tok HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let ask = |head: &'static str| tokio::task::spawn_blocking(move || get(port, head));
    assert!(ask(path).await.unwrap().starts_with("HTTP/1.1 404 "));
    let up = Placed::put(&challenges, None, "tok", "tok.thumb").unwrap();
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
    let webroot = tempfile::tempdir().unwrap();
    let root = webroot.path().to_owned();
    for token in ["", "../../x", "a/b", "a.b", "ä", &"a".repeat(200)] {
        let put = Placed::put(&Arc::default(), Some(&root), token, "x");
        assert!(matches!(put, Err(AcmeError::Protocol { .. })), "{token}");
    }
    let placed = Placed::put(&Arc::default(), Some(&root), "tok", "tok.thumb").unwrap();
    let path = root.join(".well-known/acme-challenge/tok");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "tok.thumb");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    drop(placed);
    assert!(!path.exists());
    // The root itself is not made.
    let nowhere = root.join("nowhere");
    let put = Placed::put(&Arc::default(), Some(&nowhere), "tok", "x");
    assert!(matches!(put, Err(AcmeError::Webroot { .. })));
}

/// A leaf that says which key signed it, so that renewal information has a name for it.
fn leaf() -> CertificateDer<'static> {
    let ca = CertificateParams::default();
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let leaf = params
        .signed_by(&KeyPair::generate().unwrap(), &ca)
        .unwrap();
    leaf.der().clone()
}

#[tokio::test]
async fn the_ca_is_told_what_is_replaced_and_asked_without_it_only_where_it_minds_that() {
    let problem = |status, body| Some((status, "", PROBLEM, body));
    let cases: [(Option<Told>, &[bool], &str); 6] = [
        (
            problem(
                "409 Conflict",
                r#"{"type":"urn:ietf:params:acme:error:alreadyReplaced","detail":"twice"}"#,
            ),
            &[true, false],
            "a challenge",
        ),
        (
            problem("404 Not Found", r#"{"type":"x","status":404}"#),
            &[true, false],
            "a challenge",
        ),
        // Of an account that was lost.
        (
            problem(
                "403 Forbidden",
                r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"not yours"}"#,
            ),
            &[true, false],
            "a challenge",
        ),
        // Taken, and not echoed.
        (None, &[true, false], "a challenge"),
        (
            problem(
                "429 Too Many Requests",
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"x"}"#,
            ),
            &[true],
            "rateLimited",
        ),
        (
            problem(
                "500 Internal Server Error",
                r#"{"type":"urn:ietf:params:acme:error:serverInternal","detail":"x"}"#,
            ),
            &[true],
            "serverInternal",
        ),
    ];
    for (told, expected, text) in cases {
        let orders = AtomicUsize::new(0);
        let ca = Ca::new(move |path| {
            let first = path == "/order" && orders.fetch_add(1, Ordering::Relaxed) == 0;
            told.filter(|_| first)
        });
        let error = replace(&ca.issuer(), Some(&leaf())).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let said = ca.said.lock().unwrap();
        let orders = said.iter().filter(|(path, _)| path == "/order");
        let replacing: Vec<bool> = orders
            .map(|(_, text)| text.contains("\"replaces\""))
            .collect();
        assert_eq!(replacing, expected, "{text}");
    }
}

#[tokio::test]
async fn renewal_information_is_taken_as_it_is_told_or_not_at_all() {
    const WINDOW: &str = r#"{"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-03T00:00:00Z"},"explanationURL":"https://ca.test/why"}"#;
    let advice = async |told: Told| {
        let ca = Ca::new(move |path| path.starts_with("/ari/").then_some(told));
        let told = ca.issuer().advice(&leaf()).await;
        assert_eq!(ca.count("/account") + ca.count("/nonce"), 0);
        told
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (headers, again) in [
        ("", hours(6)),
        ("retry-after: 3600\r\n", hours(1)),
        ("retry-after: 1000000000\r\n", hours(7 * 24)),
    ] {
        let told = advice(("200 OK", headers, JSON, WINDOW))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(told.from, "2026-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(told.until, "2026-01-03T00:00:00Z".parse().unwrap());
        assert_eq!(told.explanation.as_deref(), Some("https://ca.test/why"));
        let off = told.again.abs_diff(again);
        assert!(off < Duration::from_secs(5), "{headers}: {:?}", told.again);
    }
    for (headers, retry) in [
        ("", Retry::BackOff),
        ("retry-after: 3600\r\n", Retry::After(hours(1))),
    ] {
        for (kind, body) in [(PROBLEM, "{\"type\":\"x\"}"), ("text/html", "<html>")] {
            let told = advice(("404 Not Found", headers, kind, body)).await;
            assert_eq!(told.unwrap_err().retry(), retry);
        }
    }
    assert!(advice(("200 OK", "", JSON, "{}")).await.is_err());
    // A CA without it needs not be asked again.
    let ca = Ca::new(|path| {
        let directory =
            r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order"}"#;
        (path == "/directory").then_some(("200 OK", "", JSON, directory))
    });
    assert!(ca.issuer().advice(&leaf()).await.unwrap().is_none());
}
