//! `expiry`: judged from what is on disk alone.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};

use super::Host;
use crate::ctl::expiry::expiry;
use crate::ctl::{Code, Output};

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

impl Host {
    /// Publishes a certificate that began and ends so far from `now`.
    fn published(&self, name: &str, now: Timestamp, begin: SignedDuration, end: SignedDuration) {
        let mut parameters = CertificateParams::new(vec![format!("{name}.example.org")]).unwrap();
        let at = |distance| std::time::SystemTime::from(now + distance).into();
        parameters.not_before = at(begin);
        parameters.not_after = at(end);
        let key = KeyPair::generate().unwrap();
        let leaf = parameters.self_signed(&key).unwrap();
        self.current(name, &leaf.pem());
    }

    fn current(&self, name: &str, pem: &str) {
        let current = self.path(&format!("state/certs/{name}/current"));
        fs::create_dir_all(&current).unwrap();
        fs::write(current.join("cert.pem"), pem).unwrap();
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
    host.current("torn", "-----BEGIN CERTIFICATE-----\n");
    // A file that cannot be understood still has a certificate.
    host.write("etc/certs.d/broken.toml", "names = [");
    let (well, text) = host.expiry(now + hours(2));
    assert!(!well);
    for part in [
        "first is configured, and nothing is published",
        "broken is configured, and nothing is published",
        "torn cannot be judged",
        "cert.pem is no certificate",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("forgotten") && !text.contains("sound"),
        "{text}"
    );
}
