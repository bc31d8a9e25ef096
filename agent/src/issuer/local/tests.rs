//! The embedded CA against `accept()` and against OpenSSL, under a simulated clock.

mod files;
mod leaves;
mod lives;
mod names;
mod provided;
mod requests;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use super::super::Retry;
use super::authority::{Authority, Span};
use super::ca::{EARLIEST, later};
use super::*;
use crate::keys::PrivateKey;
use jiff::Timestamp;
use renewd_core::accept::{Accepted, accept};
use renewd_core::leaf::LeafFacts;
use renewd_core::names::CertificateName;
use renewd_core::request::{KeyType, Usages};
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// A CA in a directory of its own, with a clock that the test sets.
struct World {
    temporary: TempDir,
    now: Arc<AtomicI64>,
    settings: LocalSettings,
    issuer: LocalIssuer,
}

impl World {
    fn new() -> Self {
        Self::with(LocalSettings::default())
    }

    fn with(settings: LocalSettings) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(START));
        let issuer = make(temporary.path(), settings.clone(), &now);
        Self {
            temporary,
            now,
            settings,
            issuer,
        }
    }

    fn directory(&self) -> PathBuf {
        self.temporary.path().join("internal")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// As after a restart of the daemon.
    fn restart(&mut self) {
        self.issuer = make(self.temporary.path(), self.settings.clone(), &self.now);
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_second(self.now.load(Ordering::SeqCst)).unwrap()
    }

    fn set_clock(&self, after_start: i64) {
        self.now.store(START + after_start, Ordering::SeqCst);
    }

    fn anchors(&self) -> Vec<CertificateDer<'static>> {
        vec![self.issuer.ca.root().unwrap()]
    }

    fn answer(&self, request: &Request, key: &PrivateKey) -> Result<Answer, LocalError> {
        let csr = key.request(request).unwrap();
        self.order(request, &csr)
    }

    fn order(&self, request: &Request, csr: &[u8]) -> Result<Answer, LocalError> {
        let certificate: CertificateName = "api".parse().unwrap();
        self.issuer.ca.issue(&Order {
            certificate: &certificate,
            request,
            csr,
            replaces: None,
            identity: None,
        })
    }

    /// Key → request → issue → accept → OpenSSL.
    fn issue(&self, request: &Request) -> Result<Accepted, LocalError> {
        let key = PrivateKey::generate(request.key_type).unwrap();
        let answer = self.answer(request, &key)?;
        let anchors = self.anchors();
        let now = self.clock();
        let accepted = accept(request, &key.fingerprint(), &answer, &anchors, now).unwrap();
        self.openssl_verifies(&accepted).unwrap();
        Ok(accepted)
    }

    fn openssl_verifies(&self, accepted: &Accepted) -> Result<(), String> {
        let aside = tempfile::tempdir().unwrap();
        let write = |name: &str, ders: &[CertificateDer<'_>]| {
            let text: String = ders.iter().map(|der| pem::certificate(der)).collect();
            let path = aside.path().join(name);
            fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let root = write("root", &self.anchors());
        let chain = write("chain", &accepted.chain);
        let leaf = write("leaf", std::slice::from_ref(&accepted.leaf));
        let now = self.clock().as_second().to_string();
        for purpose in ["sslserver", "sslclient"] {
            let arguments = [
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-attime",
                &now,
            ];
            let output = Command::new("openssl")
                .args(arguments)
                .args(["-CAfile", &root, "-untrusted", &chain, &leaf])
                .output()
                .expect("openssl is needed for the tests");
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
        }
        Ok(())
    }

    /// The only ways that a directory's content can be told apart from another's.
    fn snapshot(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.directory())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }
}

fn make(parent: &Path, settings: LocalSettings, now: &Arc<AtomicI64>) -> LocalIssuer {
    let now = Arc::clone(now);
    let clock = move || Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap();
    LocalIssuer::new(parent.join("internal"), settings, Arc::new(clock))
}

fn request(names: &[&str], life: i64) -> Request {
    Request {
        issuer: "internal".parse().unwrap(),
        directory: None,
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        lifetime: Duration::from_secs(u64::try_from(life).unwrap()),
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

fn api() -> Request {
    request(
        &[
            "api.test",
            "*.api.test",
            "127.0.0.1",
            "::1",
            "spiffe://td/api",
        ],
        3600,
    )
}

fn text_of(der: &[u8]) -> String {
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), pem::certificate(der)).unwrap();
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(path.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn ends(issued: &Accepted) -> i64 {
    issued.facts.not_after.as_second() - START
}

fn issuing_file(world: &World) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(world.file(ISSUING)).unwrap()
}
