//! Issuers of the type `acme`.

use super::{lines, load_main, load_pair};

#[test]
fn an_acme_issuer_is_judged_key_by_key() {
    let directory = "directory = \"https://ca.test/dir\"\n";
    let bad = [
        ("", "directory", "is missing"),
        (
            "directory = \"http://ca.test/dir\"",
            "directory",
            "begins with https://",
        ),
        (
            "directory = \"https://user:secret@ca.test/\"",
            "directory",
            "no address",
        ),
        ("ca = \"ca.pem\"", "ca", "no absolute path"),
        ("trust = \"public\"", "trust", "\"system\""),
        (
            "proxy = \"http://user:secret@proxy.test:1\"",
            "proxy",
            "without a user",
        ),
        (
            "proxy = \"https://proxy.test:3128\"",
            "proxy",
            "is a proxy behind TLS",
        ),
        (
            "proxy = \"socks://proxy.test\"",
            "proxy",
            "no address of a proxy",
        ),
        ("contact = [\"ops@a.test\"]", "contact", "\"mailto:\""),
        (
            "terms_of_service = \"yes\"",
            "terms_of_service",
            "\"agreed\"",
        ),
        (
            "eab_key_id = \"kid\"",
            "eab_key_id",
            "stands without eab_key",
        ),
        (
            "eab_key = \"file:/k\"",
            "eab_key",
            "stands without eab_key_id",
        ),
        (
            "eab_key_id = \"k\"\neab_key = \"abc\"",
            "eab_key",
            "no place of a secret",
        ),
        ("webroot = \"www\"", "webroot", "no absolute path"),
        ("profile = \"\"", "profile", "visible ASCII"),
        (
            "root_lifetime = \"1y\"",
            "root_lifetime",
            "with type = \"local\"",
        ),
    ];
    for (text, key, part) in bad {
        let directory = match text.contains("directory") || key == "directory" {
            true => "",
            false => directory,
        };
        let main = format!("[issuer.public]\ntype = \"acme\"\n{directory}{text}\n");
        let loaded = load_main(&main);
        let [error] = loaded.errors.as_slice() else {
            panic!("{text}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.public.{key}"));
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().contains("renewd.toml:"), "{error}");
        assert!(loaded.settings.issuers.is_empty());
    }
    // Its keys belong to no other type.
    let loaded = load_main("[issuer.internal]\ntype = \"local\"\nprofile = \"x\"\n");
    assert!(
        loaded.errors[0]
            .to_string()
            .contains("with type = \"acme\"")
    );
}

#[test]
fn what_an_acme_ca_certifies_are_servers_by_names_that_it_can_ask_for() {
    let main = "[issuer.public]\ntype = \"acme\"\ndirectory = \"https://ca.test/dir\"\n";
    let loaded = load_pair(main, "names = [\"a.test\", \"192.0.2.1\"]\n");
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let usages = |loaded: &super::Loaded| {
        let certificate = loaded.settings.certificates.values().next().unwrap();
        certificate.request.usages
    };
    assert!(usages(&loaded).server && !usages(&loaded).client);
    let asked = "names = [\"a.test\"]\nusage = [\"server\", \"client\"]\n";
    assert!(usages(&load_pair(main, asked)).client);
    let loaded = load_pair(main, "names = [\n\"*.a.test\",\n\"spiffe://td/x\",\n]\n");
    let found: Vec<_> = loaded
        .errors
        .iter()
        .map(|error| error.location.line)
        .collect();
    assert_eq!(found, [Some(2), Some(3)]);
    assert!(loaded.errors[0].to_string().contains("dns-01"));
}

#[test]
fn a_challenge_takes_its_own_keys_and_what_it_can_prove() {
    let main = |text: &str| {
        format!("[issuer.public]\ntype = \"acme\"\ndirectory = \"https://ca.test/dir\"\n{text}\n")
    };
    let dns = "dns_server = \"ns.test\"\ntsig_key_name = \"k\"\ntsig_key = \"file:/k\"";
    let bad = [
        (
            "challenge = \"dns01\"",
            "challenge",
            "did you mean \"dns-01\"?",
        ),
        ("challenge = \"dns-01\"", "dns_command", "is missing"),
        (
            "challenge = \"tls-alpn-01\"\nwebroot = \"/w\"",
            "webroot",
            "http-01",
        ),
        ("dns_wait = \"5s\"", "dns_wait", "dns-01"),
        (
            "challenge = \"http-01\"\ndns_command = [\"/x\"]",
            "dns_command",
            "dns-01",
        ),
        ("dns_command = [\"x\"]", "dns_command", "no absolute path"),
        (
            "dns_command = [\"/x\"]\ntsig_key = \"file:/k\"",
            "tsig_key",
            "dns_server",
        ),
        (
            "dns_command = [\"/x\"]\ndns_wait = \"1h\"",
            "dns_wait",
            "too long",
        ),
        (
            "dns_server = \"ns.test\"\ntsig_key_name = \"k\"",
            "tsig_key",
            "is missing",
        ),
    ];
    for (text, key, part) in bad {
        let loaded = load_main(&main(text));
        let [error] = loaded.errors.as_slice() else {
            panic!("{text}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.public.{key}"), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    for (server, understood) in [
        ("ns.test", Some("ns.test:53")),
        ("192.0.2.1:5353", Some("192.0.2.1:5353")),
        ("2001:db8::1", Some("[2001:db8::1]:53")),
        ("[2001:db8::1]:5353", Some("[2001:db8::1]:5353")),
        ("user@ns.test", None),
        ("ns.test:0", None),
        ("ns.test:99999", None),
        ("*.test", None),
        ("", None),
    ] {
        let loaded = load_main(&main(&dns.replace("ns.test", server)));
        let issuer = loaded.settings.issuers.values().next();
        let found = issuer.map(|issuer| format!("{:?}", issuer.configured));
        let is_right = match (understood, &found) {
            (Some(server), Some(found)) => found.contains(&format!("server: {server:?},")),
            (None, None) => true,
            _ => false,
        };
        assert!(is_right, "{server}: {found:?}, {:?}", loaded.errors);
    }
    let names = "names = [\n\"a.test\",\n\"*.a.test\",\n\"192.0.2.1\",\n]\n";
    for (challenge, line, part) in [
        (dns, 4, "IP address"),
        ("challenge = \"tls-alpn-01\"", 3, "dns_command"),
        ("", 3, "which http-01 cannot prove"),
    ] {
        let loaded = load_pair(&main(challenge), names);
        let [error] = loaded.errors.as_slice() else {
            panic!("{challenge}: {:?}", loaded.errors);
        };
        assert_eq!(error.location.line, Some(line));
        assert!(error.to_string().contains(part), "{error}");
    }
}
