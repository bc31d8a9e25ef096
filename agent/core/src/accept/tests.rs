use super::*;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData, SanType, date_time_ymd,
};

type Ca = CertifiedIssuer<'static, KeyPair>;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

/// Sets a validity relative to now.
fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let moment = |seconds: i64| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(NOW + seconds).unwrap())
    };
    params.not_before = moment(from);
    params.not_after = moment(until);
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid(&mut params, -DAY, 365 * DAY);
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names.iter().map(|name| san(name)).collect();
    params.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    valid(&mut params, -30, 3600);
    params
}

fn san(name: &str) -> SanType {
    match name.parse().unwrap() {
        San::Dns(text) => SanType::DnsName(text.try_into().unwrap()),
        San::Ip(address) => SanType::IpAddress(address),
        San::Uri(text) => SanType::URI(text.try_into().unwrap()),
    }
}

struct World {
    root: Ca,
    issuing: Ca,
    key: KeyPair,
    request: Request,
}

const NAMES: [&str; 3] = ["api.test", "10.0.0.1", "spiffe://td/api"];

impl World {
    fn new() -> Self {
        let root = Ca::self_signed(ca_params("root"), KeyPair::generate().unwrap()).unwrap();
        let issuing =
            Ca::signed_by(ca_params("issuing"), KeyPair::generate().unwrap(), &root).unwrap();
        Self {
            root,
            issuing,
            key: KeyPair::generate().unwrap(),
            request: Request {
                issuer: "internal".parse().unwrap(),
                directory: None,
                names: NAMES.map(|name| name.parse().unwrap()).into(),
                lifetime: Duration::from_secs(3600),
                key_type: crate::request::KeyType::default(),
                usages: Usages::default(),
            },
        }
    }

    fn answer_of(&self, params: &CertificateParams) -> Answer {
        Answer {
            leaf: der(&params.signed_by(&self.key, &self.issuing).unwrap()),
            chain: vec![self.issuing.der().clone()],
        }
    }

    fn answer(&self) -> Answer {
        self.answer_of(&leaf_params(&NAMES))
    }

    fn accept(&self, answer: &Answer) -> Result<Accepted, Refusal> {
        self.accept_at(answer, at(0))
    }

    fn accept_at(&self, answer: &Answer, now: Timestamp) -> Result<Accepted, Refusal> {
        let key = Fingerprint::of(&self.key.subject_public_key_info());
        let anchors = [self.root.der().clone()];
        accept(&self.request, &key, answer, &anchors, now)
    }

    fn refusal_of(&self, params: &CertificateParams) -> Refusal {
        self.accept(&self.answer_of(params)).unwrap_err()
    }
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    certificate.der().clone()
}

#[test]
fn a_right_answer_is_accepted_with_what_it_says() {
    let world = World::new();
    let answer = world.answer();
    let accepted = world.accept(&answer).unwrap();
    assert_eq!(accepted.leaf, answer.leaf);
    assert_eq!(accepted.chain, answer.chain);
    assert_eq!(accepted.anchor, Fingerprint::of(world.root.der()));
    assert_eq!(accepted.usable_from, at(0));
    assert_eq!(accepted.usable_until, at(3600));
    assert_eq!(accepted.warnings, []);
    assert_eq!(accepted.facts, LeafFacts::from_der(&answer.leaf).unwrap());
}

#[test]
fn names_must_be_exactly_those_asked_for() {
    let world = World::new();
    // (names in the leaf, missing, extra)
    let refused: [(&[&str], &[&str], &[&str]); 6] = [
        (&["api.test", "10.0.0.1"], &["spiffe://td/api"], &[]),
        (
            &["api.test", "10.0.0.1", "spiffe://td/api", "x.test"],
            &[],
            &["x.test"],
        ),
        (
            &["API2.test", "10.0.0.1", "spiffe://td/api"],
            &["api.test"],
            &["api2.test"],
        ),
        (
            &["*.test", "10.0.0.1", "spiffe://td/api"],
            &["api.test"],
            &["*.test"],
        ),
        (
            &["api.test", "10.0.0.2", "spiffe://td/api"],
            &["10.0.0.1"],
            &["10.0.0.2"],
        ),
        (
            &["api.test", "10.0.0.1", "spiffe://td/API"],
            &["spiffe://td/api"],
            &["spiffe://td/API"],
        ),
    ];
    for (names, missing, extra) in refused {
        let refusal = world.refusal_of(&leaf_params(names));
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = Refusal::Names {
            missing: text(missing),
            extra: text(extra),
        };
        assert_eq!(refusal, expected, "{names:?}");
        for name in missing.iter().chain(extra) {
            assert!(refusal.to_string().contains(name), "{refusal}");
        }
    }
}

#[test]
fn names_of_another_type_or_form_do_not_pass_for_those_asked_for() {
    let mut world = World::new();
    let mut params = leaf_params(&["api.test", "spiffe://td/api"]);
    let dns_that_looks_like_an_address = SanType::DnsName("10.0.0.1".try_into().unwrap());
    params
        .subject_alt_names
        .push(dns_that_looks_like_an_address);
    assert_eq!(world.refusal_of(&params).label(), "names");

    let mut params = leaf_params(&NAMES);
    let mail = SanType::Rfc822Name("root@api.test".try_into().unwrap());
    params.subject_alt_names.push(mail);
    assert_eq!(world.refusal_of(&params).label(), "names");

    let mut forged = leaf_params(&NAMES);
    let name = "spiffe://a.test/x\nall is well".try_into().unwrap();
    forged.subject_alt_names.push(SanType::URI(name));
    let text = world.refusal_of(&forged).to_string();
    assert!(text.contains("x\\nall is well"), "{text}");

    // Nor do a leaf without names, or the same address in the other family.
    assert_eq!(world.refusal_of(&leaf_params(&[])).label(), "names");
    world.request.names = vec!["::ffff:10.0.0.1".parse().unwrap()];
    assert_eq!(
        world.refusal_of(&leaf_params(&["10.0.0.1"])).label(),
        "names"
    );
}

#[test]
fn order_repetition_case_and_spelling_of_names_do_not_matter() {
    let mut world = World::new();
    world.request.names = ["::1", "API.test", "api.test", "0:0::1"]
        .map(|name| name.parse().unwrap())
        .into();
    let mut params = leaf_params(&["0:0:0:0:0:0:0:1"]);
    for _ in 0..2 {
        let shouted = SanType::DnsName("Api.TEST".try_into().unwrap());
        params.subject_alt_names.push(shouted);
    }
    world.accept(&world.answer_of(&params)).unwrap();
}

#[test]
fn a_leaf_for_another_key_is_refused() {
    let world = World::new();
    let other = KeyPair::generate().unwrap();
    let leaf = leaf_params(&NAMES)
        .signed_by(&other, &world.issuing)
        .unwrap();
    let mut answer = world.answer();
    answer.leaf = der(&leaf);
    let refusal = world.accept(&answer).unwrap_err();
    assert!(matches!(refusal, Refusal::WrongKey { found, .. }
        if found == Fingerprint::of(&other.subject_public_key_info())));
}

#[test]
fn a_ca_certificate_is_no_leaf() {
    let world = World::new();
    let mut params = leaf_params(&NAMES);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    assert_eq!(world.refusal_of(&params), Refusal::CaLeaf);
}

#[test]
fn usages_must_contain_those_asked_for() {
    let (server, client) = (Eku::ServerAuth, Eku::ClientAuth);
    // (in the leaf, asked server, asked client, accepted)
    let table: [(&[Eku], bool, bool, bool); 9] = [
        (
            &[server.clone(), client.clone(), Eku::CodeSigning],
            true,
            true,
            true,
        ),
        (std::slice::from_ref(&server), true, false, true),
        (std::slice::from_ref(&client), false, true, true),
        (std::slice::from_ref(&server), true, true, false),
        (std::slice::from_ref(&client), true, false, false),
        (&[Eku::CodeSigning], false, true, false),
        (&[Eku::Any], true, true, false),
        (&[], true, true, true),
        (std::slice::from_ref(&server), false, false, false),
    ];
    for (usages, server, client, accepted) in table {
        let mut world = World::new();
        world.request.usages = Usages { server, client };
        let mut params = leaf_params(&NAMES);
        params.extended_key_usages = usages.to_vec();
        let outcome = world.accept(&world.answer_of(&params));
        match outcome {
            Ok(_) => assert!(accepted, "{usages:?}"),
            Err(refusal) => assert!(
                !accepted && refusal.label() == "usage",
                "{usages:?} {refusal}"
            ),
        }
    }
}

#[test]
fn a_leaf_that_may_not_sign_handshakes_is_refused() {
    let world = World::new();
    let mut params = leaf_params(&NAMES);
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let missing = vec!["digitalSignature"];
    assert_eq!(world.refusal_of(&params), Refusal::Usage { missing });
}

#[test]
fn a_leaf_is_accepted_up_to_a_minute_early_and_until_its_last_second() {
    // (valid from, valid until, outcome: usable from or the refusal's label)
    let table = [
        (0, 3600, Ok(0)),
        (30, 3600, Ok(30)),
        (60, 3600, Ok(60)),
        (61, 3600, Err("not-yet-valid")),
        (90, 3600, Err("not-yet-valid")),
        (-3600, 1, Ok(0)),
        (-3600, 0, Err("expired")),
        (-3600, -1, Err("expired")),
        (30, 20, Err("expired")),
        (30, 30, Err("expired")),
    ];
    let world = World::new();
    for (from, until, outcome) in table {
        let mut params = leaf_params(&NAMES);
        valid(&mut params, from, until);
        let accepted = world.accept(&world.answer_of(&params));
        let found = accepted.map(|accepted| accepted.usable_from);
        match outcome {
            Ok(usable) => assert_eq!(found.unwrap(), at(usable), "{from} {until}"),
            Err(label) => assert_eq!(found.unwrap_err().label(), label, "{from} {until}"),
        }
    }
}

#[test]
fn an_intermediate_that_begins_later_than_its_leaf_is_waited_for_as_well() {
    let mut world = World::new();
    for (from, outcome) in [(40, Ok(at(40))), (90, Err("not-yet-valid"))] {
        let mut params = ca_params("issuing");
        valid(&mut params, from, 365 * DAY);
        let key = KeyPair::generate().unwrap();
        world.issuing = Ca::signed_by(params, key, &world.root).unwrap();
        let mut leaf = leaf_params(&NAMES);
        valid(&mut leaf, 20, 3600);
        let accepted = world.accept(&world.answer_of(&leaf));
        let found = accepted
            .map(|accepted| accepted.usable_from)
            .map_err(|refusal| refusal.label());
        assert_eq!(found, outcome);
    }
}

#[test]
fn an_expired_intermediate_or_root_is_refused() {
    let mut world = World::new();
    let mut params = ca_params("issuing");
    valid(&mut params, -DAY, -1);
    world.issuing = Ca::signed_by(params, KeyPair::generate().unwrap(), &world.root).unwrap();
    assert_eq!(
        world.accept(&world.answer()).unwrap_err().label(),
        "expired"
    );

    let mut world = World::new();
    let mut params = ca_params("root");
    valid(&mut params, -DAY, -1);
    world.root = Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let refusal = world.accept(&world.answer()).unwrap_err();
    assert_eq!(refusal, Refusal::NoAnchors { expired: 1 });
}

#[test]
fn a_shorter_life_is_accepted_with_a_warning() {
    let world = World::new();
    for (until, warned) in [(3600, false), (3300, false), (3200, true), (60, true)] {
        let mut params = leaf_params(&NAMES);
        valid(&mut params, 0, until);
        let accepted = world.accept(&world.answer_of(&params)).unwrap();
        let labels: Vec<_> = accepted.warnings.iter().map(Warning::label).collect();
        assert_eq!(labels.contains(&"shorter-life"), warned, "{until}");
    }
}

#[test]
fn a_chain_that_ends_before_its_leaf_bounds_the_usable_life() {
    let mut world = World::new();
    let mut params = ca_params("issuing");
    valid(&mut params, -DAY, 600);
    world.issuing = Ca::signed_by(params, KeyPair::generate().unwrap(), &world.root).unwrap();
    let accepted = world.accept(&world.answer()).unwrap();
    assert_eq!(accepted.usable_until, at(600));
    let labels: Vec<_> = accepted.warnings.iter().map(Warning::label).collect();
    assert_eq!(labels, ["chain-ends-first", "shorter-life"]);
}

#[test]
fn an_answer_cannot_bring_its_own_root() {
    let world = World::new();
    let stranger = World::new();
    let leaf = leaf_params(&NAMES)
        .signed_by(&world.key, &stranger.issuing)
        .unwrap();
    let chains = [
        vec![],
        vec![stranger.issuing.der().clone()],
        vec![stranger.issuing.der().clone(), stranger.root.der().clone()],
        vec![world.issuing.der().clone(), world.root.der().clone()],
    ];
    for chain in chains {
        let answer = Answer {
            leaf: der(&leaf),
            chain,
        };
        // The names are the same, so it is the signature that tells them apart.
        let label = world.accept(&answer).unwrap_err().label();
        assert!(["unknown-ca", "chain"].contains(&label), "{label}");
    }
    let mut other = ca_params("another root");
    other
        .distinguished_name
        .push(DnType::OrganizationName, "elsewhere");
    let root = Ca::self_signed(other, KeyPair::generate().unwrap()).unwrap();
    let answer = Answer {
        leaf: der(&leaf_params(&NAMES).signed_by(&world.key, &root).unwrap()),
        chain: vec![root.der().clone()],
    };
    let refusal = world.accept(&answer).unwrap_err();
    assert_eq!(refusal.label(), "unknown-ca");
    assert!(refusal.to_string().contains("another root"), "{refusal}");
}

#[test]
fn without_an_anchor_nothing_is_accepted() {
    let world = World::new();
    let key = Fingerprint::of(&world.key.subject_public_key_info());
    let judge = |anchors: &[CertificateDer<'_>]| {
        accept(&world.request, &key, &world.answer(), anchors, at(0)).unwrap_err()
    };
    assert_eq!(judge(&[]), Refusal::NoAnchors { expired: 0 });
    let garbage = CertificateDer::from(vec![1, 2, 3]);
    assert_eq!(judge(&[garbage]), Refusal::NoAnchors { expired: 0 });
}

#[test]
fn the_chain_is_put_in_order_without_root_duplicates_and_strangers() {
    let world = World::new();
    let below = Ca::signed_by(
        ca_params("below"),
        KeyPair::generate().unwrap(),
        &world.issuing,
    )
    .unwrap();
    let leaf = leaf_params(&NAMES).signed_by(&world.key, &below).unwrap();
    let (low, high, root) = (below.der(), world.issuing.der(), world.root.der());
    let stranger = World::new();
    let stranger = stranger.root.der();
    let own = &der(&leaf);
    let chains: [&[&CertificateDer<'static>]; 6] = [
        &[low, high],
        &[high, low],
        &[low, high, root],
        &[root, high, low],
        &[low, low, high, high, root, root],
        &[own, stranger, high, low],
    ];
    for chain in chains {
        let answer = Answer {
            leaf: der(&leaf),
            chain: chain.iter().map(|der| (*der).clone()).collect(),
        };
        let accepted = world.accept(&answer).unwrap();
        assert_eq!(accepted.chain, [low.clone(), high.clone()]);
    }
}

#[test]
fn a_cross_certificate_of_the_root_is_kept_for_peers_that_hold_only_the_older_root() {
    let mut world = World::new();
    let older = Ca::self_signed(ca_params("older"), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cross = ca_params("root").signed_by(&key, &older).unwrap();
    world.root = Ca::self_signed(ca_params("root"), key).unwrap();
    let issuing = KeyPair::generate().unwrap();
    world.issuing = Ca::signed_by(ca_params("issuing"), issuing, &world.root).unwrap();
    let mut answer = world.answer();
    answer.chain.insert(0, der(&cross));
    answer.chain.push(world.root.der().clone());
    let accepted = world.accept(&answer).unwrap();
    assert_eq!(
        accepted.chain,
        [world.issuing.der().clone(), der(&cross)],
        "and a peer with the older root alone verifies what is sent"
    );
    let key = Fingerprint::of(&world.key.subject_public_key_info());
    let sent = Answer {
        leaf: accepted.leaf,
        chain: accepted.chain,
    };
    accept(&world.request, &key, &sent, &[older.der().clone()], at(0)).unwrap();
}

#[test]
fn name_constraints_of_the_ca_are_enforced() {
    let mut world = World::new();
    let mut params = ca_params("issuing");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".into())],
        excluded_subtrees: vec![],
    });
    world.issuing = Ca::signed_by(params, KeyPair::generate().unwrap(), &world.root).unwrap();
    let refusal = world.accept(&world.answer()).unwrap_err();
    assert!(
        refusal.to_string().contains("name constraints"),
        "{refusal}"
    );
}

#[test]
fn an_unknown_critical_extension_is_refused() {
    let world = World::new();
    let mut params = leaf_params(&NAMES);
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions.push(unknown);
    assert_eq!(world.refusal_of(&params).label(), "malformed");
}

#[test]
fn every_truncation_of_an_answer_is_refused() {
    let world = World::new();
    let answer = world.answer();
    for length in 0..answer.leaf.len() {
        let mut cut = answer.clone();
        cut.leaf = CertificateDer::from(answer.leaf[..length].to_vec());
        let label = world.accept(&cut).unwrap_err().label();
        assert_eq!(label, "malformed", "{length}");
    }
    for length in 0..answer.chain[0].len() {
        let mut cut = answer.clone();
        cut.chain[0] = CertificateDer::from(answer.chain[0][..length].to_vec());
        let label = world.accept(&cut).unwrap_err().label();
        assert_eq!(label, "malformed", "{length}");
    }
    for trailing in [&answer.leaf, &answer.chain[0]] {
        let longer = CertificateDer::from([trailing, &[0][..]].concat());
        let mut long = answer.clone();
        match trailing == &answer.leaf {
            true => long.leaf = longer,
            false => long.chain[0] = longer,
        }
        assert_eq!(world.accept(&long).unwrap_err().label(), "malformed");
    }
}

#[test]
fn every_flipped_byte_of_a_leaf_is_refused() {
    let world = World::new();
    let answer = world.answer();
    for index in 0..answer.leaf.len() {
        let mut bytes = answer.leaf.to_vec();
        bytes[index] ^= 0x01;
        let flipped = Answer {
            leaf: CertificateDer::from(bytes),
            chain: answer.chain.clone(),
        };
        assert!(world.accept(&flipped).is_err(), "{index}");
    }
}

#[test]
fn answers_larger_than_a_peer_would_take_are_refused() {
    let world = World::new();
    let mut answer = world.answer();
    answer.chain = vec![world.issuing.der().clone(); MAX_CHAIN + 1];
    assert_eq!(
        world.accept(&answer).unwrap_err(),
        Refusal::LongChain { found: 11 }
    );
    let mut params = leaf_params(&NAMES);
    let big = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; MAX_BYTES]);
    params.custom_extensions.push(big);
    assert_eq!(world.refusal_of(&params).label(), "too-large");
}

#[test]
fn a_clock_a_year_off_either_way_is_told_apart() {
    let world = World::new();
    let answer = world.answer();
    for (now, label) in [
        (at(-365 * DAY), "not-yet-valid"),
        (at(365 * DAY), "expired"),
    ] {
        let refusal = world.accept_at(&answer, now).unwrap_err();
        assert_eq!(refusal.label(), label);
        assert!(refusal.to_string().contains("clocks"), "{refusal}");
    }
}
