//! Issuers of the type `step`.

use super::{lines, load_main};

#[test]
fn a_step_issuer_is_judged_key_by_key() {
    let whole = "url = \"https://ca.test:9000/\"\nfingerprint = \"D9:D0:97:86:92:F1:C7:CC:79:1F:5C:34:3C:E9:87:71:90:07:21:40:5E:83:4C:D2:7B:95:02:CC:71:9F:50:97\"\ntoken = \"credential:t\"\n";
    let load = |text: &str| load_main(&format!("[issuer.ca]\ntype = \"step\"\n{text}\n"));
    let loaded = load(whole);
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let issuer = loaded.settings.issuers.values().next().unwrap();
    assert_eq!(issuer.configured.address(), Some("https://ca.test:9000"));

    for (text, expected) in [
        ("", false),
        ("federation = false", false),
        ("federation = true", true),
    ] {
        let loaded = load(&format!("{whole}{text}"));
        let issuer = loaded.settings.issuers.values().next().unwrap();
        let found = format!("{:?}", issuer.configured);
        let expected = format!("federation: {expected},");
        assert!(found.contains(&expected), "{text}: {found}");
    }

    let with_a_key = whole.replace(
        "token = \"credential:t\"",
        "provisioner = \"Admin JWK\"\nprovisioner_key = \"file:/k\"",
    );
    let loaded = load(&with_a_key);
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let [warning] = loaded.warnings.as_slice() else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(warning.to_string().contains("any name"), "{warning}");

    let without = |key: &str| {
        let kept = whole.lines().filter(|line| !line.starts_with(key));
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    for (text, key, part) in [
        (without("url"), "url", "is missing"),
        (without("fingerprint"), "fingerprint", "ca = "),
        (without("token"), "token", "is missing"),
        (
            whole.replace("9000/", "9000/acme"),
            "url",
            "more than a host and a port",
        ),
        (
            whole.replace("https", "http"),
            "url",
            "no address of a step-ca",
        ),
        (whole.replace("D9:", ""), "fingerprint", "no SHA-256 digest"),
        (
            format!("{whole}proxy = \"https://p.test:3128\""),
            "proxy",
            "is a proxy behind TLS",
        ),
        (
            format!("{whole}federation = \"yes\""),
            "federation",
            "true or false",
        ),
        (
            format!("{whole}ca = \"/ca.pem\""),
            "ca",
            "stands beside fingerprint",
        ),
        (
            format!("{whole}provisioner_key = \"file:/k\""),
            "provisioner_key",
            "stands beside token",
        ),
        (
            format!("{whole}provisioner = \"p\"\nprovisioner_key = \"file:/k\""),
            "provisioner",
            "stands beside token",
        ),
        (
            with_a_key.replace("provisioner =", "#"),
            "provisioner_key",
            "stands without provisioner",
        ),
        (
            with_a_key.replace("provisioner_key", "#"),
            "provisioner",
            "stands without provisioner_key",
        ),
        (
            with_a_key.replace("Admin JWK", ""),
            "provisioner",
            "no name of a provisioner",
        ),
        (
            whole.replace("credential:t", "eyJhbGciOi.eyJ.s"),
            "token",
            "no place of a secret",
        ),
    ] {
        let loaded = load(&text);
        let [error] = loaded.errors.as_slice() else {
            panic!("{text}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.ca.{key}"), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}
