//! `renewd.toml`: issuers, and what certificates may ask of them.

use super::{lines, load_main, load_pair};

/// What is wrong with a table for EST.
const EST: [(&str, &str, &str); 12] = [
    (
        "type = \"est\"\nusername = \"u\"\npassword = \"file:/p\"",
        "server",
        "is missing",
    ),
    (
        "type = \"est\"\nserver = \"http://a.test\"\nusername = \"u\"\npassword = \"file:/p\"",
        "server",
        "begins with https://",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test/.well-known/est\"\nusername = \"u\"\npassword = \"file:/p\"",
        "server",
        "has a path",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"",
        "username",
        "no bootstrap_certificate either",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nusername = \"u\"",
        "password",
        "is missing beside username",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nbootstrap_key = \"file:/k\"",
        "bootstrap_certificate",
        "is missing beside bootstrap_key",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nusername = \"u:v\"\npassword = \"file:/p\"",
        "username",
        "without colons",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nusername = \"u\"\npassword = \"hunter2\"",
        "password",
        "no place of a secret",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nlabel = \"a/b\"\nusername = \"u\"\npassword = \"file:/p\"",
        "label",
        "is no label",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nlabel = \"..\"\nusername = \"u\"\npassword = \"file:/p\"",
        "label",
        "is no label",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\nproxy = \"HTTPS://p.test\"\nusername = \"u\"\npassword = \"file:/p\"",
        "proxy",
        "is a proxy behind TLS",
    ),
    (
        "type = \"est\"\nserver = \"https://a.test\"\ntrust = \"all\"\nusername = \"u\"\npassword = \"file:/p\"",
        "trust",
        "\"cacerts\"",
    ),
];

#[test]
fn issuers_are_judged_with_the_names_that_they_may_certify() {
    let bad = [
        ("type = \"scep\"", "type", "is no type of issuer"),
        ("type = \"locl\"", "type", "did you mean \"local\"?"),
        ("# none", "type", "is missing"),
        ("type = 1", "type", "is the number 1"),
        (
            "type = \"local\"\nroot_lifetime = \"1d\"\nintermediate_lifetime = \"2d\"",
            "intermediate_lifetime",
            "longer than the root's",
        ),
        (
            "type = \"local\"\npermitted_dns = [\"*.a.test\"]",
            "permitted_dns",
            "no domain",
        ),
        (
            "type = \"local\"\npermitted_ip = [\"10.0.0.1/8\"]",
            "permitted_ip",
            "write \"10.0.0.0/8\"",
        ),
        (
            "type = \"local\"\npermitted_ip = [\"10.0.0.0/33\"]",
            "permitted_ip",
            "no network",
        ),
        (
            "type = \"local\"\npermitted_ip = []",
            "permitted_ip",
            "is empty",
        ),
        (
            "type = \"local\"
permitted_uri = [\"https://x/\"]",
            "permitted_uri",
            "no SPIFFE ID",
        ),
        (
            "type = \"local\"\nissuing_ca = \"/etc/renewd/ca.pem\"",
            "issuing_ca",
            "expected \"credential:NAME\" or \"file:/PATH\"",
        ),
        (
            "type = \"local\"\nissuing_ca = \"credential:ca.pem\"\nroot_lifetime = \"1y\"",
            "root_lifetime",
            "stands beside issuing_ca",
        ),
    ];
    for (text, key, part) in bad.into_iter().chain(EST) {
        let loaded = load_main(&format!("[issuer.internal]\n{text}\n"));
        let [error] = loaded.errors.as_slice() else {
            panic!("{text}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.internal.{key}"));
        assert!(error.to_string().contains(part), "{error}");
        assert!(loaded.settings.issuers.is_empty());
    }

    let main = "[issuer.internal]\ntype = \"local\"\npermitted_dns = [\"a.test\"]\npermitted_ip = [\"10.0.0.0/8\", \"::1\"]\npermitted_uri = [\"spiffe://td\"]\n";
    let loaded = load_pair(
        main,
        "names = [\"a.test\", \"*.a.test\", \"x.a.test\", \"10.9.8.7\", \"::1\", \"spiffe://td/x\"]\n",
    );
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let loaded = load_pair(
        main,
        "names = [\n\"ba.test\",\n\"11.0.0.1\",\n\"::2\",\n\"spiffe://tdx\",\n]\n",
    );
    let found: Vec<_> = loaded
        .errors
        .iter()
        .map(|error| error.location.line)
        .collect();
    assert_eq!(found, [Some(2), Some(3), Some(4), Some(5)]);
}

#[test]
fn an_issuer_must_be_named_when_it_is_not_the_only_one() {
    let two = "[issuer.a]\ntype = \"local\"\n[issuer.b]\ntype = \"local\"\n";
    let loaded = load_pair(two, "names = [\"a.test\"]\n");
    assert_eq!(loaded.errors[0].field, "issuer");
    assert!(loaded.errors[0].to_string().contains("one of a, b"));
    let loaded = load_pair("", "names = [\"a.test\"]\n");
    assert!(loaded.errors[0].to_string().contains("[issuer.internal]"));
    let default = format!("[defaults]\nissuer = \"b\"\n{two}");
    let loaded = load_pair(&default, "names = [\"a.test\"]\n");
    let certificate = loaded.settings.certificates.values().next().unwrap();
    assert_eq!(certificate.request.issuer.as_str(), "b");
    // A wrong default is told once, in its own file.
    let wrong = format!("[defaults]\nissuer = \"c\"\n{two}");
    let loaded = load_pair(&wrong, "names = [\"a.test\"]\n");
    assert_eq!(loaded.errors.len(), 1);
    assert_eq!(loaded.errors[0].field, "defaults.issuer");
}

#[test]
fn several_issuers_are_asked_in_the_order_in_which_they_are_named() {
    let two = "[issuer.a]\ntype = \"local\"\n[issuer.b]\ntype = \"local\"\npermitted_dns = [\"b.test\"]\n";
    let loaded = load_pair(two, "names = [\"x.b.test\"]\nissuer = [\"b\", \"a\"]\n");
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    let certificate = loaded.settings.certificates.values().next().unwrap();
    let order: Vec<&str> = certificate.issuers().map(|name| name.as_str()).collect();
    assert_eq!(order, ["b", "a"]);
    for (issuer, name, expected) in [
        ("[]", "x.b.test", "is empty"),
        ("[\"a\", \"a\"]", "x.b.test", "stands twice"),
        ("[\"a\", \"c\"]", "x.b.test", "\"c\" is not configured"),
        ("[\"a\", 1]", "x.b.test", "is the number 1"),
        ("[\"a\", \"-\"]", "x.b.test", "no name of an issuer"),
        // Whoever may be asked must be able to give it.
        ("[\"a\", \"b\"]", "x.test", "not permitted"),
    ] {
        let loaded = load_pair(two, &format!("names = [\"{name}\"]\nissuer = {issuer}\n"));
        let errors = lines(&loaded.errors);
        assert_eq!(errors.len(), 1, "{issuer}: {errors:?}");
        assert!(errors[0].contains(expected), "{issuer}: {errors:?}");
        let default = format!("[defaults]\nissuer = {issuer}\n{two}");
        let loaded = load_pair(&default, &format!("names = [\"{name}\"]\n"));
        let errors = lines(&loaded.errors);
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{issuer}: {errors:?}"
        );
    }
}

#[test]
fn a_program_that_issues_is_judged_key_by_key() {
    let whole = "command = [\"/bin/x\"]\ntrust = \"/r.pem\"\n";
    let bad = [
        ("trust = \"/r.pem\"", "command", "is missing"),
        ("command = [\"/bin/x\"]", "trust", "is missing"),
        ("command = []\ntrust = \"/r\"", "command", "is empty"),
        (
            "command = \"/bin/x -y\"\ntrust = \"/r\"",
            "command",
            "a list of a program",
        ),
        (
            "command = [\"x\", \"/y\"]\ntrust = \"/r\"",
            "command",
            "no absolute path",
        ),
        (
            "command = [\"/x\", \"a\\u0000b\"]\ntrust = \"/r\"",
            "command",
            "cannot be an argument",
        ),
        (
            "command = [\"/x\"]\ntrust = \"system\"",
            "trust",
            "no absolute path",
        ),
        ("timeout = \"2h\"", "timeout", "is too long"),
        ("output_limit = 1023", "output_limit", "beyond the limits"),
        ("output_limit = -1", "output_limit", "beyond the limits"),
        ("credentials = [\"../x\"]", "credentials", "no name"),
        (
            "credentials = [\"a\", \"a\"]",
            "credentials",
            "stands twice",
        ),
        (
            "root_lifetime = \"1y\"",
            "root_lifetime",
            "with type = \"local\"",
        ),
    ];
    for (text, key, part) in bad {
        let rest = if text.contains("command") || text.contains("trust") {
            ""
        } else {
            whole
        };
        let loaded = load_main(&format!(
            "[issuer.program]\ntype = \"exec\"\n{rest}{text}\n"
        ));
        let [error] = loaded.errors.as_slice() else {
            panic!("{text}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.program.{key}"));
        assert!(error.to_string().contains(part), "{error}");
        assert!(loaded.settings.issuers.is_empty());
    }
    // A slip in the type is one error; its keys belong to no other.
    let loaded = load_main(&format!("[issuer.program]\ntyp = \"exec\"\n{whole}"));
    assert_eq!(loaded.errors.len(), 2, "{:?}", loaded.errors);
    let loaded = load_main("[issuer.internal]\ntype = \"local\"\ntimeout = \"1s\"\n");
    assert!(
        loaded.errors[0]
            .to_string()
            .contains("with type = \"exec\"")
    );
    // Whatever a certificate asks for, the program is asked.
    let main = format!("[issuer.program]\ntype = \"exec\"\n{whole}");
    let loaded = load_pair(
        &main,
        "names = [\"*.a.test\", \"::1\", \"spiffe://td/x\"]\n",
    );
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
}

#[test]
fn a_vault_knows_us_by_one_method_and_what_is_wrong_is_found() {
    let issuer = |lines: &str| {
        let text = format!(
            "[issuer.v]\ntype = \"vault\"\naddress = \"https://vault.test:8200\"\nrole = \"host\"\n{lines}\n"
        );
        load_main(&text)
    };
    const LOGIN: &str = "role_id = \"r\"\nsecret_id = \"credential:s\"";
    for right in [
        LOGIN.to_owned(),
        "token = \"credential:t\"\nmount = \"/pki/int/\"".to_owned(),
        "jwt = \"file:/run/jwt\"\nauth_role = \"host\"\nauth_mount = \"k8s/prod\"".to_owned(),
        "client_certificate = \"/x\"\nclient_key = \"file:/y\"\nauth_role = \"host\"".to_owned(),
        format!("{LOGIN}\nnamespace = \"a/b\"\nissuer_ref = \"next\""),
    ] {
        assert_eq!(lines(&issuer(&right).errors), Vec::<String>::new());
    }
    for (wrong, key, part) in [
        ("".to_owned(), "token", "every other way to be known"),
        (
            "role_id = \"r\"".into(),
            "role_id",
            "stands without secret_id",
        ),
        (
            "secret_id = \"credential:s\"".into(),
            "secret_id",
            "stands without role_id",
        ),
        (
            format!("{LOGIN}\ntoken = \"credential:t\""),
            "secret_id",
            "beside another way",
        ),
        (
            "jwt = \"credential:j\"\ntoken = \"credential:t\"".into(),
            "jwt",
            "beside another way",
        ),
        (
            "client_certificate = \"/x\"".into(),
            "client_certificate",
            "stands without client_key",
        ),
        (
            format!("{LOGIN}\nclient_key = \"file:/y\""),
            "client_key",
            "beside another way",
        ),
        ("token = \"s.abc\"".into(), "token", "no place of a secret"),
        (
            "token = \"credential:t\"\nauth_mount = \"x\"".into(),
            "auth_mount",
            "needs no login",
        ),
        (
            format!("{LOGIN}\nauth_role = \"x\""),
            "auth_role",
            "only a login by JWT or by certificate",
        ),
        (
            format!("{LOGIN}\nmount = \"a//b\""),
            "mount",
            "no path at a Vault",
        ),
        (
            format!("{LOGIN}\nmount = \"../sys\""),
            "mount",
            "no path at a Vault",
        ),
        (
            format!("{LOGIN}\nissuer_ref = \"a/b\""),
            "issuer_ref",
            "no name at a Vault",
        ),
        (
            format!("{LOGIN}\nnamespace = \"a b\""),
            "namespace",
            "no path at a Vault",
        ),
        (
            format!("{LOGIN}\nproxy = \"https://proxy.test:3128\""),
            "proxy",
            "is a proxy behind TLS",
        ),
        (
            format!("{LOGIN}\ncommon_name = \"x\""),
            "common_name",
            "no key",
        ),
    ] {
        let loaded = issuer(&wrong);
        let [error] = loaded.errors.as_slice() else {
            panic!("{wrong}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.v.{key}"), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    for address in [
        "http://vault.test",
        "https://vault.test/v1",
        "https://u:p@vault.test",
        "vault",
    ] {
        let loaded = load_main(&format!(
            "[issuer.v]\ntype = \"vault\"\naddress = \"{address}\"\nrole = \"host\"\n{LOGIN}\n"
        ));
        assert_eq!(loaded.errors.len(), 1, "{address}: {:?}", loaded.errors);
        assert_eq!(loaded.errors[0].field, "issuer.v.address");
    }
}

#[test]
fn a_spiffe_issuer_takes_one_identity_of_its_own_trust_domain() {
    let bad = [
        ("", "trust_domain", "is missing"),
        (
            "trust_domain = \"Example.org\"",
            "trust_domain",
            "no trust domain",
        ),
        (
            "trust_domain = \"a.test/x\"",
            "trust_domain",
            "no trust domain",
        ),
        (
            "trust_domain = \"a.test\"\nsocket = \"/run/api.sock\"",
            "socket",
            "no address of a local socket",
        ),
        (
            "trust_domain = \"a.test\"\nsocket = \"tcp://127.0.0.1:8000\"",
            "socket",
            "no address of a local socket",
        ),
        (
            "trust_domain = \"a.test\"\nfederated = [\"spiffe://a.test\"]",
            "federated",
            "is the own trust domain",
        ),
        (
            "trust_domain = \"a.test\"\nfederated = [\"b.test\", \"spiffe://b.test\"]",
            "federated",
            "twice",
        ),
    ];
    for (text, key, part) in bad {
        let loaded = load_main(&format!("[issuer.spire]\ntype = \"spiffe\"\n{text}\n"));
        let [error] = loaded.errors.as_slice() else {
            panic!("{text}: {:?}", loaded.errors);
        };
        assert_eq!(error.field, format!("issuer.spire.{key}"), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let main = "[issuer.spire]\ntype = \"spiffe\"\ntrust_domain = \"spiffe://a.test\"\nsocket = \"unix:///run/api.sock\"\n";
    for (names, part) in [
        ("\"spiffe://a.test/web\", \"web.a.test\"", ""),
        ("\"web.a.test\"", "names no SPIFFE ID"),
        ("\"spiffe://b.test/web\"", "no workload of the issuer's"),
        ("\"spiffe://a.test.b/web\"", "no workload of the issuer's"),
        ("\"spiffe://a.test\"", "no workload of the issuer's"),
        (
            "\"spiffe://a.test/web\", \"spiffe://a.test/db\"",
            "a second SPIFFE ID",
        ),
    ] {
        let loaded = load_pair(main, &format!("names = [{names}]\n"));
        let found = lines(&loaded.errors).join("\n");
        assert_eq!(found.is_empty(), part.is_empty(), "{found}");
        assert!(found.contains(part), "{names}: {found}");
    }
}

#[test]
fn an_est_server_that_any_public_ca_could_stand_for_is_warned_about() {
    let est = "[issuer.ca]\ntype = \"est\"\nserver = \"https://a.test\"\nusername = \"u\"\npassword = \"file:/p\"\n";
    for (key, warned) in [
        ("", true),
        ("ca = \"/ca.pem\"", false),
        ("trust = \"system\"", false),
    ] {
        let loaded = load_main(&format!("{est}{key}\n"));
        assert_eq!(lines(&loaded.errors), Vec::<String>::new());
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
        assert!(
            warnings.iter().all(|one| one.contains("issuer.ca.ca")),
            "{warnings:?}"
        );
    }
}
