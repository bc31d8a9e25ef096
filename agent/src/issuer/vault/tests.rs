//! The issuer against a Vault of our own that does what a real one cannot be made to do. The way to a certificate is
//! tried against a real one, by the scenarios.

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

#[tokio::test]
async fn the_names_are_told_beside_the_request_and_the_common_name_is_none_of_them() {
    let long = format!("{}.{}.test", "a".repeat(40), "b".repeat(40));
    for (names, common, dns, ip, uri) in [
        (
            &["a.test", "10.0.0.1", "spiffe://test/a", "*.b.test"][..],
            Some("a.test"),
            "a.test,*.b.test",
            "10.0.0.1",
            "spiffe://test/a",
        ),
        // One that is too long for it stays a name.
        (
            &[&long, "b.test"],
            Some("b.test"),
            &*format!("{long},b.test"),
            "",
            "",
        ),
        (
            &["spiffe://test/a", "::1"],
            None,
            "",
            "::1",
            "spiffe://test/a",
        ),
    ] {
        let vault = Vault::new(|_, _| None);
        let answer = issue_for(&vault.issuer(), names).await.unwrap();
        assert_eq!(answer.chain.len(), 2);
        let sent = vault.sent(SIGN);
        assert_eq!(sent["common_name"].as_str(), common);
        assert_eq!(sent["exclude_cn_from_sans"], true);
        assert_eq!(
            [&sent["alt_names"], &sent["ip_sans"], &sent["uri_sans"]],
            [dns, ip, uri]
        );
        assert_eq!(sent["ttl"], "3600s");
        let csr = sent["csr"].as_str().unwrap();
        assert!(csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
        let asked = vault.asked.lock().unwrap().join("\n");
        assert!(!asked.contains("PRIVATE KEY"), "{asked}");
        assert_eq!(
            asked.matches("x-vault-namespace: team/a\r\n").count(),
            asked.matches("/v1/").count()
        );
    }
    // Another issuer of the mount than the role's.
    let vault = Vault::new(|_, _| None);
    let issuer = vault.issuer_of(VaultSettings {
        issuer_ref: Some("next".into()),
        ..vault.settings()
    });
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count("pki/int/issuer/next/sign/host"), 1);
}

#[tokio::test]
async fn refusals_become_sentences_with_when_to_ask_again() {
    let hour = Retry::After(Duration::from_secs(3600));
    let cases: Vec<(&str, Told, Retry, &[&str])> = vec![
        (
            SIGN,
            errors("503 Service Unavailable", "Vault is sealed"),
            Retry::BackOff,
            &["is sealed", "unseal"],
        ),
        (
            LOGIN,
            errors("503 Service Unavailable", "Vault is sealed"),
            Retry::BackOff,
            &["is sealed"],
        ),
        (
            SIGN,
            errors("472 Standby", ""),
            Retry::BackOff,
            &["is a standby", "sys/health"],
        ),
        (
            SIGN,
            ("473 Standby", "", "text/plain", String::new()),
            Retry::BackOff,
            &["is a standby"],
        ),
        (
            SIGN,
            errors(
                "412 Precondition Failed",
                "required index state not present",
            ),
            Retry::BackOff,
            &["behind"],
        ),
        (
            SIGN,
            (
                "429 Too Many Requests",
                "retry-after: 3600\r\n",
                JSON,
                r#"{"errors":["request path: rate limit quota exceeded"]}"#.into(),
            ),
            hour,
            &["asked too much", "quota"],
        ),
        (
            SIGN,
            (
                "429 Too Many Requests",
                "retry-after: 1000000000\r\n",
                JSON,
                r#"{"errors":[]}"#.into(),
            ),
            Retry::After(LONGEST_RETRY_AFTER),
            &["asked too much"],
        ),
        (
            SIGN,
            errors(
                "403 Forbidden",
                "1 error occurred:\\n\\t* permission denied\\n\\n",
            ),
            Retry::Operator,
            &[
                "denied pki/int/sign/host: 1 error occurred: * permission denied",
                "path \"pki/int/sign/host\" { capabilities = [\"update\"] }",
            ],
        ),
        (
            LOGIN,
            errors("400 Bad Request", "invalid role or secret ID"),
            Retry::Operator,
            &[
                "refused the login",
                "invalid role or secret ID",
                "`auth_mount`",
            ],
        ),
        (
            LOGIN,
            errors("403 Forbidden", "permission denied"),
            Retry::Operator,
            &["refused the login at auth/approle/login"],
        ),
        (
            SIGN,
            errors("400 Bad Request", "unknown role: host"),
            Retry::Operator,
            &["unknown role: host", "`role`"],
        ),
        (
            SIGN,
            errors(
                "404 Not Found",
                "no handler for route \\\"pki/int/sign/host\\\". route entry not found.",
            ),
            Retry::Operator,
            &["(404)", "`mount`"],
        ),
        (
            SIGN,
            errors("404 Not Found", ""),
            Retry::Operator,
            &["no reason given"],
        ),
        (
            SIGN,
            errors(
                "400 Bad Request",
                "subject alternate name a.test not allowed by this role",
            ),
            Retry::Operator,
            &["a.test not allowed", "allowed_domains"],
        ),
        (
            SIGN,
            errors(
                "400 Bad Request",
                "cannot satisfy request, as TTL would result in notAfter of X that is beyond the expiration of the CA certificate at Y",
            ),
            Retry::Operator,
            &["beyond the expiration", "`lifetime`"],
        ),
        (
            SIGN,
            errors(
                "400 Bad Request",
                "the common_name field is required, or must be provided",
            ),
            Retry::Operator,
            &["require_cn=false"],
        ),
        (
            SIGN,
            errors(
                "500 Internal Server Error",
                "unable to find PKI issuer for reference: x",
            ),
            Retry::BackOff,
            &["failed", "`issuer_ref`"],
        ),
        (
            SIGN,
            (
                "502 Bad Gateway",
                "retry-after: 7\r\n",
                "text/html",
                "<html>".into(),
            ),
            Retry::After(Duration::from_secs(7)),
            &["502 Bad Gateway", "a page of HTML"],
        ),
        (
            SIGN,
            ("403 Forbidden", "", "text/html", "<html>".into()),
            Retry::BackOff,
            &["403 Forbidden", "a page of HTML"],
        ),
        (
            LOGIN,
            (OK, "", "text/html", "<html>".into()),
            Retry::BackOff,
            &[
                "the answer to auth/approle/login cannot be used",
                "`address`",
            ],
        ),
        (
            LOGIN,
            (OK, "", JSON, r#"{"data":{}}"#.into()),
            Retry::BackOff,
            &["it has no \"auth\""],
        ),
        (
            SIGN,
            (
                "307 Temporary Redirect",
                "location: https://10.0.0.9:8200/v1/pki/int/sign/host\r\n",
                JSON,
                String::new(),
            ),
            Retry::BackOff,
            &["redirects to 10.0.0.9", "api_addr"],
        ),
    ];
    for (at, told, retry, parts) in cases {
        let vault = Vault::new(move |path, _| (path == at).then(|| told.clone()));
        let error = issue(&vault.issuer()).await.unwrap_err();
        let text = error.operator_text();
        assert_eq!(error.retry(), retry, "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(error.sent(), Sent::Refused, "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_counts_as_an_issuance() {
    let chain = Ca::new().root.pem();
    for body in [
        "{}".to_owned(),
        r#"{"data":null}"#.to_owned(),
        r#"{"data":{"certificate":""}}"#.to_owned(),
        r#"{"data":{"certificate":"-----BEGIN CERTIFICATE-----\n!"}}"#.to_owned(),
        data(serde_json::json!({"certificate": format!("{chain}{chain}")})),
        "{\"data\":".to_owned(),
    ] {
        let vault = Vault::new(move |path, _| (path == SIGN).then(|| (OK, "", JSON, body.clone())));
        let error = issue(&vault.issuer()).await.unwrap_err();
        assert_eq!(
            (error.sent(), error.retry()),
            (Sent::Spent, Retry::BackOff),
            "{error}"
        );
    }
    // A root that issues has no chain, and is named alone.
    let chain = Ca::new();
    let body =
        data(serde_json::json!({"certificate": chain.leaf(), "issuing_ca": chain.issuing.pem()}));
    let vault = Vault::new(move |path, _| (path == SIGN).then(|| (OK, "", JSON, body.clone())));
    assert_eq!(issue(&vault.issuer()).await.unwrap().chain.len(), 1);
}

#[tokio::test]
async fn a_login_serves_all_certificates_and_is_made_again_once_its_token_is_refused() {
    let refused = Arc::new(Mutex::new(0));
    let count = Arc::clone(&refused);
    let vault = Vault::new(move |path, _| {
        let mut refused = count.lock().unwrap();
        (path == SIGN && *refused > 0).then(|| {
            *refused -= 1;
            errors("403 Forbidden", "permission denied")
        })
    });
    let issuer = vault.issuer();
    issue(&issuer).await.unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count(LOGIN), 1);
    // The server was set up anew.
    *refused.lock().unwrap() = 1;
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count(LOGIN), 2);
    // A policy is missing: one login more shows that it is not the token.
    *refused.lock().unwrap() = 2;
    let error = issue(&issuer).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Operator, "{error}");
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (3, 6));
    // And a fresh one needs none.
    *refused.lock().unwrap() = 1;
    let issuer = vault.issuer();
    issue(&issuer).await.unwrap_err();
    assert_eq!((vault.count(LOGIN), vault.count(SIGN)), (4, 7));
}

#[tokio::test]
async fn a_login_is_made_again_before_its_token_ends_with_the_secret_as_it_is_then() {
    let vault = Vault::new(|path, _| {
        // Two thirds of it are over soon.
        (path == "auth/jwt/login").then(|| (OK, "", JSON, granted("s.short", 1)))
    });
    let method = Method::Jwt {
        role: Some("host".into()),
        jwt: Secret::Credential("jwt".parse().unwrap()),
    };
    let issuer = vault.issuer_of(VaultSettings {
        auth: Auth::Login {
            mount: "jwt".into(),
            method,
        },
        ..vault.settings()
    });
    let error = issue(&issuer).await.unwrap_err();
    assert!(error.operator_text().contains("jwt"), "{error}");
    assert_eq!(error.retry(), Retry::Operator);
    for (logins, jwt) in [(1, "first.a.b"), (2, "second.a.b")] {
        std::fs::write(vault.directory.path().join("jwt"), jwt).unwrap();
        let begun = std::time::Instant::now();
        while vault.count("auth/jwt/login") < logins {
            issue(&issuer).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        let sent = vault.sent("auth/jwt/login");
        assert_eq!(sent, serde_json::json!({"role": "host", "jwt": jwt}));
    }
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_shown_is_told_before_anything_is_sent() {
    let vault = Vault::new(|_, _| None);
    let path = |name: &str| vault.directory.path().join(name);
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(["host".to_owned()]).unwrap();
    let certificate = params.self_signed(&own).unwrap().pem();
    let issuer = vault.issuer_of(VaultSettings {
        auth: Auth::Login {
            mount: "cert".into(),
            method: Method::Certificate {
                role: None,
                certificate: path("client.pem"),
                key: Secret::Credential("key".parse().unwrap()),
            },
        },
        ..vault.settings()
    });
    for (file, text, part) in [
        ("", "", "client.pem"),
        ("client.pem", "nothing", "key"),
        ("key", "nothing", "no certificate"),
        ("client.pem", &*certificate, "no unencrypted private key"),
        (
            "key",
            &*other.serialize_pem(),
            "not that of its certificate",
        ),
    ] {
        if !file.is_empty() {
            std::fs::write(path(file), text).unwrap();
        }
        let error = issue(&issuer).await.unwrap_err();
        let told = error.operator_text();
        assert!(told.contains(part), "{part} in {told}");
        assert_eq!(error.retry(), Retry::Operator, "{told}");
    }
    assert_eq!(vault.asked.lock().unwrap().len(), 0);
    std::fs::write(path("key"), own.serialize_pem()).unwrap();
    issue(&issuer).await.unwrap();
    assert_eq!(vault.sent("auth/cert/login"), serde_json::json!({}));
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_its_end_is_told_where_it_cannot_be() {
    let secs = Duration::from_secs;
    // What is looked at, what the renewal grants, whether it is asked for, and what is said for a life of an hour.
    for (looked_at, granted_then, renewals, told) in [
        (looked(3000, 3600, true), Some(3600), 0, None),
        (looked(2000, 3600, true), Some(3600), 1, None),
        (looked(2000, 3600, true), Some(2000), 1, Some("33m 20s")),
        (looked(2000, 3600, true), None, 1, Some("33m 20s")),
        (looked(600, 3600, false), None, 0, Some("10m")),
        (looked(90_000, 100_000, false), None, 0, None),
        (looked(20_000, 100_000, false), None, 0, Some("5h 33m 20s")),
        (looked(0, 0, false), None, 0, None),
    ] {
        let vault = Vault::new(move |path, _| match path {
            "auth/token/lookup-self" => Some((OK, "", JSON, looked_at.clone())),
            "auth/token/renew-self" => Some(match granted_then {
                Some(seconds) => (OK, "", JSON, granted(HANDED, seconds)),
                None => errors("400 Bad Request", "lease is not renewable"),
            }),
            _ => None,
        });
        let issuer = vault.handed();
        let server = super::Server::new(&issuer.settings).unwrap();
        let ready = issuer.session.token(&server).await.unwrap();
        assert_eq!(vault.count("auth/token/renew-self"), renewals);
        let warning = ready.warning(secs(3600));
        match told {
            None => assert_eq!(warning, None),
            Some(told) => {
                let warning = warning.unwrap();
                assert!(warning.contains(&format!("ends in {told} ")), "{warning}");
                assert!(warning.contains("credential:token"), "{warning}");
            }
        }
        issue(&issuer).await.unwrap();
        let asked = vault.asked.lock().unwrap().join("\n");
        assert!(asked.contains(&format!("x-vault-token: {HANDED}\r\n")));
    }
    // One that may not look at itself may still sign.
    let vault = Vault::new(|path, _| {
        (path == "auth/token/lookup-self").then(|| errors("403 Forbidden", "permission denied"))
    });
    issue(&vault.handed()).await.unwrap();
}

#[tokio::test]
async fn a_token_is_kept_alive_while_no_certificate_is_due() {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let mut told = told;
    let vault = Vault::new(move |path, _| match path {
        "auth/token/lookup-self" => Some((OK, "", JSON, looked(1, 3, true))),
        "auth/token/renew-self" => {
            let _ = tell.send(());
            Some((OK, "", JSON, granted(HANDED, 3)))
        }
        _ => None,
    });
    let issuer = vault.handed();
    issuer.anchors().await.unwrap();
    issuer.anchors().await.unwrap();
    for _ in 0..2 {
        told.recv().await.unwrap();
    }
    assert_eq!(vault.count(SIGN), 0);
}

#[tokio::test]
async fn the_roots_are_those_that_the_mount_shows_or_of_the_file_and_never_an_intermediate() {
    let vault = Vault::new(|_, _| None);
    let roots = vault.issuer().anchors().await.unwrap();
    assert_eq!(roots.len(), 1);
    let answer = issue(&vault.issuer()).await.unwrap();
    assert!(answer.chain.contains(&roots[0]));
    // Nobody needs to be known for it.
    let asked = vault.asked.lock().unwrap()[0].clone();
    assert!(
        asked.starts_with("GET /v1/pki/int/issuer/default/json "),
        "{asked}"
    );
    assert!(!asked.contains("x-vault-token"), "{asked}");

    let issuing = Ca::new().issuing.pem();
    for (body, part) in [
        (
            data(serde_json::json!({"ca_chain": [issuing]})),
            "shows no root",
        ),
        (data(serde_json::json!({"ca_chain": []})), "shows no root"),
        (
            data(serde_json::json!({"ca_chain": ["-----BEGIN CERTIFICATE-----\n!"]})),
            "cannot be used",
        ),
    ] {
        let vault = Vault::new(move |_, _| Some((OK, "", JSON, body.clone())));
        let error = vault.issuer().anchors().await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let vault = Vault::new(|_, _| Some(errors("503 Service Unavailable", "Vault is sealed")));
    let error = vault.issuer().anchors().await.unwrap_err();
    assert_eq!(error.retry(), Retry::BackOff, "{error}");
    // A file needs no server.
    let issuer = vault.issuer_of(VaultSettings {
        trust: Some(vault.server.ca()),
        ..vault.settings()
    });
    assert_eq!(issuer.anchors().await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_secret_is_in_what_is_told_of_a_server_that_repeats_it() {
    for at in [LOGIN, SIGN, "auth/token/lookup-self"] {
        for (status, kind) in [
            ("400 Bad Request", JSON),
            ("403 Forbidden", JSON),
            ("500 Internal Server Error", JSON),
            ("502 Bad Gateway", "text/plain"),
            ("200 OK", "text/plain"),
        ] {
            let repeats = move |path: &str, request: &str| {
                (path == at).then(|| {
                    let text = serde_json::to_string(request)
                        .unwrap()
                        .replace("\\r\\n", " ");
                    (status, "", kind, format!(r#"{{"errors":[{text}]}}"#))
                })
            };
            let vault = Vault::new(repeats);
            for issuer in [vault.issuer(), vault.handed()] {
                if let Err(error) = issue(&issuer).await {
                    let text = format!("{} {error:?}", error.operator_text());
                    for secret in [SECRET, HANDED, "s.login"] {
                        assert!(!text.contains(secret), "{at} {status}: {text}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_leaf_is_revoked_by_itself_and_not_by_its_number() {
    let vault = Vault::new(|_, _| None);
    let leaf = parsed([&Ca::new().leaf()]).unwrap().remove(0);
    let revocation = Revocation {
        leaf: &leaf,
        reason: Reason::Superseded,
        identity: None,
    };
    vault.issuer().revoke(revocation).await.unwrap();
    let sent = vault.sent("pki/int/revoke");
    assert_eq!(
        parsed([&sent["certificate"].as_str().unwrap().to_owned()]).unwrap()[0],
        leaf
    );
    let vault = Vault::new(|path, _| {
        (path == "pki/int/revoke").then(|| errors("403 Forbidden", "permission denied"))
    });
    let error = vault.issuer().revoke(revocation).await.unwrap_err();
    assert!(
        error.operator_text().contains("path \"pki/int/revoke\""),
        "{error}"
    );
}

#[tokio::test]
async fn what_can_be_seen_without_an_issuance_is_told() {
    use Question::{Authenticated, Clock, MayIssue, Reachable};
    let health = |sealed: bool, ahead: i64| {
        let now = jiff::Timestamp::now().as_second() + ahead;
        format!(r#"{{"sealed":{sealed},"version":"2.7.2","server_time_utc":{now}}}"#)
    };
    for (at, told, expected) in [
        (
            "",
            (OK, "", JSON, String::new()),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
        // A server tells its state also where that is bad.
        (
            "sys/health",
            ("503 Service Unavailable", "", JSON, health(true, 0)),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
        (
            "sys/health",
            (OK, "", JSON, health(false, 300)),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::No),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
        (
            "sys/health",
            ("502 Bad Gateway", "", "text/html", "<html>".into()),
            vec![(Reachable, Is::No)],
        ),
        (
            LOGIN,
            errors("400 Bad Request", "invalid role or secret ID"),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::No),
            ],
        ),
        (
            "sys/capabilities-self",
            (OK, "", JSON, format!(r#"{{"data":{{"{SIGN}":["deny"]}}}}"#)),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::No),
            ],
        ),
        (
            "sys/capabilities-self",
            errors("403 Forbidden", "permission denied"),
            vec![
                (Reachable, Is::Yes),
                (Clock, Is::Yes),
                (Authenticated, Is::Yes),
                (MayIssue, Is::Unknown),
            ],
        ),
    ] {
        let vault = Vault::new(move |path, _| (path == at).then(|| told.clone()));
        let found = vault.issuer().check(&[request(&["a.test"])]).await;
        let seen: Vec<_> = found
            .iter()
            .map(|found| (found.question, found.is))
            .collect();
        assert_eq!(seen, expected, "{at} {found:?}");
        assert_eq!(vault.count(SIGN), 0);
    }
}
