//! The probe against `openssl s_server`: a peer that shares no code with it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::PKCS_RSA_SHA256;
use renewd_core::proof::Reason;

use super::pki::{Identity, Pki};
use super::{assert_failed, assert_served, once, probe};
use crate::probe::ProbeTarget;

/// A running `s_server`, ended when dropped.
struct Server {
    child: Child,
    target: ProbeTarget,
}

impl Server {
    fn start(arguments: &[String]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .args(arguments)
            // It ends at the end of its input.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl can be run (apt-get install openssl)");
        let output = BufReader::new(child.stdout.as_mut().unwrap());
        let address = output
            .lines()
            .map(|line| line.expect("s_server prints text"))
            .find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned()));
        let Some(address) = address else {
            let mut why = String::new();
            let stderr = child.stderr.as_mut().unwrap();
            stderr.read_to_string(&mut why).unwrap();
            panic!("s_server does not listen: {why}");
        };
        let target = format!("tls://{address}").parse().unwrap();
        Self { child, target }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Writes a file, and returns its path as an argument.
fn file(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The arguments for one identity; `d` is put before them for a second one.
fn arguments(directory: &Path, d: &str, pki: &Pki, identity: &Identity) -> Vec<String> {
    let file = |name, text: &str| file(directory, &format!("{d}{name}"), text);
    vec![
        format!("-{d}cert"),
        file("leaf.pem", &identity.leaf_pem),
        format!("-{d}key"),
        file("key.pem", &identity.key.serialize_pem()),
        format!("-{d}cert_chain"),
        file("chain.pem", &pki.intermediate_pem),
    ]
}

#[tokio::test]
async fn openssl_is_served_with_two_key_types_in_both_versions_of_tls() {
    let pki = Pki::new();
    let ecdsa = pki.identity();
    let rsa = pki.identity_of(&["api.test"], &PKCS_RSA_SHA256);
    let directory = tempfile::tempdir().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut both = arguments(directory.path(), "", &pki, &ecdsa);
        both.extend(arguments(directory.path(), "d", &pki, &rsa));
        both.push(version.to_owned());
        let server = Server::start(&both);
        for published in [&ecdsa, &rsa] {
            let expected = pki.expect(published);
            assert_served(&probe(&server.target, &expected, once()).await, &expected);
        }
        let report = probe(&server.target, &pki.expect(&pki.identity()), once()).await;
        assert_failed(
            &report,
            Reason::WrongLeaf,
            "3 of 3 handshakes showed serial",
        );
    }
}

#[tokio::test]
async fn openssl_that_demands_a_client_certificate_is_served_without_one() {
    let pki = Pki::new();
    let published = pki.identity();
    let expected = pki.expect(&published);
    let directory = tempfile::tempdir().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut demanding = arguments(directory.path(), "", &pki, &published);
        let root = file(directory.path(), "root.pem", &pki.root_pem);
        let more = [
            "-Verify",
            "2",
            "-verify_return_error",
            "-CAfile",
            &root,
            version,
        ];
        demanding.extend(more.map(ToOwned::to_owned));
        let server = Server::start(&demanding);
        assert_served(&probe(&server.target, &expected, once()).await, &expected);
    }
}

#[tokio::test]
async fn openssl_without_the_intermediate_is_a_chain_failure() {
    let pki = Pki::new();
    let published = pki.identity();
    let directory = tempfile::tempdir().unwrap();
    let mut bare = arguments(directory.path(), "", &pki, &published);
    bare.truncate(4);
    let server = Server::start(&bare);
    let report = probe(&server.target, &pki.expect(&published), once()).await;
    assert_failed(&report, Reason::Chain, "needs fullchain.pem, not cert.pem");
}
