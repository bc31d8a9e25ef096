//! The issuer against a Vault of our own that does what a real one cannot be made to do. The way to a certificate is
//! tried against a real one, by the scenarios.

mod crls;
mod gate;
mod known;
mod logins;
mod looks;
mod orders;
mod refusals;

use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use renewd_core::names::CertificateName;
use renewd_core::request::{KeyType, Request, Usages};
use renewd_core::revocation::Reason;
use serde_json::Value;
use tempfile::TempDir;

use super::super::https::LONGEST_RETRY_AFTER;
use super::super::https::tests::Server;
use super::super::{Is, Question, Retry, Sent};
use super::*;
use crate::keys::PrivateKey;

/// Answers a path with a status, further headers, a type and a body; `None` for what a good server says.
type Told = (&'static str, &'static str, &'static str, String);

const JSON: &str = "application/json";
const SECRET: &str = "canary-5f0c";
const HANDED: &str = "s.canary-77aa";
const WHOLE_LIFE: Duration = Duration::from_secs(3600);

/// A server that knows one AppRole and one token, and the requests that it got.
struct Vault {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
    directory: TempDir,
}

struct Ca {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let root = CertifiedIssuer::self_signed(params("root"), KeyPair::generate().unwrap());
        let root = root.unwrap();
        let key = KeyPair::generate().unwrap();
        let issuing = CertifiedIssuer::signed_by(params("issuing"), key, &root).unwrap();
        Self { root, issuing }
    }

    fn leaf(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.signed_by(&key, &self.issuing).unwrap().pem()
    }

    fn chain(&self) -> Value {
        serde_json::json!([self.issuing.pem(), self.root.pem()])
    }
}

impl Vault {
    /// `told` says what is answered to a request, of which it sees the path and the whole text.
    fn new(told: impl Fn(&str, &str) -> Option<Told> + Send + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let ca = Ca::new();
        let server = Server::new(Box::new(move |request, write| {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let path = path.strip_prefix("/v1/").unwrap();
            seen.lock().unwrap().push(request.to_owned());
            let (status, headers, kind, body) =
                told(path, request).unwrap_or_else(|| (OK, "", JSON, good(&ca, path)));
            let text = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            write(text.as_bytes());
        }));
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("secret", SECRET), ("token", HANDED)] {
            // As people make them: with a line's end.
            std::fs::write(directory.path().join(name), format!("{text}\n")).unwrap();
        }
        Self {
            server,
            asked,
            directory,
        }
    }

    fn settings(&self) -> VaultSettings {
        VaultSettings {
            crl: CrlSources::default(),
            address: format!("https://localhost:{}", self.server.port),
            ca: self.server.ca(),
            trust: None,
            proxy: None,
            namespace: Some("team/a".into()),
            mount: "pki/int".into(),
            role: "host".into(),
            issuer_ref: None,
            auth: Auth::Login {
                mount: "approle".into(),
                method: Method::AppRole {
                    role_id: "rid".into(),
                    secret_id: Secret::Credential("secret".parse().unwrap()),
                },
            },
        }
    }

    fn issuer_of(&self, settings: VaultSettings) -> VaultIssuer {
        let credentials = Some(self.directory.path().to_owned());
        VaultIssuer::new(settings, Secrets { credentials })
    }

    fn issuer(&self) -> VaultIssuer {
        self.issuer_of(self.settings())
    }

    /// With the token that was handed to us.
    fn handed(&self) -> VaultIssuer {
        let place = Secret::Credential("token".parse().unwrap());
        self.issuer_of(VaultSettings {
            auth: Auth::Token(place),
            ..self.settings()
        })
    }

    /// With a secret that is not written as it is.
    fn awkward(&self) -> VaultIssuer {
        std::fs::write(self.directory.path().join("awkward"), "awk<\"ward/").unwrap();
        let mut settings = self.settings();
        if let Auth::Login { method, .. } = &mut settings.auth {
            *method = Method::AppRole {
                role_id: "rid".into(),
                secret_id: Secret::Credential("awkward".parse().unwrap()),
            };
        }
        self.issuer_of(settings)
    }

    fn count(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let path = format!(" /v1/{path} ");
        asked.iter().filter(|asked| asked.contains(&path)).count()
    }

    /// The JSON that was sent to a path last.
    fn sent(&self, path: &str) -> Value {
        let asked = self.asked.lock().unwrap();
        let path = format!(" /v1/{path} ");
        let last = asked.iter().rfind(|asked| asked.contains(&path)).unwrap();
        serde_json::from_str(last.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }
}

const OK: &str = "200 OK";
const SIGN: &str = "pki/int/sign/host";
const LOGIN: &str = "auth/approle/login";

fn good(ca: &Ca, path: &str) -> String {
    match path {
        LOGIN | "auth/cert/login" => granted("s.login", 3600),
        "auth/token/lookup-self" => looked(3600, 3600, true),
        "auth/token/renew-self" => granted(HANDED, 3600),
        "sys/health" => {
            let now = jiff::Timestamp::now().as_second();
            format!(r#"{{"sealed":false,"version":"2.7.2","server_time_utc":{now}}}"#)
        }
        "sys/capabilities-self" => format!(r#"{{"data":{{"{SIGN}":["update"]}}}}"#),
        "pki/int/issuer/default/json" => data(serde_json::json!({"ca_chain": ca.chain()})),
        "pki/int/revoke" => r#"{"data":{"state":"revoked"}}"#.to_owned(),
        _ => data(serde_json::json!({
            "certificate": ca.leaf(),
            "issuing_ca": ca.issuing.pem(),
            "ca_chain": ca.chain(),
        })),
    }
}

fn data(data: Value) -> String {
    serde_json::json!({"data": data, "auth": null}).to_string()
}

fn granted(token: &str, seconds: u64) -> String {
    format!(
        r#"{{"data":null,"auth":{{"client_token":"{token}","lease_duration":{seconds},"renewable":true}}}}"#
    )
}

fn looked(left: u64, life: u64, renewable: bool) -> String {
    format!(r#"{{"data":{{"ttl":{left},"creation_ttl":{life},"renewable":{renewable}}}}}"#)
}

fn errors(status: &'static str, text: &str) -> Told {
    (status, "", JSON, format!(r#"{{"errors":["{text}"]}}"#))
}

fn request(names: &[&str]) -> Request {
    Request {
        issuer: "vault".parse().unwrap(),
        directory: None,
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        lifetime: WHOLE_LIFE,
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

async fn issue_for(issuer: &VaultIssuer, names: &[&str]) -> Result<Answer, IssueError> {
    let request = request(names);
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let csr = key.request(&request).unwrap();
    let certificate: CertificateName = "a".parse().unwrap();
    issuer
        .issue(Order {
            certificate: &certificate,
            request: &request,
            csr: &csr,
            replaces: None,
            identity: None,
        })
        .await
}

async fn issue(issuer: &VaultIssuer) -> Result<Answer, IssueError> {
    issue_for(issuer, &["a.test"]).await
}
