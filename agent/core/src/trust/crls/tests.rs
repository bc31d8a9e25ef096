use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

use super::*;

const HOUR: i64 = 3600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A CA, and what signs in its name.
struct Ca {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str, usages: &[KeyUsagePurpose]) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = usages.to_vec();
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        // What signs is not asked whether it may.
        params.key_usages.clear();
        let issuer = Issuer::new(params, key);
        Self { der, issuer }
    }

    fn below(above: &Self, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &above.issuer).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self { der, issuer }
    }

    fn named(name: &str) -> Self {
        Self::new(
            name,
            &[KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        )
    }

    fn params(
        number: u64,
        from: i64,
        life: i64,
        revoked: &[u64],
    ) -> CertificateRevocationListParams {
        let time = |seconds: i64| std::time::SystemTime::from(at(seconds)).into();
        CertificateRevocationListParams {
            this_update: time(from),
            next_update: time(from + life),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: time(from),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
    }

    /// A list that begins at `from` and lasts an hour.
    fn list(&self, from: i64, revoked: &[u64]) -> CertificateRevocationListDer<'static> {
        self.numbered(u64::try_from(from + 10_000_000).unwrap(), from, revoked)
    }

    fn numbered(
        &self,
        number: u64,
        from: i64,
        revoked: &[u64],
    ) -> CertificateRevocationListDer<'static> {
        let params = Self::params(number, from, HOUR, revoked);
        params.signed_by(&self.issuer).unwrap().der().clone()
    }

    fn scoped(&self, from: i64, scope: CrlScope) -> CertificateRevocationListDer<'static> {
        let mut params = Self::params(1, from, HOUR, &[]);
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec!["http://ca.test/crl".to_owned()],
            },
            scope: Some(scope),
        });
        params.signed_by(&self.issuer).unwrap().der().clone()
    }
}

fn bundle(cas: &[&Ca]) -> Bundle {
    let anchors: Vec<_> = cas.iter().map(|ca| ca.der.clone()).collect();
    let merged = Bundle::default().merge(&anchors, &BTreeSet::new(), Duration::ZERO, at(0));
    merged.unwrap().bundle
}

/// All issuers have said, and brought these.
fn brought(lists: &[&CertificateRevocationListDer<'static>]) -> OfferedCrls {
    OfferedCrls {
        lists: lists.iter().map(|list| (*list).clone().into()).collect(),
        authorities: Vec::new(),
        wanted: true,
        complete: true,
    }
}

/// An issuer was to bring some, and could not.
fn failed() -> OfferedCrls {
    OfferedCrls {
        complete: false,
        ..brought(&[])
    }
}

fn held(bundle: &Bundle) -> Vec<&CertificateRevocationListDer<'static>> {
    bundle.crls().iter().map(Crl::der).collect()
}

#[test]
fn a_list_of_a_trusted_ca_is_published_with_the_roots_and_read_back() {
    let (root, below) = (Ca::named("root"), Ca::named("below"));
    let mut bundle = bundle(&[&root]);
    let before = bundle.part();
    let lists = [root.list(0, &[1, 2]), below.list(0, &[])];
    let chain = [below.der.clone()];
    assert_eq!(
        bundle.take_crls(&brought(&[&lists[0], &lists[1]]), &chain, at(1)),
        []
    );
    assert_eq!(bundle.crls().len(), 2);
    assert_ne!(bundle.part().digest, before.digest);
    assert_eq!(bundle.part().anchors, before.anchors);

    let text = bundle.pem();
    let kept = Bundle::kept(
        pem::parse_certificates(&text).unwrap(),
        &BTreeMap::default(),
    )
    .with_kept_crls(pem::parse_crls(&text).unwrap());
    assert_eq!(kept, bundle);

    let both = PublishedTrust::of(&text);
    assert_eq!(
        pem::parse_certificates(&both.ca_pem).unwrap(),
        std::slice::from_ref(&root.der)
    );
    let crl = both.crl_pem.unwrap();
    assert_eq!(pem::parse_crls(&crl).unwrap().len(), 2);
    assert_eq!(both.ca_pem + &crl, text);
    // What has no list is published as it is kept.
    let plain = Bundle::kept(
        pem::parse_certificates(&text).unwrap(),
        &BTreeMap::default(),
    );
    let none = PublishedTrust::of(&plain.pem());
    assert_eq!((none.ca_pem, none.crl_pem), (plain.pem(), None));
}

#[test]
fn a_list_of_a_ca_below_an_anchor_counts_however_deep_it_is_and_none_of_a_ca_beside() {
    let root = Ca::named("root");
    let one = Ca::below(&root, "one");
    let two = Ca::below(&one, "two");
    let beside = Ca::below(&Ca::named("root"), "beside");
    let lists = [one.list(0, &[]), two.list(0, &[]), beside.list(0, &[])];
    let mut bundle = bundle(&[&root]);
    let mut offered = brought(&lists.iter().collect::<Vec<_>>());
    assert_eq!(bundle.clone().take_crls(&offered, &[], at(1)).len(), 3);
    // In whatever order they are told.
    offered.authorities = [&two, &beside, &one].map(|ca| ca.der.clone()).to_vec();
    let refused = bundle.take_crls(&offered, &[], at(1));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].to_string().contains("CN=beside"));
    assert_eq!(bundle.crls().len(), 2);
    // They stay when the issuer tells only of another one: peers have certificates of the first still.
    let three = Ca::below(&root, "three");
    let newer = OfferedCrls {
        authorities: vec![three.der.clone()],
        ..brought(&[&three.list(2, &[])])
    };
    assert_eq!(bundle.take_crls(&newer, &[], at(2)), []);
    assert_eq!(bundle.crls().len(), 3);
    // Until they have ended.
    let newest = OfferedCrls {
        authorities: vec![three.der.clone()],
        ..brought(&[&three.list(HOUR, &[])])
    };
    bundle.take_crls(&newest, &[], at(HOUR));
    assert_eq!(bundle.crls().len(), 1);
}

#[test]
fn what_is_not_a_list_of_today_of_such_a_ca_is_refused_and_what_was_held_stays() {
    let root = Ca::named("root");
    let mute = Ca::new("mute", &[KeyUsagePurpose::KeyCertSign]);
    let mut forged = root.list(0, &[]).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let good = root.list(0, &[7]);
    // The number of a list becomes that of the list that it is the difference to (RFC 5280, section 5.2.4).
    let mut delta = good.to_vec();
    let number = delta.windows(3).position(|bytes| bytes == b"\x55\x1d\x14");
    delta[number.unwrap() + 2] = 0x1b;
    let cases: &[(&str, CertificateRevocationListDer<'static>, &str)] = &[
        ("nothing", vec![].into(), "is none"),
        ("no list", root.der.to_vec().into(), "is none"),
        ("cut", good[..good.len() - 1].to_vec().into(), "is none"),
        ("a delta", delta.into(), "not all verifiers know"),
        ("longer", [&good[..], b"\0"].concat().into(), "bytes follow"),
        ("huge", vec![0x30; MAX_BYTES_AND_ONE].into(), "too many"),
        (
            "another CA",
            Ca::named("other").list(0, &[]),
            "CN=other is of no CA that is trusted",
        ),
        (
            "the name alone",
            Ca::named("root").list(0, &[]),
            "or is not signed by it",
        ),
        ("another signature", forged.into(), "or is not signed by it"),
        ("no right to it", mute.list(0, &[]), "key usage"),
        (
            "tomorrow's",
            root.list(HOUR, &[]),
            "begins only at 2027-01-15T09:00:00Z",
        ),
        (
            "yesterday's",
            root.list(-HOUR, &[]),
            "was brought has ended at 2027-01-15T08:00:00Z",
        ),
    ];
    for (what, list, why) in cases {
        let mut bundle = bundle(&[&root, &mute]);
        assert_eq!(bundle.take_crls(&brought(&[&good]), &[], at(1)), []);
        let refused = bundle.take_crls(&brought(&[list]), &[], at(1));
        let [refused] = &refused[..] else {
            panic!("{what}: {refused:?}");
        };
        assert!(refused.to_string().contains(why), "{what}: {refused}");
        assert_eq!(held(&bundle), [&good], "{what}");
    }
}

const MAX_BYTES_AND_ONE: usize = crate::crl::MAX_CRL_BYTES + 1;

#[test]
fn a_name_in_a_list_cannot_write_into_a_log() {
    let long = Ca::named(&format!("a\n\u{1b}[2J{}", "b".repeat(5000)));
    let refused =
        bundle(&[&Ca::named("root")]).take_crls(&brought(&[&long.list(0, &[])]), &[], at(1));
    let text = refused[0].to_string();
    assert!(
        text.len() < 500 && !text.chars().any(char::is_control),
        "{text}"
    );
}

#[test]
fn a_list_that_begins_in_a_moment_is_no_trouble_and_not_published_yet() {
    let root = Ca::named("root");
    let mut bundle = bundle(&[&root]);
    let old = root.list(-HOUR + 1, &[]);
    assert_eq!(bundle.take_crls(&brought(&[&old]), &[], at(0)), []);
    let new = root.list(60, &[1]);
    // Nor does the old one go for it.
    assert_eq!(bundle.take_crls(&brought(&[&new]), &[], at(2)), []);
    assert_eq!(held(&bundle), [&old]);
    assert_eq!(bundle.take_crls(&brought(&[&new]), &[], at(60)), []);
    assert_eq!(held(&bundle), [&new]);
}

#[test]
fn a_newer_list_is_taken_at_once_when_it_names_others_and_else_when_the_held_one_is_half_over() {
    let root = Ca::named("root");
    let mut bundle = bundle(&[&root]);
    let (first, same, other) = (
        root.list(0, &[1]),
        root.list(10, &[1]),
        root.list(20, &[1, 2]),
    );
    bundle.take_crls(&brought(&[&first]), &[], at(0));
    bundle.take_crls(&brought(&[&same]), &[], at(HOUR / 2));
    assert_eq!(held(&bundle), [&first]);
    bundle.take_crls(&brought(&[&same]), &[], at(HOUR / 2 + 1));
    assert_eq!(held(&bundle), [&same]);
    bundle.take_crls(&brought(&[&other]), &[], at(HOUR / 2 + 2));
    assert_eq!(held(&bundle), [&other]);
    // A server that has not heard of it yet, or somebody who wants a revocation to be forgotten.
    for older in [&first, &same] {
        assert_eq!(
            bundle.take_crls(&brought(&[older]), &[], at(HOUR / 2 + 3)),
            []
        );
        assert_eq!(held(&bundle), [&other]);
    }
    // Nor one that says to be of the same second.
    let before = root.numbered(1, 20, &[1]);
    bundle.take_crls(&brought(&[&before]), &[], at(HOUR / 2 + 3));
    assert_eq!(held(&bundle), [&other]);
    // Whatever order they come in.
    bundle.take_crls(&brought(&[&other, &first]), &[], at(HOUR / 2 + 4));
    assert_eq!(held(&bundle), [&other]);
}

#[test]
fn a_list_stays_past_its_end_until_its_ca_brings_others_or_nobody_wants_any() {
    let (root, below) = (Ca::named("root"), Ca::named("below"));
    let chain = [below.der.clone()];
    let (of_root, of_below) = (root.list(0, &[]), below.list(0, &[1]));
    let mut both = bundle(&[&root]);
    both.take_crls(&brought(&[&of_root, &of_below]), &chain, at(1));
    let with = |offered: &OfferedCrls, chain: &[CertificateDer<'_>], now: i64| {
        let mut bundle = both.clone();
        bundle.take_crls(offered, chain, at(now));
        bundle
            .crls()
            .iter()
            .map(|list| list.issuer().to_owned())
            .collect::<Vec<_>>()
    };
    let later = root.list(HOUR, &[]);
    // Letting in who was locked out is not renewd's to decide.
    assert_eq!(with(&failed(), &chain, 2 * HOUR).len(), 2);
    assert_eq!(
        with(&brought(&[&of_root, &of_below]), &chain, 2 * HOUR).len(),
        2
    );
    // No longer brought, and it holds still.
    assert_eq!(with(&brought(&[&of_root]), &chain, 2).len(), 2);
    // Its CA is needed still, and may have been left out by a slip.
    assert_eq!(with(&brought(&[&later]), &chain, HOUR + 1).len(), 2);
    // Nobody answers for the ended one any more.
    assert_eq!(with(&brought(&[&later]), &[], HOUR + 1), ["CN=root"]);
    assert_eq!(
        with(
            &OfferedCrls {
                complete: false,
                ..brought(&[&later])
            },
            &chain,
            HOUR + 1
        )
        .len(),
        2
    );
    // Another CA stands above the leaf now; others may have certificates of the first.
    assert_eq!(with(&failed(), &[], 2).len(), 2);
    // The configuration wants none; who has said nothing yet may want some.
    let unwanted = OfferedCrls {
        wanted: false,
        ..brought(&[])
    };
    assert_eq!(with(&unwanted, &chain, 2), [""; 0]);
    assert_eq!(
        with(
            &OfferedCrls {
                complete: false,
                ..unwanted
            },
            &chain,
            2
        )
        .len(),
        2
    );
}

#[test]
fn lists_about_different_certificates_of_a_ca_stand_side_by_side() {
    let root = Ca::named("root");
    let mut bundle = bundle(&[&root]);
    let users = root.scoped(0, CrlScope::UserCertsOnly);
    let cas = root.scoped(0, CrlScope::CaCertsOnly);
    assert_eq!(bundle.take_crls(&brought(&[&users, &cas]), &[], at(1)), []);
    assert_eq!(bundle.crls().len(), 2);
    let users = root.scoped(HOUR - 1, CrlScope::UserCertsOnly);
    bundle.take_crls(&brought(&[&users]), &[], at(HOUR - 1));
    assert_eq!(bundle.crls().len(), 2);
    assert!(held(&bundle).contains(&&users));
}

#[test]
fn more_lists_than_can_be_meant_are_not_taken() {
    let cas: Vec<_> = (0..=MAX_CRLS)
        .map(|number| Ca::named(&format!("ca {number}")))
        .collect();
    let lists: Vec<_> = cas.iter().map(|ca| ca.list(0, &[])).collect();
    let mut bundle = bundle(&cas.iter().collect::<Vec<_>>());
    let refused = bundle.take_crls(&brought(&lists.iter().collect::<Vec<_>>()), &[], at(1));
    assert_eq!(refused, [CrlError::TooMany]);
    assert_eq!(bundle.crls().len(), MAX_CRLS);
}

#[test]
fn lists_that_are_large_together_are_not_taken_and_those_that_were_stay() {
    let cas = ["one", "two", "three"].map(Ca::named);
    let large: Vec<u64> = (0..40_000).collect();
    let lists = [0, 1, 2].map(|number: usize| cas[number].list(0, &large));
    assert!(
        lists
            .iter()
            .all(|list| list.len() < crate::crl::MAX_CRL_BYTES)
    );
    let mut bundle = bundle(&[&cas[0], &cas[1], &cas[2]]);
    let refused = bundle.take_crls(&brought(&[&lists[0], &lists[1], &lists[2]]), &[], at(1));
    assert_eq!(refused, [CrlError::TooMany]);
    assert_eq!(bundle.crls().len(), 2);
    let text = bundle.pem();
    assert!(
        text.len() < 4 * 1024 * 1024,
        "more than the store reads back"
    );
}

#[test]
fn the_same_certificates_in_another_order_are_no_news() {
    let root = Ca::named("root");
    let mut bundle = bundle(&[&root]);
    let first = root.list(0, &[1, 2]);
    bundle.take_crls(&brought(&[&first]), &[], at(0));
    bundle.take_crls(&brought(&[&root.list(10, &[2, 1])]), &[], at(11));
    assert_eq!(held(&bundle), [&first]);
}

#[test]
fn of_whatever_many_cas_an_issuer_tells_only_as_many_count_as_can_be_meant() {
    let root = Ca::named("root");
    let mut cas = vec![Ca::below(&root, "0")];
    for number in 1..200 {
        cas.push(Ca::below(&cas[number - 1], &number.to_string()));
    }
    let (first, last) = (cas[0].list(0, &[]), cas[199].list(0, &[]));
    let mut bundle = bundle(&[&root]);
    let offered = OfferedCrls {
        // From the root downwards, so that the first ones count.
        authorities: cas.iter().map(|ca| ca.der.clone()).collect(),
        ..brought(&[&first, &last])
    };
    let refused = bundle.take_crls(&offered, &[], at(1));
    assert_eq!((refused.len(), held(&bundle)), (1, vec![&first]));
}
