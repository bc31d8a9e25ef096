//! What an operator reads: each error names file, line, field, what was found and what to do.

use super::super::ErrorKind;
use super::{lines, load_certificate, load_pair};

/// One certificate's text, and the one line it must be refused with.
pub(super) fn refused(text: &str, expected: &str) {
    let loaded = load_certificate(text);
    assert_eq!(lines(&loaded.errors), [expected], "{text}");
    assert!(loaded.settings.certificates.is_empty());
}

#[test]
fn an_error_is_one_line_with_file_line_field_finding_expectation_and_remedy() {
    refused(
        "names = [\"%H\"]\n[unit.\"nginx.service\"]\non_change = \"reloud\"\n",
        "/etc/renewd/certs.d/api.toml:3: unit.\"nginx.service\".on_change: \
         \"reloud\" is no way to tell a unit; \
         expected one of reload, restart, start, signal:HUP, none; did you mean \"reload\"?",
    );
    refused(
        "names = [\"a.test\"]\nlifetime = 3600\n",
        "/etc/renewd/certs.d/api.toml:2: lifetime: is the number 3600; \
         expected a duration in quotes; write for example lifetime = \"24h\"",
    );
    refused(
        "names = [\n  \"a.test\",\n  \"10.0.0.256\",\n]\n",
        "/etc/renewd/certs.d/api.toml:3: names: \
         \"10.0.0.256\" is no DNS name, IP address or SPIFFE ID; \
         expected a name such as \"api.example.org\", \"192.0.2.1\" or \"spiffe://example.org/api\"; \
         correct the name",
    );
}

#[test]
fn all_errors_of_all_files_are_told_at_once() {
    let loaded = load_pair(
        "[defaults]\nlifetime = \"1 fortnight\"\n[issuer.internal]\ntype = \"local\"\nroot_lifetime = 1\n",
        "names = [\"a b\", 7, \"%z\"]\nissuer = \"other\"\nkey_typ = \"rsa\"\nmode = \"0644\"\n\
         owner = \"nobody-here\"\n[unit.nginx]\n[unit.\"a.service\"]\norder = -1\nprobe = []\n",
    );
    let places: Vec<(String, u32)> = loaded
        .errors
        .iter()
        .map(|error| (error.field.clone(), error.location.line.unwrap()))
        .collect();
    let expected = [
        ("names", 1),
        ("names", 1),
        ("names", 1),
        ("issuer", 2),
        ("key_typ", 3),
        ("mode", 4),
        ("owner", 5),
        ("unit.nginx", 6),
        ("unit.\"a.service\".order", 8),
        ("unit.\"a.service\".probe", 9),
        ("defaults.lifetime", 2),
        ("issuer.internal.root_lifetime", 5),
    ]
    .map(|(field, line)| (field.to_owned(), line));
    let mut sorted = places.clone();
    sorted.sort();
    let mut wanted = expected.to_vec();
    wanted.sort();
    assert_eq!(sorted, wanted);
}

#[test]
fn a_key_is_answered_with_the_one_that_is_meant() {
    let meant = [
        ("domains = [\"x\"]", "the key is called \"names\" here"),
        ("life_time = \"1h\"", "did you mean \"lifetime\"?"),
        (
            "permitted_dns = [\"x\"]",
            "write it below an [issuer.NAME] with type = \"local\"",
        ),
        ("probe = \"tls://x:1\"", "write it below the unit's line"),
        ("colour = \"red\"", "remove it"),
    ];
    for (line, remedy) in meant {
        let loaded = load_certificate(&format!("names = [\"a.test\"]\n{line}\n"));
        let [error] = loaded.errors.as_slice() else {
            panic!("{line}: {:?}", loaded.errors);
        };
        assert_eq!(error.kind, ErrorKind::UnknownKey);
        assert_eq!(error.location.line, Some(2));
        assert!(error.remedy.starts_with(remedy), "{error}");
    }
    // TOML's trap: what stands below a table's line belongs to the table.
    let loaded = load_certificate("names = [\"a.test\"]\n[unit.\"a.service\"]\ngroup = \"root\"\n");
    assert!(
        loaded.errors[0]
            .remedy
            .contains("above the first [unit.…] line")
    );
    assert_eq!(loaded.errors[0].location.line, Some(3));
}

#[test]
fn a_unit_without_quotes_is_answered_with_the_quoted_line() {
    let loaded = load_certificate("names = [\"a.test\"]\n[unit.nginx.service]\norder = 1\n");
    assert_eq!(loaded.errors.len(), 1);
    assert_eq!(loaded.errors[0].location.line, Some(2));
    assert_eq!(loaded.errors[0].remedy, "write [unit.\"nginx.service\"]");
}

#[test]
fn a_key_that_stands_twice_and_broken_syntax_are_told_with_their_line() {
    let loaded =
        load_certificate("names = [\"a.test\"]\ngroup = \"root\"\ngroup = \"root\"\nmode = 1\n");
    let found: Vec<_> = loaded
        .errors
        .iter()
        .map(|error| (error.kind, error.field.as_str(), error.location.line))
        .collect();
    assert_eq!(
        found,
        [
            (ErrorKind::Syntax, "group", Some(3)),
            (ErrorKind::WrongType, "mode", Some(4)),
        ]
    );
    for (text, line) in [
        ("names = [\"a.test\"\ngroup = 1\n", 2),
        ("names = \n", 1),
        ("names = [\"a.test\"]\n\ngroup = www-data\n", 3),
        ("names = [\"a.test\"]\n[unit.\"a.service\"\n", 2),
        (
            "names = [\"a.test\"]\n[unit.\"a.service\"]\n[unit.\"a.service\"]\n",
            3,
        ),
    ] {
        let loaded = load_certificate(text);
        let error = &loaded.errors[0];
        assert_eq!(error.kind, ErrorKind::Syntax, "{text}");
        assert_eq!(error.location.line, Some(line), "{text}: {error}");
    }
}

#[test]
fn values_without_a_meaning_are_refused_with_their_field() {
    let bad = [
        ("lifetime", "\"29s\""),
        ("lifetime", "\"11y\""),
        ("lifetime", "\"24\""),
        ("lifetime", "\"\""),
        ("lifetime", "\"30500ms\""),
        ("lifetime", "\"99999999999999999999h\""),
        ("key_type", "\"rsa\""),
        ("usage", "[]"),
        ("usage", "[\"server\", \"server\"]"),
        ("usage", "[\"email\"]"),
        ("owner", "\"\""),
        ("owner", "\"a:b\""),
        ("owner", "\"4294967295\""),
        ("group", "\"no-such-group\""),
        ("mode", "\"0644\""),
        ("mode", "\"640 \""),
        ("issuer", "\"../x\""),
        ("issuer", "\"interna\""),
    ];
    for (key, value) in bad {
        let loaded = load_certificate(&format!("names = [\"a.test\"]\n{key} = {value}\n"));
        assert_eq!(
            loaded.errors.len(),
            1,
            "{key} = {value}: {:?}",
            loaded.errors
        );
        let error = &loaded.errors[0];
        assert_eq!((error.field.as_str(), error.location.line), (key, Some(2)));
        assert!(!error.expected.is_empty(), "{error}");
    }
}

#[test]
fn addresses_of_every_form_are_taken_and_others_refused() {
    let load = |probe: &str| {
        load_certificate(&format!(
            "names = [\"a.test\"]\n[unit.\"a.service\"]\nprobe = [{probe}]\n"
        ))
    };
    for good in [
        "tls://[::1]:443",
        "unix:/run/x.sock",
        "postgres+unix:/run/x",
        "smtp://mx?name=b.test",
    ] {
        assert_eq!(
            lines(&load(&format!("{good:?}")).errors),
            Vec::<String>::new()
        );
    }
    let many: Vec<String> = (1..=101)
        .map(|port| format!("\"tls://x:{port}\""))
        .collect();
    for bad in [
        "",
        "\"\"",
        "\"127.0.0.1:443\"",
        "\"tls://x\"",
        "\"postgres://x\", \"postgres://x:5432\"",
        &format!("\"tls://{}:1\"", "x".repeat(1 << 16)),
        "\"tls://x:1\", \"tls://x:1\"",
        &many.join(", "),
    ] {
        let errors = load(bad).errors;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].field, "unit.\"a.service\".probe");
        assert!(errors[0].to_string().len() < 500);
        assert_eq!(errors[0].location.line, Some(3));
    }
}

#[test]
fn names_are_given_once_and_at_least_one() {
    let many: Vec<String> = (0..101).map(|n| format!("\"n{n}.test\"")).collect();
    for bad in [
        "names = []".to_owned(),
        "# none".to_owned(),
        "names = [\"a.test\", \"A.test\"]".to_owned(),
        "names = [\"::1\", \"0:0::1\"]".to_owned(),
        "names = [\"%b\"]".to_owned(),
        "names = [\"%\"]".to_owned(),
        "names = [\"https://a.test/\"]".to_owned(),
        format!("names = [{}]", many.join(", ")),
    ] {
        let loaded = load_certificate(&bad);
        assert_eq!(loaded.errors.len(), 1, "{bad}");
        assert_eq!(loaded.errors[0].field, "names", "{bad}");
        assert_eq!(loaded.errors[0].location.line, Some(1), "{bad}");
    }
    // On a host whose name has no dot both are the same, and the file is right.
    let loaded = load_certificate("names = [\"%H\", \"web1.example.internal\"]");
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let certificate = loaded.settings.certificates.values().next().unwrap();
    assert_eq!(certificate.request.names.len(), 1);
}

#[test]
fn what_is_allowed_and_not_meant_is_warned_about() {
    let warned = [
        ("[unit.\"a.service\"]\non_change = \"none\"", "unobservable"),
        (
            "[unit.\"a.service\"]\nprobe_timeout = \"5s\"",
            "has no effect",
        ),
        ("lifetime = \"2y\"", "will be cut"),
        (
            "lifetime = \"1m\"\n[unit.\"a.service\"]",
            "leaves 20s to rotate",
        ),
    ];
    for (text, part) in warned {
        let loaded = load_certificate(&format!("names = [\"a.test\"]\n{text}\n"));
        assert_eq!(lines(&loaded.errors), Vec::<String>::new());
        let [warning] = loaded.warnings.as_slice() else {
            panic!("{text}: {:?}", loaded.warnings);
        };
        assert!(warning.to_string().contains(part), "{warning}");
    }
    let loaded = load_certificate(
        "names = [\"a.test\"]\nusage = [\"client\"]\n[unit.\"a.service\"]\nprobe = \"tls://x:1\"\n",
    );
    assert_eq!(loaded.errors[0].field, "unit.\"a.service\".probe");
}
