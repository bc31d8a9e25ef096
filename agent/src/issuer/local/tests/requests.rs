//! Certificate requests that are not what was asked for.

use rcgen::{CertificateParams, CustomExtension, DnType, IsCa};

use super::*;

#[test]
fn a_request_that_asks_for_more_gets_only_what_the_order_names() {
    let world = World::new();
    let request = api();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "the moon");
    let san = |name| crate::keys::san_type(name).unwrap();
    params.subject_alt_names = request.names.iter().map(san).collect();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let csr = params.serialize_request(key.pair()).unwrap();
    let answer = world.order(&request, csr.der()).unwrap();
    let accepted = accept(
        &request,
        &key.fingerprint(),
        &answer,
        &world.anchors(),
        world.clock(),
    );
    let text = text_of(&accepted.unwrap().leaf);
    for foreign in [
        "the moon",
        "CA:TRUE",
        "Certificate Sign",
        "Code Signing",
        "1.2.3.4",
    ] {
        assert!(!text.contains(foreign), "{foreign}: {text}");
    }
}

#[test]
fn a_request_with_other_names_is_refused() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let asked = request(&["a.test", "10.0.0.1"], 3600);
    for names in [
        &["a.test"][..],
        &["a.test", "10.0.0.1", "b.test"],
        &["a.test", "10.0.0.2"],
        &["b.test", "10.0.0.1"],
        &[],
    ] {
        let csr = key.request(&request(names, 3600)).unwrap();
        let error = world.order(&asked, &csr).unwrap_err();
        assert_eq!(
            (error.label(), error.retry()),
            ("csr", Retry::Operator),
            "{names:?}"
        );
    }
    // Order and repetition are no difference.
    let csr = key
        .request(&request(&["10.0.0.1", "a.test", "a.test"], 3600))
        .unwrap();
    world.order(&asked, &csr).unwrap();
    let nothing = request(&[], 3600);
    let csr = key.request(&nothing).unwrap();
    assert_eq!(world.order(&nothing, &csr).unwrap_err().label(), "csr");
}

#[test]
fn a_request_without_proof_of_possession_or_of_another_type_is_refused() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let csr = key.request(&api()).unwrap();
    let mut forged = csr.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut trailing = csr.clone();
    trailing.push(0);
    for bad in [
        &forged[..],
        &trailing[..],
        &csr[..csr.len() - 1],
        b"garbage",
        &[0; 100_000],
    ] {
        assert_eq!(world.order(&api(), bad).unwrap_err().label(), "csr");
    }
    for key_type in [KeyType::EcdsaP384, KeyType::Ed25519, KeyType::Rsa2048] {
        let request = Request { key_type, ..api() };
        let error = world.order(&request, &csr).unwrap_err();
        assert!(error.to_string().contains("type asked for"), "{error}");
    }
    assert!(!world.directory().exists(), "nothing was made for nothing");
}
