//! The issuer against a CA of our own that does what pebble cannot be made to do. The way to a certificate is tried
//! against a real one, by the scenarios.

mod accounts;
mod advice;
mod check;
mod dns01;
mod gate;
mod http01;
mod late;
mod nonces;
mod orders;
mod problems;
mod revocation;
mod tls_alpn01;
mod update;

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
use super::challenge::{Placed, Proof};
use super::*;
use crate::keys::PrivateKey;

/// A CA that answers each request by its path: with a status, further headers, a type and a body, in which `BASE` is
/// its own address.
struct Ca {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
    /// What was signed, each after its path.
    said: Arc<Mutex<Vec<(String, String)>>>,
    /// The numbers that it was signed with, likewise.
    nonces: Arc<Mutex<Vec<(String, String)>>>,
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
        let nonces = Arc::new(Mutex::new(Vec::new()));
        let (seen, heard) = (Arc::clone(&asked), Arc::clone(&said));
        let counted = Arc::clone(&nonces);
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
            let nonce = nonce(body).map(|nonce| (path.clone(), nonce));
            counted.lock().unwrap().extend(nonce);
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
                "HTTP/1.1 {status}\r\n{headers}replay-nonce: n\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            write(text.as_bytes());
        }));
        Self {
            server,
            asked,
            said,
            nonces,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn issuer(&self) -> AcmeIssuer {
        let webroot = Some(self.webroot());
        self.issuer_by(Challenge::Http01 { webroot })
    }

    fn issuer_by(&self, challenge: Challenge) -> AcmeIssuer {
        let settings = AcmeSettings {
            directory: format!("https://localhost:{}/directory", self.server.port),
            ca: self.server.ca(),
            trust: self.server.ca(),
            proxy: None,
            contact: Vec::new(),
            terms_agreed: true,
            external_account: None,
            challenge,
            profile: None,
        };
        let place = self.directory.path().join("issuer");
        let surroundings = Surroundings {
            owner: nix::unistd::geteuid().as_raw(),
            ..Surroundings::default()
        };
        let (secrets, challenges) = (Secrets::default(), Arc::default());
        AcmeIssuer::new(place, settings, secrets, challenges, &surroundings)
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
    part(body, "payload")
}

/// The number that it is signed with (RFC 8555, section 6.5).
fn nonce(body: &str) -> Option<String> {
    let protected = part(body, "protected")?;
    let protected: serde_json::Value = serde_json::from_str(&protected).ok()?;
    protected["nonce"].as_str().map(str::to_owned)
}

fn part(body: &str, name: &str) -> Option<String> {
    let signed: serde_json::Value = serde_json::from_str(body).ok()?;
    let part = BASE64_URL_SAFE_NO_PAD.decode(signed[name].as_str()?).ok()?;
    String::from_utf8(part).ok()
}

/// What is to be shown for a name; the token is the part of the answer before the dot.
fn proof(name: &str, answer: &str) -> Proof {
    let name = match name.parse() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(name.to_owned()),
    };
    let token = answer.split('.').next().unwrap();
    Proof::new(&name, token, answer).unwrap()
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
