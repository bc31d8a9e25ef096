use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

const KEEP: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn ca(name: &str) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

fn leaf() -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

fn merge(
    bundle: &Bundle,
    offered: &[&CertificateDer<'static>],
    needed: &[&CertificateDer<'static>],
    now: Timestamp,
) -> Merged {
    let offered: Vec<_> = offered.iter().map(|der| (*der).clone()).collect();
    let needed = needed.iter().map(|der| Fingerprint::of(der)).collect();
    bundle.merge(&offered, &needed, KEEP, now).unwrap()
}

#[test]
fn an_offered_anchor_is_trusted_at_once_and_a_dropped_one_until_keep_has_passed() {
    let (old, new) = (ca("old"), ca("new"));
    let first = merge(&Bundle::default(), &[&old], &[], at(0)).bundle;
    let both = merge(&first, &[&old, &new], &[], at(10));
    assert_eq!(both.added, [Fingerprint::of(&new)]);
    assert_eq!(both.bundle.anchors().len(), 2);

    let dropped = merge(&both.bundle, &[&new], &[], at(20));
    assert_eq!(dropped.dropped, [Fingerprint::of(&old)]);
    assert_eq!(dropped.bundle.part().digest, both.bundle.part().digest);

    let kept = merge(&dropped.bundle, &[&new], &[], at(20 + 3599));
    assert_eq!((&kept.dropped, &kept.removed), (&vec![], &vec![]));
    let gone = merge(&kept.bundle, &[&new], &[], at(20 + 3600));
    assert_eq!(gone.removed, [Fingerprint::of(&old)]);
    assert_eq!(gone.bundle.anchors()[0].der, new);
    assert_eq!(gone.bundle.anchors().len(), 1);
    assert_ne!(gone.bundle.part().digest, kept.bundle.part().digest);
}

#[test]
fn an_anchor_that_an_own_leaf_needs_stays_however_long_ago_it_was_dropped() {
    let (old, new) = (ca("old"), ca("new"));
    let bundle = merge(&Bundle::default(), &[&old, &new], &[], at(0)).bundle;
    let bundle = merge(&bundle, &[&new], &[&old], at(1)).bundle;
    let bundle = merge(&bundle, &[&new], &[&old], at(1_000_000)).bundle;
    assert_eq!(bundle.anchors().len(), 2);
    let bundle = merge(&bundle, &[&new], &[], at(1_000_001)).bundle;
    assert_eq!(bundle.anchors().len(), 1);
}

#[test]
fn an_anchor_that_is_offered_again_was_never_dropped() {
    let (old, new) = (ca("old"), ca("new"));
    let bundle = merge(&Bundle::default(), &[&old, &new], &[], at(0)).bundle;
    let bundle = merge(&bundle, &[&new], &[], at(1)).bundle;
    let bundle = merge(&bundle, &[&new, &old], &[], at(2)).bundle;
    assert!(bundle.anchors().iter().all(|a| a.dropped_at.is_none()));
    // Its time starts anew.
    let bundle = merge(&bundle, &[&new], &[], at(3)).bundle;
    assert_eq!(merge(&bundle, &[&new], &[], at(3602)).removed, []);
}

#[test]
fn a_clock_set_back_removes_nothing() {
    let (old, new) = (ca("old"), ca("new"));
    let bundle = merge(&Bundle::default(), &[&old, &new], &[], at(0)).bundle;
    let bundle = merge(&bundle, &[&new], &[], at(100_000)).bundle;
    let bundle = merge(&bundle, &[&new], &[], at(-100_000)).bundle;
    assert_eq!(bundle.anchors().len(), 2);
}

#[test]
fn the_bundle_does_not_depend_on_the_order_or_repetition_of_offers() {
    let authorities: Vec<_> = ["a", "b", "c"].map(ca).into();
    let [a, b, c] = authorities.as_slice() else {
        unreachable!()
    };
    let one = merge(&Bundle::default(), &[a, b, c], &[], at(0)).bundle;
    let other = merge(&Bundle::default(), &[c, a, c, b, a], &[], at(0)).bundle;
    assert_eq!(one, other);
    assert_eq!(one.pem(), other.pem());
    assert_eq!(one.part().digest, other.part().digest);
    assert_eq!(one.pem().matches("BEGIN CERTIFICATE").count(), 3);
}

#[test]
fn an_offer_without_any_ca_changes_nothing_and_says_what_is_wrong_and_what_is_none_is_left_out() {
    let good = ca("good");
    let merge = |offered: &[CertificateDer<'static>]| {
        Bundle::default().merge(offered, &BTreeSet::new(), KEEP, at(0))
    };
    assert_eq!(merge(&[]).unwrap_err(), TrustError::Empty);
    let garbage = CertificateDer::from(vec![0x30, 3, 1, 2]);
    let truncated = CertificateDer::from(good[..good.len() - 1].to_vec());
    let trailing = CertificateDer::from([&good[..], &[0]].concat());
    for bad in [garbage, truncated, trailing, leaf()] {
        let error = merge(std::slice::from_ref(&bad)).unwrap_err();
        assert!(
            matches!(error, TrustError::NotACa { position: 1, .. }),
            "{error}"
        );
        let merged = merge(&[bad, good.clone()]).unwrap();
        assert_eq!(merged.added, [Fingerprint::of(&good)]);
    }
    let many = vec![good; MAX_ANCHORS + 1];
    assert_eq!(merge(&many).unwrap_err().label(), "too-many-anchors");
}

#[test]
fn what_the_record_and_the_file_keep_is_the_whole_bundle() {
    let (old, new) = (ca("old"), ca("new"));
    let bundle = merge(&Bundle::default(), &[&old, &new], &[], at(0)).bundle;
    let bundle = merge(&bundle, &[&new], &[], at(7)).bundle;
    let part = bundle.part();
    assert_eq!(
        part.dropped,
        BTreeMap::from([(Fingerprint::of(&old), at(7))])
    );
    let certificates = pem::parse_certificates(&bundle.pem()).unwrap();
    assert_eq!(Bundle::kept(certificates, &part.dropped), bundle);
}
