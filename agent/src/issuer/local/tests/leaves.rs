//! What is issued, as peers see it.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

#[test]
fn with_every_type_of_key_what_is_issued_is_accepted_by_us_and_by_openssl() {
    let world = World::new();
    for key_type in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
        KeyType::Rsa3072,
        KeyType::Rsa4096,
    ] {
        let request = Request { key_type, ..api() };
        let accepted = world.issue(&request).unwrap();
        assert_eq!(accepted.warnings, [], "{key_type:?}");
        assert_eq!(ends(&accepted), 3600, "the life counts from now");
        assert_eq!(accepted.facts.not_before, world.clock() - BACKDATE);
    }
}

#[test]
fn a_leaf_says_what_was_asked_for_and_nothing_else() {
    let world = World::new();
    let text = text_of(&world.issue(&api()).unwrap().leaf);
    for expected in [
        "Subject: \n",
        "X509v3 Subject Alternative Name: critical",
        "DNS:*.api.test, DNS:api.test, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, URI:spiffe://td/api",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "ecdsa-with-SHA256",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let rsa = Request {
        key_type: KeyType::Rsa2048,
        ..api()
    };
    let text = text_of(&world.issue(&rsa).unwrap().leaf);
    assert!(
        text.contains("Digital Signature, Key Encipherment\n"),
        "{text}"
    );
}

#[test]
fn the_usages_are_those_asked_for() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    for (server, client) in [(true, false), (false, true)] {
        let mut request = api();
        request.usages = Usages { server, client };
        let leaf = world.answer(&request, &key).unwrap().leaf;
        let text = text_of(&leaf);
        assert_eq!(text.contains("TLS Web Server Authentication"), server);
        assert_eq!(text.contains("TLS Web Client Authentication"), client);
    }
}

#[test]
fn root_and_intermediate_are_limited_to_their_tasks() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let root = text_of(&world.anchors()[0]);
    let issuing = text_of(&issuing_file(&world));
    for (text, expected) in [
        (&root, "CN = renewd local root "),
        (&root, "CA:TRUE, pathlen:1"),
        (&root, "Certificate Sign, CRL Sign"),
        (&issuing, "CN = renewd local issuing "),
        (&issuing, "CA:TRUE, pathlen:0"),
        (&issuing, "Certificate Sign, CRL Sign"),
        (
            &issuing,
            "TLS Web Server Authentication, TLS Web Client Authentication",
        ),
        (&issuing, "X509v3 Authority Key Identifier"),
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let facts = LeafFacts::from_der(&world.anchors()[0]).unwrap();
    assert_eq!(facts.not_after.as_second() - START, 20 * YEAR);
    let facts = LeafFacts::from_der(&issuing_file(&world)).unwrap();
    assert_eq!(facts.not_after.as_second() - START, YEAR);
}

#[test]
fn serials_are_sixteen_bytes_positive_and_never_the_same() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let serials: std::collections::BTreeSet<String> = (0..50)
        .map(|_| world.answer(&api(), &key).unwrap().leaf)
        .map(|leaf: CertificateDer<'_>| LeafFacts::from_der(&leaf).unwrap().serial.to_string())
        .collect();
    assert_eq!(serials.len(), 50);
    for serial in &serials {
        assert_eq!(serial.len(), 32);
        assert!(("4".."8").contains(&&serial[..1]), "{serial}");
    }
}

#[test]
fn the_root_can_be_shown_without_its_key() {
    let world = World::new();
    let error = LocalIssuer::root_pem(&world.directory(), &world.settings).unwrap_err();
    assert_eq!(error.label(), "ca-no-root");
    world.issue(&api()).unwrap();
    let text = LocalIssuer::root_pem(&world.directory(), &world.settings).unwrap();
    assert!(!text.contains("PRIVATE"));
    let root = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    assert_eq!([root], world.anchors()[..]);
}

#[tokio::test]
async fn many_certificates_asked_for_at_once_are_all_issued() {
    let world = World::new();
    let certificate: CertificateName = "api".parse().unwrap();
    let anchors = world.issuer.anchors().await.unwrap();
    let keys: Vec<_> = (0..16)
        .map(|_| PrivateKey::generate(KeyType::default()).unwrap())
        .collect();
    let request = api();
    let requests: Vec<_> = keys
        .iter()
        .map(|key| key.request(&request).unwrap())
        .collect();
    let orders = requests.iter().map(|csr| {
        world.issuer.issue(Order {
            certificate: &certificate,
            request: &request,
            csr,
            replaces: None,
            identity: None,
        })
    });
    for (answer, key) in futures_util::future::join_all(orders)
        .await
        .into_iter()
        .zip(&keys)
    {
        let answer = answer.unwrap();
        accept(
            &request,
            &key.fingerprint(),
            &answer,
            &anchors,
            world.clock(),
        )
        .unwrap();
    }
    let log = fs::read_to_string(world.file(LOG)).unwrap();
    assert_eq!(log.lines().count(), 16);
}

#[test]
fn the_common_name_of_the_settings_begins_those_of_the_ca() {
    let common_name = "Äxample CA of forty characters, at most!".to_owned();
    assert_eq!(common_name.chars().count(), 40);
    let world = World::with(LocalSettings {
        common_name: common_name.clone(),
        ..LocalSettings::default()
    });
    let issued = world.issue(&api()).unwrap();
    for (der, role) in [(&world.anchors()[0], "root"), (&issued.chain[0], "issuing")] {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        let name = certificate.subject().iter_common_name().next().unwrap();
        let name = name.as_str().unwrap();
        assert!(
            name.starts_with(&format!("{common_name} {role} ")),
            "{name}"
        );
        assert!(name.chars().count() <= 64, "X.520's upper bound");
    }
}
