//! The issuer against a CA of our own that does what pebble cannot be made to do. The way to a certificate is tried
//! against a real one, by the scenarios.

mod accounts;
mod answers;
mod orders;

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
        identity: None,
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
