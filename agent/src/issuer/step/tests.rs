//! The issuer against a CA of our own that does what step-ca cannot be made to do, and that counts what it is asked. The
//! way to a certificate, and mutual TLS, are tried against a real one, by the scenarios.

mod answers;
mod crls;
mod gate;
mod renewals;
mod roots;
mod tokens;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    IsCa, KeyPair,
};
use renewd_core::names::CertificateName;
use renewd_core::pem;
use renewd_core::request::{KeyType, Usages};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::https::tests::{Clients, Manner, Server};
use super::super::{Retry, Sent};
use super::*;
use crate::keys::PrivateKey;
use rustls::{DEFAULT_VERSIONS, RootCertStore};

/// When the tests are.
const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);
const SECRET: &str = "c2VjcmV0LWNhbmFyeQ";

/// What is answered at a path: status, further headers, type and body.
type Told = (&'static str, &'static str, &'static str, &'static str);

/// A step-ca: its server, and the CA that signs.
struct Ca {
    server: Server,
    root: Arc<CertifiedIssuer<'static, KeyPair>>,
    /// Each request: its path, and the whole of it.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    directory: TempDir,
}

impl Ca {
    /// `told` says what is answered at a path; what it does not name is answered as a good CA does.
    fn new(told: impl Fn(&str) -> Option<Told> + Send + 'static) -> Self {
        Self::of(false, told)
    }

    /// One that looks at its clients' certificates, as a real one does, or not.
    fn of(looks: bool, told: impl Fn(&str) -> Option<Told> + Send + 'static) -> Self {
        let root = Arc::new(authority("signs"));
        let federated = authority("federated").pem();
        let mut below = RootCertStore::empty();
        below.add(root.der().clone()).unwrap();
        let clients = match looks {
            true => Clients::Below(below),
            false => Clients::All,
        };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, signs) = (Arc::clone(&asked), Arc::clone(&root));
        // Its server's own root is known once it is there.
        let own = Arc::new(Mutex::new(String::new()));
        let server_root = Arc::clone(&own);
        let manner: Manner = Box::new(move |request, write| {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let body = request.split("\r\n\r\n").nth(1).unwrap();
            seen.lock()
                .unwrap()
                .push((path.clone(), request.to_owned()));
            let own = own.lock().unwrap().clone();
            let good = match path.as_str() {
                "/1.0/roots" => json!({ "crts": [own, signs.pem()] }),
                "/1.0/federation" => json!({ "crts": [own, federated] }),
                "/1.0/sign" | "/1.0/rekey" => signed(&signs, body),
                path if path.starts_with("/root/") => json!({ "ca": own }),
                _ => json!({ "status": "ok" }),
            };
            let good = good.to_string();
            let (status, headers, kind, body) =
                told(&path).unwrap_or(("201 Created", "", "application/json", &good));
            let text = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            write(text.as_bytes());
        });
        let server = Server::of(clients, DEFAULT_VERSIONS, manner);
        *server_root.lock().unwrap() =
            std::fs::read_to_string(server.directory.path().join("ca.pem")).unwrap();
        let ca = Self {
            server,
            root,
            asked,
            directory: tempfile::tempdir().unwrap(),
        };
        ca.provide(&token(&["a.test"], 300));
        ca
    }

    fn settings(&self) -> StepSettings {
        StepSettings {
            crl: CrlSources::default(),
            url: format!("https://localhost:{}", self.server.port),
            root: Root::File(self.server.directory.path().join("ca.pem")),
            proxy: None,
            federation: false,
            admission: Admission::Token(self.place("token")),
        }
    }

    fn place(&self, name: &str) -> Secret {
        Secret::File(self.directory.path().join(name))
    }

    fn provide(&self, text: &str) {
        self.put("token", text);
    }

    fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn issuer(&self, settings: StepSettings) -> StepIssuer {
        let place = self.directory.path().join("issuer");
        StepIssuer::new(place, settings, Secrets::default(), Arc::new(|| NOW))
    }

    /// With a provisioner's key that is made for it.
    fn with_a_key(&self) -> StepIssuer {
        let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
        self.put("key", &key.pem());
        self.issuer(StepSettings {
            admission: Admission::Provisioner {
                name: "hosts".into(),
                key: self.place("key"),
            },
            ..self.settings()
        })
    }

    /// The ways, in the order in which they were asked for, without those of anchors.
    fn ways(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let ways = asked.iter().map(|(path, _)| path.clone());
        ways.filter(|path| !path.ends_with("roots") && !path.ends_with("federation"))
            .collect()
    }

    /// What was sent to a path last.
    fn sent(&self, path: &str) -> String {
        let asked = self.asked.lock().unwrap();
        let mut matching = asked.iter().rev().filter(|(asked, _)| asked == path);
        matching.next().unwrap().1.clone()
    }

    fn body(&self, path: &str) -> Value {
        let sent = self.sent(path);
        serde_json::from_str(sent.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    /// A certificate of this CA that began an hour ago.
    fn held(&self, names: &[&str], left: SignedDuration) -> HeldIdentity {
        held_of(&self.root, names, left)
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn held_of(
    root: &CertifiedIssuer<'_, KeyPair>,
    names: &[&str],
    left: SignedDuration,
) -> HeldIdentity {
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let not_after = NOW + left;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let date = |at: Timestamp| {
        std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.as_second()).unwrap())
    };
    params.not_before = date(not_after - SignedDuration::from_hours(1)).into();
    params.not_after = date(not_after).into();
    let usages = Usages::default();
    params.extended_key_usages = crate::keys::extended_key_usages(usages);
    let leaf = params.signed_by(key.pair(), root).unwrap();
    HeldIdentity {
        leaf: leaf.der().clone(),
        chain: Vec::new(),
        key,
        not_after,
    }
}

fn signed(root: &CertifiedIssuer<'_, KeyPair>, body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap();
    let csr = CertificateSigningRequestParams::from_pem(body["csr"].as_str().unwrap()).unwrap();
    json!({ "crt": csr.signed_by(root).unwrap().pem(), "ca": root.pem() })
}

/// As the operator provides it; its signature is the canary.
fn token(names: &[&str], left: i64) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = json!({ "sub": names[0], "sans": names, "exp": NOW.as_second() + left });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{SECRET}\n", part(&json!({})), part(&claims))
}

fn request(names: &[&str]) -> Request {
    Request {
        issuer: "step".parse().unwrap(),
        directory: None,
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        lifetime: Duration::from_secs(3600),
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

async fn order(
    issuer: &StepIssuer,
    request: &Request,
    identity: Option<&HeldIdentity>,
) -> Result<Answer, IssueError> {
    let certificate: CertificateName = "a".parse().unwrap();
    let key = PrivateKey::generate(request.key_type).unwrap();
    // As the driver does: what the CA stands for is known before.
    issuer.anchors().await?;
    let answer = issuer
        .issue(Order {
            certificate: &certificate,
            request,
            csr: &key.request(request).unwrap(),
            replaces: None,
            identity,
        })
        .await;
    if let Err(error) = &answer {
        let told = format!("{error:?} {}", error.operator_text());
        assert!(!told.contains(SECRET), "{told}");
    }
    answer
}
