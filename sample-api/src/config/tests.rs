//! Every key, every refusal.

use super::*;
use crate::tls::Choices;
use crate::trust::Rules;
use proptest::prelude::*;

const FULL: &str = "# a comment
listen = \"127.0.0.1:9443\"
certificate = \"/var/lib/renewd/certs/api\"
health = \"[::1]:9081\"
admin = \"/run/x/admin.sock\"
drain = \"1m 30s\"
crl = \"/etc/x/crl\"
unknown_revocation = \"accept\"
policy = \"/etc/x/policy.toml\"
common_name = true
tls12 = true
audit = false
max_age = \"1h\"
handshake = \"3s\"
next_request = \"20s\"
max_connections = 100
max_connections_per_identity = 10
max_streams = 50
max_head = 8192
max_body = 1024
redirect = \"127.0.0.1:9080\"
upstream = \"http://127.0.0.1:3000\"
stall = \"40s\"
";

fn refusal(text: &str) -> String {
    Config::parse(Path::new("c.toml"), text)
        .unwrap_err()
        .to_string()
}

#[test]
fn only_the_certificate_is_required() {
    let config = Config::parse(Path::new("c.toml"), "certificate = \"/c\"").unwrap();
    assert_eq!(config.listen, "0.0.0.0:8443".parse().unwrap());
    assert_eq!(config.mtls, Settings::new("/c"));
    assert_eq!(config.mtls.drain, Duration::from_secs(10));
    assert!(refusal("").contains("missing field `certificate`"));
}

#[test]
fn every_key_is_read() {
    let config = Config::parse(Path::new("c.toml"), FULL).unwrap();
    assert_eq!(config.listen.port(), 9443);
    assert_eq!(config.health.port(), 9081);
    assert_eq!(config.admin, Path::new("/run/x/admin.sock"));
    let expected = Settings {
        certificate: "/var/lib/renewd/certs/api".into(),
        crl: Some("/etc/x/crl".into()),
        policy: Some("/etc/x/policy.toml".into()),
        choices: Choices {
            tls12: true,
            rules: Rules {
                accept_unknown_revocation: true,
                common_name: true,
            },
        },
        audit: false,
        drain: Duration::from_secs(90),
        max_age: Some(Duration::from_secs(3600)),
        handshake: Duration::from_secs(3),
        next_request: Duration::from_secs(20),
        stall: Duration::from_secs(40),
        max_connections: 100,
        max_per_identity: Some(10),
        max_streams: 50,
        max_head: 8192,
        max_body: 1024,
    };
    assert_eq!(config.mtls, expected);
    assert_eq!(config.redirect, Some("127.0.0.1:9080".parse().unwrap()));
    assert_eq!(
        config.upstream,
        Some(Upstream::Tcp("127.0.0.1:3000".to_owned()))
    );
}

#[test]
fn every_misspelt_key_is_refused_with_its_own_line() {
    for (index, line) in FULL.lines().enumerate().skip(1) {
        let text = FULL.replace(line, &format!("x{line}"));
        let refusal = refusal(&text);
        // A missing key has no line; that it is unknown is found first.
        assert!(
            refusal.starts_with(&format!("c.toml:{}: unknown field `x", index + 1)),
            "{refusal}"
        );
    }
}

#[test]
fn values_that_cannot_work_are_refused_with_line_and_remedy() {
    for (from, to, line, part) in [
        ("127.0.0.1:9443", "localhost", 2, "socket address"),
        ("/var/lib", "var/lib", 3, "absolute path"),
        ("[::1]:9081", "0.0.0.0:9081", 4, "loopback"),
        ("\"/run/x/admin.sock\"", "7", 5, "expected"),
        ("1m 30s", "soon", 6, "\"10s\""),
        ("1m 30s", "0s", 6, "duration of nothing"),
        ("1m 30s", "400days", 6, "more than a year"),
        ("/etc/x/crl", "x/crl", 7, "absolute path"),
        ("\"accept\"", "\"maybe\"", 8, "`refuse` or `accept`"),
        ("/etc/x/policy.toml", "policy.toml", 9, "absolute path"),
        ("audit = false", "audit = 7", 12, "boolean"),
        (
            "max_connections = 100",
            "max_connections = 0",
            16,
            "leave the key out",
        ),
        ("identity = 10", "identity = 0", 17, "leave the key out"),
        ("max_body = 1024", "max_body = -1", 20, "invalid value"),
        ("127.0.0.1:9080", "9080", 21, "socket address"),
        (
            "http://127.0.0.1:3000",
            "https://127.0.0.1:3000",
            22,
            "unix:/run/app.sock",
        ),
        (
            "http://127.0.0.1:3000",
            "http://127.0.0.1",
            22,
            "unix:/run/app.sock",
        ),
        (
            "http://127.0.0.1:3000",
            "unix:app.sock",
            22,
            "unix:/run/app.sock",
        ),
    ] {
        let refusal = refusal(&FULL.replace(from, to));
        assert!(
            refusal.starts_with(&format!("c.toml:{line}: ")),
            "{refusal}"
        );
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent.toml");
}

#[test]
fn a_face_has_its_own_trust_and_rights_and_shares_the_rest() {
    let face = "certificate = \"/c\"\npolicy = \"/p\"\naudit = false\n\n[[face]]\nname = \"inside\"\nlisten = \"[::1]:9444\"\ncertificate = \"/i\"\n";
    let config = Config::parse(Path::new("c.toml"), face).unwrap();
    let [inside] = config.faces.as_slice() else {
        panic!("{:?}", config.faces);
    };
    let expected = Settings {
        audit: false,
        ..Settings::new("/i")
    };
    assert_eq!((inside.name.as_str(), &inside.mtls), ("inside", &expected));
    let another = format!("{face}{}", &face[face.find("[[face]]").unwrap()..]);
    assert!(refusal(&another).starts_with("c.toml:10: there are two faces `inside`"));
    for (from, to, part) in [
        (
            "\"inside\"",
            "\"main\"",
            "c.toml:6: there are two faces `main`",
        ),
        ("\"inside\"", "\"a/b\"", "c.toml:6: a face's name"),
        (
            "\"/i\"",
            "\"i\"",
            "c.toml:8: `certificate` must be an absolute path",
        ),
        ("[::1]:9444", "9444", "c.toml:7: "),
        ("listen =", "audit =", "c.toml:7: unknown field `audit`"),
    ] {
        let refusal = refusal(&face.replace(from, to));
        assert!(refusal.starts_with(part), "{refusal}");
    }
}

/// The keys of the manual's table, each with its default.
fn documented() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/renewd-sample-api.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.split("\n| key |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (key, rest) = row.split_once("` | ").unwrap();
        (key.to_owned(), rest.split(" | ").next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn every_key_is_documented_with_its_default_and_no_other() {
    let required = "certificate = \"/c\"\n";
    let defaults = Config::parse(Path::new("c.toml"), required).unwrap();
    let documented = documented();
    for (key, default) in &documented {
        match default.as_str() {
            "none: required" => {
                assert!(refusal("").contains(&format!("missing field `{key}`")));
            }
            // What the key does is not done without it, and nothing that it could be set to says so.
            "none" => {}
            default => {
                let text = format!("{required}{key} = {}", default.trim_matches('`'));
                let config = Config::parse(Path::new("c.toml"), &text).unwrap();
                assert_eq!(config, defaults, "{key}");
            }
        }
    }
    // The parser tells all that it knows.
    let refusal = refusal("x = 1");
    let known = refusal.split("expected one of ").nth(1).unwrap();
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let documented: Vec<&str> = documented.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(documented, known);
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_refused(text in ".{0,200}") {
        let _ = Config::parse(Path::new("c.toml"), &text);
    }

    #[test]
    fn a_damaged_configuration_is_accepted_or_refused_with_a_line(at in 0..FULL.len(), byte in 32u8..127) {
        let mut text = FULL.as_bytes().to_vec();
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        if let Err(refused) = Config::parse(Path::new("c.toml"), &text) {
            prop_assert!(refused.to_string().starts_with("c.toml:"));
        }
    }
}
