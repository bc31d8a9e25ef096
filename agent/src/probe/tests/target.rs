//! The text form of probe targets.

use crate::probe::ProbeTarget;

#[test]
fn what_is_printed_reads_back_as_the_same_target() {
    for (text, printed) in [
        ("tls://127.0.0.1:443", "tls://127.0.0.1:443"),
        ("tls://[::1]:8443", "tls://[::1]:8443"),
        (
            "tls://Api.Example:1?name=B.example",
            "tls://api.example:1?name=b.example",
        ),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
        ("unix:///run/x.sock", "unix:/run/x.sock"),
        ("tls+unix:/run/x.sock", "unix:/run/x.sock"),
        ("postgres://localhost", "postgres://localhost:5432"),
        ("postgres+unix:/run/pg", "postgres+unix:/run/pg"),
        ("mysql://[::1]", "mysql://[::1]:3306"),
        ("smtp://mx:587", "smtp://mx:587"),
        ("imap://mx", "imap://mx:143"),
        ("ldap://mx?name=10.0.0.1", "ldap://mx:389?name=10.0.0.1"),
    ] {
        let target: ProbeTarget = text.parse().unwrap();
        assert_eq!(target.to_string(), printed);
        assert_eq!(printed.parse(), Ok(target));
    }
}

#[test]
fn a_wrong_target_is_refused_with_what_was_expected() {
    for (text, expected) in [
        ("", "expected tls://HOST:PORT"),
        ("127.0.0.1:443", "expected tls://HOST:PORT"),
        ("https://x:443", "expected tls://HOST:PORT"),
        ("tls:x:443", "expected tls://HOST:PORT"),
        ("unix+unix:/x", "expected tls://HOST:PORT"),
        ("tls://x", "expected a port"),
        ("tls://x:0", "expected a port"),
        ("tls://x:65536", "expected a port"),
        ("tls://x:+1", "expected a port"),
        ("tls://x:", "expected a port"),
        ("tls://x:1/path", "expected a port"),
        ("tls://[::1]443", "expected a port"),
        ("tls://:443", "expected a DNS name"),
        ("tls://::1:443", "expected a DNS name"),
        ("tls://[::1:443", "expected a DNS name"),
        ("tls://10.0.0.256:443", "expected a DNS name"),
        ("tls://*.x:443", "expected a DNS name"),
        ("unix:run/x.sock", "expected an absolute path"),
        ("unix://run/x.sock", "expected an absolute path"),
        ("unix:", "expected an absolute path"),
        ("unix:/run/", "expected an absolute path"),
        ("tls://x:1?nam=y", "only name=NAME"),
        ("tls://x:1?name=", "only name=NAME"),
        ("tls://x:1?name=*.y", "only name=NAME"),
        ("tls://x:1?name=a&name=b", "only name=NAME"),
    ] {
        let error = text.parse::<ProbeTarget>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(error.contains(&format!("{text:?}")), "{text:?}: {error}");
    }
}
