//! Name constraints: enforced before signing, and by peers.

use rcgen::SubjectPublicKeyInfo;

use super::super::super::Is;
use super::*;

fn constrained(dns: &[&str], ip: &[(&str, u8)], uri: &[&str]) -> LocalSettings {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let network = |(address, prefix): &(&str, u8)| (address.parse().unwrap(), *prefix);
    LocalSettings {
        constraints: Constraints {
            dns: texts(dns),
            ip: ip.iter().map(network).collect(),
            uri: texts(uri),
        },
        ..LocalSettings::default()
    }
}

#[test]
fn names_outside_the_constraints_are_refused_before_anything_is_signed() {
    let world = World::with(constrained(
        &["api.test"],
        &[("127.0.0.0", 8)],
        &["spiffe://td"],
    ));
    let inside = request(
        &["api.test", "x.api.test", "127.1.2.3", "spiffe://td/api"],
        3600,
    );
    world.issue(&inside).unwrap();
    for (outside, permitted) in [
        ("test", "api.test"),
        ("xapi.test", "api.test"),
        ("128.0.0.1", "127.0.0.0/8"),
        ("::1", "127.0.0.0/8"),
        ("spiffe://other/api", "spiffe://td"),
    ] {
        let asked = request(&["api.test", outside], 3600);
        let error = world.issue(&asked).unwrap_err();
        assert_eq!(
            (error.label(), error.retry()),
            ("name-constraints", Retry::Operator)
        );
        let text = error.to_string();
        assert!(text.contains(outside), "{text}");
        assert!(text.ends_with(permitted), "{text}");
    }
    let log = fs::read_to_string(world.file(LOG)).unwrap();
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn peers_enforce_the_constraints_that_stand_in_the_intermediate() {
    for outside in ["evil.test", "test", "128.0.0.1", "::1"] {
        let world = World::with(constrained(&["api.test"], &[("127.0.0.0", 8)], &[]));
        let inside = "x.api.test";
        world.issue(&request(&[inside], 3600)).unwrap();
        // As if the issuer's own check had failed.
        let request = request(&[outside], 3600);
        let key = PrivateKey::generate(KeyType::default()).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(key.pair());
        let spki = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        let path = world.file(ISSUING);
        let text = fs::read_to_string(&path).unwrap();
        let issuing = Authority::from_pem(&path, &text).unwrap();
        let span = Span {
            from: world.clock(),
            until: later(world.clock(), request.lifetime),
        };
        let answer = Answer {
            leaf: issuing.leaf(&request, &spki, span).unwrap(),
            chain: vec![issuing.certificate().clone()],
        };
        let now = world.clock();
        let refusal = accept(&request, &key.fingerprint(), &answer, &world.anchors(), now);
        assert_eq!(refusal.unwrap_err().label(), "chain", "{outside}");
        let forged = Accepted {
            leaf: answer.leaf.clone(),
            chain: answer.chain,
            facts: LeafFacts::from_der(&answer.leaf).unwrap(),
            anchor: key.fingerprint(),
            usable_from: now,
            usable_until: now,
            warnings: vec![],
        };
        let error = world.openssl_verifies(&forged).unwrap_err();
        assert!(error.contains("subtree violation"), "{outside}: {error}");
    }
}

#[test]
fn changed_constraints_make_a_new_intermediate_under_the_same_root() {
    let mut world = World::new();
    let first = world.issue(&request(&["api.test"], 3600)).unwrap();
    world.settings = constrained(&["api.test"], &[], &[]);
    world.restart();
    let second = world.issue(&request(&["api.test"], 3600)).unwrap();
    assert_ne!(first.chain, second.chain);
    assert_eq!(first.anchor, second.anchor);
    assert!(text_of(&second.chain[0]).contains("X509v3 Name Constraints: critical"));
    world.restart();
    let third = world.issue(&request(&["api.test"], 3600)).unwrap();
    assert_eq!(
        second.chain, third.chain,
        "unchanged settings change nothing"
    );
}

#[tokio::test]
async fn a_look_at_it_tells_of_a_name_outside_the_constraints() {
    let world = World::with(constrained(&["api.test"], &[], &[]));
    let inside = request(&["x.api.test"], 3600);
    let outside = request(&["other.test"], 3600);
    for (requests, is) in [
        (vec![inside.clone()], Is::Yes),
        (vec![inside, outside], Is::No),
    ] {
        let found = world.issuer.check(&requests).await;
        let all: Vec<_> = found
            .iter()
            .map(|found| (found.question, found.is))
            .collect();
        let (yes, may) = (Is::Yes, Question::MayIssue);
        let expected = [
            Question::Reachable,
            Question::Authenticated,
            Question::Clock,
        ];
        assert_eq!(all[..3], expected.map(|question| (question, yes)));
        assert_eq!(all[3..], [(may, is)], "{found:?}");
        assert_eq!(
            found[3].text.contains("other.test"),
            is == Is::No,
            "{found:?}"
        );
    }
    // Nothing was signed.
    assert!(!world.file(LOG).exists());
    fs::write(world.file(ROOT), "damaged").unwrap();
    let mut world = world;
    world.restart();
    let found = world.issuer.check(&[]).await;
    assert_eq!((found.len(), found[0].is), (1, Is::No), "{found:?}");
}
