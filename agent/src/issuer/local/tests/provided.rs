//! A CA that the operator provides: what it issues, and every way in which it cannot.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyUsagePurpose};

use super::*;
use crate::secret::{Secret, Secrets};

/// A CA as a corporate one would be made: by somebody else.
struct Made {
    params: CertificateParams,
    key: PrivateKey,
    der: CertificateDer<'static>,
}

impl Made {
    fn new(name: &str, by: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = by.is_some();
        valid(&mut params, -DAY, 30 * DAY);
        change(&mut params);
        let certificate = match by {
            Some(by) => {
                let issuer = rcgen::Issuer::from_params(&by.params, by.key.pair());
                params.signed_by(key.pair(), &issuer)
            }
            None => params.self_signed(key.pair()),
        };
        Self {
            der: certificate.unwrap().der().clone(),
            params,
            key,
        }
    }

    fn pem(&self) -> String {
        pem::certificate(&self.der)
    }
}

/// Seconds from the tests' start.
fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |after: i64| {
        let seconds = u64::try_from(START + after).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from), at(until));
}

fn world(text: &str) -> World {
    let mut world = World::new();
    world.settings.issuing_ca = Some("credential:ca.pem".parse().unwrap());
    world.settings.secrets = Secrets {
        credentials: Some(world.temporary.path().to_owned()),
    };
    fs::write(world.temporary.path().join("ca.pem"), text).unwrap();
    world.restart();
    world
}

fn bundle(key: &PrivateKey, certificates: &[&Made]) -> String {
    let chain: String = certificates.iter().map(|made| made.pem()).collect();
    format!("{}{chain}", key.pem().as_str())
}

#[test]
fn leaves_chain_to_the_root_that_the_operator_provides_and_no_other_is_made() {
    let root = Made::new("Corp Root", None, |_| ());
    let policy = Made::new("Corp Policy", Some(&root), |_| ());
    let issuing = Made::new("Corp Issuing", Some(&policy), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let world = world(&bundle(&issuing.key, &[&issuing, &policy, &root]));
    let issued = world.issue(&api()).unwrap();
    assert_eq!(issued.chain, [issuing.der.clone(), policy.der.clone()]);
    assert_eq!(world.anchors(), std::slice::from_ref(&root.der));
    assert_eq!(ends(&issued), 3600);
    let files: Vec<String> = world.snapshot().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, [LOG]);
    let pem = LocalIssuer::root_pem(&world.directory(), &world.settings).unwrap();
    assert_eq!(pem, root.pem());
}

#[test]
fn a_root_may_issue_by_itself() {
    let root = Made::new("Small Root", None, |_| ());
    let world = world(&bundle(&root.key, &[&root]));
    let (request, key) = (api(), PrivateKey::generate(KeyType::default()).unwrap());
    let answer = world.answer(&request, &key).unwrap();
    assert_eq!(answer.chain, []);
    let (anchors, now) = (world.anchors(), world.clock());
    accept(&request, &key.fingerprint(), &answer, &anchors, now).unwrap();
}

#[test]
fn no_leaf_outlives_any_certificate_above_it() {
    let root = Made::new("Root", None, |params| valid(params, -DAY, 1800));
    let issuing = Made::new("Issuing", Some(&root), |_| ());
    let world = world(&bundle(&issuing.key, &[&issuing, &root]));
    assert_eq!(ends(&world.issue(&api()).unwrap()), 1800);
    for (clock, why) in [
        (1790, "ends"),
        (2 * DAY, "ended"),
        (-2 * DAY, "has not begun"),
    ] {
        world.set_clock(clock);
        let key = PrivateKey::generate(KeyType::default()).unwrap();
        let error = world.answer(&api(), &key).unwrap_err();
        assert!(
            matches!(error, LocalError::ProvidedEnds { .. }),
            "{why}: {error}"
        );
        assert_eq!(error.retry(), Retry::BackOff);
    }
}

#[test]
fn a_ca_that_was_replaced_is_taken_up_by_the_next_issuance() {
    let root = Made::new("Root", None, |_| ());
    let first = Made::new("First", Some(&root), |_| ());
    let second = Made::new("Second", Some(&root), |_| ());
    let world = world(&bundle(&first.key, &[&first, &root]));
    assert_eq!(world.issue(&api()).unwrap().chain, [first.der]);
    let path = world.temporary.path().join("ca.pem");
    fs::write(path, bundle(&second.key, &[&second, &root])).unwrap();
    assert_eq!(world.issue(&api()).unwrap().chain, [second.der]);
}

#[test]
fn what_is_no_issuing_ca_is_refused_with_the_reason_and_no_secret() {
    let root = Made::new("Root", None, |_| ());
    let other = Made::new("Other", None, |_| ());
    let issuing = Made::new("Issuing", Some(&root), |_| ());
    let leaf = Made::new("Leaf", Some(&root), |params| params.is_ca = IsCa::NoCa);
    let signs_lists = Made::new("Lists", Some(&root), |params| {
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
    });
    let narrow = Made::new("Narrow", None, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let below_narrow = Made::new("Below", Some(&narrow), |_| ());
    let domain = Made::new("Issuing", Some(&root), |params| {
        let component = || DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 25]);
        params.distinguished_name.push(component(), "corp");
    });
    let own = |made: &Made, above: &[&Made]| bundle(&made.key, &[&[made], above].concat());
    let cases = [
        (String::new(), "it holds no certificate"),
        (issuing.pem() + &root.pem(), "no such PEM section"),
        (
            "-----BEGIN CERTIFICATE-----\nsecret".to_owned(),
            "it is not PEM",
        ),
        (
            bundle(&other.key, &[&issuing, &root]),
            "its key is not its certificate's",
        ),
        (
            bundle(&issuing.key, &[&root, &issuing]),
            "its key is not its certificate's",
        ),
        (own(&issuing, &[]), "append the self-signed one"),
        (
            own(&issuing, &[&other]),
            "certificate 1 of 2 was not signed by the next one",
        ),
        (own(&leaf, &[&root]), "its certificate is not a CA's"),
        (
            own(&signs_lists, &[&root]),
            "certificate 1 of 2 may not sign certificates",
        ),
        (
            own(&below_narrow, &[&narrow]),
            "certificate 2 of 2 permits 0 CAs below it, and there are 1",
        ),
    ];
    for (text, why) in cases {
        let world = world(&text);
        let error = world.issue(&api()).unwrap_err();
        let told = crate::issuer::IssueError::from(error).operator_text();
        assert!(told.contains(why), "{why}: {told}");
        assert!(
            told.contains("issuing_ca = \"credential:ca.pem\""),
            "{told}"
        );
        assert!(!told.contains("secret"), "{told}");
    }
    // One of a kind is fine.
    let world = world(&own(&domain, &[&root]));
    world.issue(&api()).unwrap();
}

/// As Active Directory names its CAs; rcgen holds one of each kind.
#[test]
fn a_name_that_could_not_be_repeated_in_the_leaf_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .current_dir(directory.path())
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "30000", "-subj", "/DC=corp/DC=example/CN=Issuing"])
        .args(["-keyout", "key.pem", "-out", "ca.pem"])
        .output()
        .expect("openssl is needed for the tests");
    assert!(made.status.success());
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let world = world(&(read("key.pem") + &read("ca.pem")));
    let told = world.issue(&api()).unwrap_err().to_string();
    assert!(told.contains("DC=corp"), "{told}");
}

#[test]
fn a_missing_credential_is_the_operators_to_mend() {
    let mut world = World::new();
    world.settings.issuing_ca = Some(Secret::Credential("ca.pem".parse().unwrap()));
    world.restart();
    let error = world.issue(&api()).unwrap_err();
    assert_eq!(
        (error.label(), error.retry()),
        ("ca-secret", Retry::Operator)
    );
    assert!(error.remedy().contains("LoadCredentialEncrypted=ca.pem:"));
}
