use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use nix::sys::resource::getrlimit;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

const TYPES: [KeyType; 6] = [
    KeyType::EcdsaP256,
    KeyType::EcdsaP384,
    KeyType::Ed25519,
    KeyType::Rsa2048,
    KeyType::Rsa3072,
    KeyType::Rsa4096,
];

fn request(key_type: KeyType) -> Request {
    Request {
        issuer: "internal".parse().unwrap(),
        directory: None,
        names: ["api.test", "10.0.0.1", "::1", "spiffe://td/api"]
            .map(|name| name.parse().unwrap())
            .into(),
        lifetime: Duration::from_secs(3600),
        key_type,
        usages: Usages::default(),
    }
}

fn openssl(arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is needed for the tests");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text.into_owned()
}

#[test]
fn every_type_of_key_is_read_by_openssl_and_by_ourselves() {
    let words = [
        "prime256v1",
        "secp384r1",
        "ED25519",
        "2048 bit",
        "3072 bit",
        "4096 bit",
    ];
    for (key_type, word) in TYPES.into_iter().zip(words) {
        let key = PrivateKey::generate(key_type).unwrap();
        let pem = key.pem();
        assert_eq!(pem.capacity(), pem.len(), "the text was never moved");
        let text = openssl(&["pkey", "-noout", "-text"], pem.as_bytes());
        assert!(text.contains(word), "{key_type:?}: {text}");
        let back = PrivateKey::from_pem(&pem).unwrap();
        assert_eq!(back.fingerprint(), key.fingerprint());
        assert_eq!(*back.pem(), *pem);
    }
}

#[test]
fn a_request_is_signed_by_its_key_and_names_what_was_asked_and_nothing_else() {
    for key_type in TYPES {
        let key = PrivateKey::generate(key_type).unwrap();
        let csr = key.request(&request(key_type)).unwrap();
        let text = openssl(
            &["req", "-inform", "DER", "-noout", "-verify", "-text"],
            &csr,
        );
        for expected in [
            "verify OK",
            "Subject: \n",
            "X509v3 Subject Alternative Name: critical",
            "DNS:api.test, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1, URI:spiffe://td/api",
            "TLS Web Server Authentication, TLS Web Client Authentication",
            "Digital Signature",
        ] {
            assert!(text.contains(expected), "{key_type:?} {expected}: {text}");
        }
        let rsa = matches!(
            key_type,
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096
        );
        assert_eq!(text.contains("Key Encipherment"), rsa);
        let (_, parsed) = X509CertificationRequest::from_der(&csr).unwrap();
        let spki = parsed.certification_request_info.subject_pki.raw;
        assert_eq!(Fingerprint::of(spki), key.fingerprint());
    }
}

#[test]
fn two_keys_are_never_the_same() {
    let one = PrivateKey::generate(KeyType::default()).unwrap();
    let other = PrivateKey::generate(KeyType::default()).unwrap();
    assert_ne!(one.fingerprint(), other.fingerprint());
}

#[test]
fn nothing_of_a_key_is_shown_by_debug_or_by_errors() {
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(
        shown,
        format!("PrivateKey(public key {})", key.fingerprint())
    );
    let pem = key.pem();
    let secret = pem.lines().nth(1).unwrap();
    for damaged in [
        pem.replace("-----END", "----END"),
        pem.replacen(secret, &secret[1..], 1),
        pem.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        pem[..pem.len() / 2].to_owned(),
        String::new(),
    ] {
        let error = PrivateKey::from_pem(&damaged).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&secret[8..24]), "{text}");
    }
}

#[test]
fn a_process_that_forbids_core_dumps_leaves_none() {
    forbid_core_dumps().unwrap();
    assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    assert!(!prctl::get_dumpable().unwrap());
}
