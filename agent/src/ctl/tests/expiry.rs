//! `expiry`: judged from what is on disk alone.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};

use super::Host;
use crate::ctl::expiry::expiry;
use crate::ctl::{Code, Output};

fn between(
    mut parameters: CertificateParams,
    begin: Timestamp,
    end: Timestamp,
) -> CertificateParams {
    let at = |instant| std::time::SystemTime::from(instant).into();
    parameters.not_before = at(begin);
    parameters.not_after = at(end);
    parameters
}

fn leaf(name: &str, begin: Timestamp, end: Timestamp) -> CertificateParams {
    let parameters = CertificateParams::new(vec![format!("{name}.example.org")]).unwrap();
    between(parameters, begin, end)
}

fn ca(name: &str, begin: Timestamp, end: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    between(parameters, begin, end)
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

impl Host {
    /// Publishes a certificate that began and ends so far from `now`.
    fn published(&self, name: &str, now: Timestamp, begin: SignedDuration, end: SignedDuration) {
        let key = KeyPair::generate().unwrap();
        let leaf = leaf(name, now + begin, now + end)
            .self_signed(&key)
            .unwrap();
        self.current(name, &leaf.pem(), "");
    }

    fn current(&self, name: &str, full_chain: &str, anchors: &str) {
        let current = self.path(&format!("state/certs/{name}/current"));
        fs::create_dir_all(&current).unwrap();
        fs::write(current.join("fullchain.pem"), full_chain).unwrap();
        fs::write(current.join("ca.pem"), anchors).unwrap();
    }

    /// Whether all is well, and what was said.
    fn expiry(&self, now: Timestamp) -> (bool, String) {
        let mut text = Vec::new();
        let result = expiry(&self.places, now, &mut Output::to(&mut text));
        if let Err(failure) = &result {
            assert_eq!(failure.code, Code::Negative);
        }
        (result.is_ok(), String::from_utf8(text).unwrap())
    }
}

#[test]
fn a_certificate_is_told_of_from_its_last_sixth_on() {
    let host = Host::new();
    let now = Timestamp::now();
    assert_eq!(
        host.expiry(now),
        (true, "No certificate is configured.\n".into())
    );
    host.certificate("api", "nginx.service", "");
    host.published("api", now, hours(0), hours(24));
    let (well, text) = host.expiry(now + hours(19));
    assert!(well && text.starts_with("1 certificate:"), "{text}");
    let (well, text) = host.expiry(now + hours(21));
    assert!(!well && text.contains("api expires in 3 h"), "{text}");
    let (well, text) = host.expiry(now + hours(26));
    assert!(!well && text.contains("api expired 2 h"), "{text}");
    assert!(text.contains("systemctl status renewd"), "{text}");
}

#[test]
fn what_never_came_or_cannot_be_read_is_told_and_what_is_not_configured_is_nobodys_concern() {
    let host = Host::new();
    let now = Timestamp::now();
    host.published("forgotten", now, hours(-48), hours(-24));
    host.certificate("sound", "nginx.service", "");
    host.published("sound", now, hours(-1), hours(24));
    host.certificate("first", "nginx.service", "");
    // Its first generation may be on its way.
    let (well, text) = host.expiry(now);
    assert!(well && text.starts_with("2 certificates:"), "{text}");
    host.certificate("torn", "nginx.service", "");
    host.current("torn", "-----BEGIN CERTIFICATE-----\n", "");
    // A file that cannot be understood still has a certificate.
    host.write("etc/certs.d/broken.toml", "names = [");
    let (well, text) = host.expiry(now + hours(2));
    assert!(!well);
    for part in [
        "first is configured, and nothing is published",
        "broken is configured, and nothing is published",
        "torn cannot be judged",
        "fullchain.pem is no certificate",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("forgotten") && !text.contains("sound"),
        "{text}"
    );
}

#[test]
fn what_is_above_a_certificate_and_ends_before_it_is_told_of_by_its_name() {
    let host = Host::new();
    let now = Timestamp::now();
    host.certificate("api", "nginx.service", "");
    let key = || KeyPair::generate().unwrap();
    let root = |end| CertifiedIssuer::self_signed(ca("Root", now, end), key()).unwrap();
    let publish = |root: &CertifiedIssuer<'_, KeyPair>, issuing_ends, above: &str| {
        let issuing = ca("Issuing", now, issuing_ends);
        let issuing = CertifiedIssuer::signed_by(issuing, key(), root).unwrap();
        let leaf = leaf("api", now, now + hours(24)).signed_by(&key(), &issuing);
        let chain = leaf.unwrap().pem() + &issuing.pem() + above;
        host.current("api", &chain, &root.pem());
    };

    publish(&root(now + hours(1000)), now + hours(12), "");
    let (well, text) = host.expiry(now + hours(9));
    assert!(well, "{text}");
    let (well, text) = host.expiry(now + hours(11));
    assert!(!well, "the issuing CA has an hour left");
    let what = "api expires in 1 h with the CA certificate \"CN=Issuing\" above it";
    assert!(text.contains(what), "{text}");
    let (_, text) = host.expiry(now + hours(13));
    assert!(text.contains("api expired 1 h"), "{text}");

    publish(&root(now + hours(6)), now + hours(1000), "");
    let (_, text) = host.expiry(now + hours(7));
    assert!(
        text.contains("the CA certificate \"CN=Root\" above it"),
        "{text}"
    );

    // One that leads from the root to an older one is for others, and may end.
    let (own, older) = (key(), root(now + hours(1)));
    let (parameters, older_name) = (ca("Root", now, now + hours(1)), ca("Older", now, now));
    let older = Issuer::new(older_name, older.key());
    let cross = parameters.signed_by(&own, &older).unwrap();
    let own = CertifiedIssuer::self_signed(ca("Root", now, now + hours(1000)), own).unwrap();
    publish(&own, now + hours(1000), &cross.pem());
    let (well, text) = host.expiry(now + hours(2));
    assert!(well, "{text}");
}

#[test]
fn a_revocation_list_is_told_of_from_its_last_tenth_on() {
    let host = Host::new();
    let now = Timestamp::now();
    host.certificate("api", "nginx.service", "");
    host.published("api", now, hours(0), hours(1000));
    let mut params = ca("lister", now, now + hours(1000));
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    let lister = Issuer::new(params, KeyPair::generate().unwrap());
    let at = |instant| std::time::SystemTime::from(instant).into();
    let list = rcgen::CertificateRevocationListParams {
        this_update: at(now),
        next_update: at(now + hours(100)),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&lister).unwrap().pem().unwrap();
    host.write("state/certs/api/current/crl.pem", &list);
    let (well, text) = host.expiry(now + hours(89));
    assert!(well, "{text}");
    let (well, text) = host.expiry(now + hours(91));
    let ends = "api has a revocation list of CN=lister that ends in 9 h";
    assert!(!well && text.contains(ends), "{text}");
    let (well, text) = host.expiry(now + hours(102));
    let ended = "that ended 2 h";
    assert!(!well && text.contains(ended), "{text}");
    assert!(text.contains("refuse all its clients"), "{text}");
}
