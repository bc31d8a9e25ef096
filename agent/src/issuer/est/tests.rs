//! The issuer against an EST server of our own that does what libest cannot be made to do. The way to a certificate is
//! tried against that, too, by a scenario.

mod answers;
mod attributes;
mod gate;
mod identities;
mod mutated;
mod told;

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    IsCa, KeyPair,
};
use renewd_core::leaf::{Fingerprint, LeafFacts};
use renewd_core::names::{CertificateName, San};
use renewd_core::request::{KeyType, Usages};
use rustls::version::TLS12;
use rustls::{RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateSigningRequestDer;
use tempfile::TempDir;

use super::super::https::tests::{Clients, Server};
use super::super::{HeldIdentity, Sent};
use super::*;
use crate::keys::PrivateKey;

/// As libest does.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS12];
const PASSWORD: &str = "c4nary-pa55word";

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// The certificates of a CA with an intermediate.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = || KeyPair::generate().unwrap();
        let root =
            CertifiedIssuer::self_signed(authority_params(&format!("{name} root")), key()).unwrap();
        let issuing = authority_params(&format!("{name} issuing"));
        let issuing = CertifiedIssuer::signed_by(issuing, key(), &root).unwrap();
        Self { root, issuing }
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.der().clone(), self.issuing.der().clone()]
    }

    fn sign(&self, csr: &[u8]) -> CertificateDer<'static> {
        let csr = CertificateSigningRequestDer::from(csr.to_vec());
        let csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        csr.signed_by(&self.issuing).unwrap().der().clone()
    }

    fn clients(&self) -> Clients {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        Clients::Below(roots)
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut all = vec![tag];
    match length {
        0..0x80 => all.push(length as u8),
        0x80..0x1_0000 => all.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => all.extend([
            0x83,
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
        ]),
    }
    all.extend(content);
    all
}

const SIGNED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];

/// A message of that type around what comes after the digests' algorithms (RFC 5652, section 5.1).
fn message(kind: &[u8], content: &[u8], certificates: &[u8], signers: &[u8]) -> Vec<u8> {
    let signed = [
        tlv(2, &[1]),
        tlv(0x31, &[]),
        tlv(0x30, &[&tlv(6, DATA), content].concat()),
        certificates.to_vec(),
        tlv(0x31, signers),
    ];
    let signed = tlv(0x30, &signed.concat());
    tlv(0x30, &[tlv(6, kind), tlv(0xa0, &signed)].concat())
}

fn pkcs7(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let all: Vec<u8> = certificates.iter().flat_map(|der| der.to_vec()).collect();
    message(SIGNED, &[], &tlv(0xa0, &all), &[])
}

/// An answer: status, further headers, and a body in base64 or as it is.
type Told = (&'static str, &'static str, Vec<u8>);

fn told(status: &'static str, headers: &'static str, body: impl Into<Vec<u8>>) -> Option<Told> {
    Some((status, headers, body.into()))
}

/// A CA that does not want anything of requests, and knows the user `renewd` and its own certificates.
struct Ca {
    server: Server,
    authority: Arc<Authority>,
    /// The requests to `simpleenroll` and `simplereenroll`, each with its body.
    asked: Arc<Mutex<Vec<String>>>,
    directory: TempDir,
}

impl Ca {
    /// `tells` says what is answered to an operation; what it does not name is answered as a good CA does.
    fn new(tells: impl Fn(&str) -> Option<Told> + Send + 'static) -> Self {
        Self::of(Arc::new(Authority::new("est")), tells)
    }

    fn of(
        authority: Arc<Authority>,
        tells: impl Fn(&str) -> Option<Told> + Send + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, ca) = (Arc::clone(&asked), Arc::clone(&authority));
        let manner = move |request: &str, write: &mut dyn FnMut(&[u8]) -> bool| {
            let path = request.split(' ').nth(1).unwrap();
            let operation = path.rsplit_once('/').unwrap().1;
            if operation.ends_with("enroll") {
                seen.lock().unwrap().push(request.to_owned());
            }
            let (status, headers, body) =
                tells(operation).unwrap_or_else(|| good(&ca, operation, request));
            let head = format!(
                "HTTP/1.0 {status}\r\n{headers}content-length: {}\r\n\r\n",
                body.len()
            );
            write(&[head.as_bytes(), &body].concat());
        };
        let server = Server::of(authority.clients(), VERSIONS, Box::new(manner));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(directory.path().join("password"), closed).unwrap();
        Self {
            server,
            authority,
            asked,
            directory,
        }
    }

    fn settings(&self) -> EstSettings {
        EstSettings {
            base: format!("https://localhost:{}/.well-known/est", self.server.port),
            ca: self.server.ca(),
            trust: None,
            proxy: None,
            login: Some(Login {
                username: "renewd".into(),
                password: self.secret("password"),
            }),
            bootstrap: None,
        }
    }

    fn secret(&self, name: &str) -> Secret {
        Secret::File(self.directory.path().join(name))
    }

    fn issuer(&self) -> EstIssuer {
        self.with(self.settings())
    }

    fn with(&self, settings: EstSettings) -> EstIssuer {
        let place = self.directory.path().join("issuer");
        EstIssuer::new(place, settings, Secrets::default())
    }

    /// Which operations were asked for, in turn.
    fn operations(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let paths = asked
            .iter()
            .map(|request| request.split(' ').nth(1).unwrap());
        paths
            .map(|path| path.rsplit_once('/').unwrap().1.to_owned())
            .collect()
    }
}

fn good(ca: &Authority, operation: &str, request: &str) -> Told {
    // renewd:c4nary-pa55word
    const KNOWN: &str = "authorization: Basic cmVuZXdkOmM0bmFyeS1wYTU1d29yZA==\r\n";
    const UNKNOWN: Told = (
        "401 Unauthorized",
        "www-authenticate: Basic realm=\"est\"\r\n",
        Vec::new(),
    );
    let client = request.contains("\r\nclient: ");
    let certificates = match operation {
        "cacerts" => ca.certificates(),
        "csrattrs" => return ("204 No Content", "", Vec::new()),
        "simpleenroll" if client || request.contains(KNOWN) => vec![ca.sign(&brought(request))],
        "simplereenroll" if client => vec![ca.sign(&brought(request))],
        _ => return UNKNOWN,
    };
    let kind = "content-type: application/pkcs7-mime; smime-type=certs-only\r\n";
    (
        "200 OK",
        kind,
        body::encode(&pkcs7(&certificates)).into_bytes(),
    )
}

/// The certificate request in a request.
fn brought(request: &str) -> Vec<u8> {
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    let body = body.split("\r\nclient: ").next().unwrap();
    body::decode(body.as_bytes()).unwrap().into_owned()
}

fn request() -> Request {
    Request {
        issuer: "est".parse().unwrap(),
        directory: None,
        names: vec!["a.test".parse::<San>().unwrap()],
        lifetime: Duration::from_secs(3600),
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

async fn bring(
    issuer: &EstIssuer,
    request: &Request,
    key: &PrivateKey,
    identity: Option<&HeldIdentity>,
) -> Result<Answer, IssueError> {
    let certificate: CertificateName = "a".parse().unwrap();
    let csr = key.request(request).unwrap();
    let order = Order {
        certificate: &certificate,
        request,
        csr: &csr,
        replaces: None,
        identity,
    };
    issuer.issue(order).await
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::default()).unwrap()
}

async fn issue(issuer: &EstIssuer) -> Result<Answer, IssueError> {
    bring(issuer, &request(), &key(), None).await
}
