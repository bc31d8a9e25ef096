//! The decisions as a table, and the properties that no table can hold.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::identity::Kind;

const POLICY: &str = r#"
[[role]]
name = "reader"
callers = ["spiffe://example.internal/web/*", "dns:*.batch.example", "cn:Old Client"]
methods = ["GET"]
paths = ["/", "/whoami", "/orders/*/lines"]

[[role]]
name = "admin"
callers = ["spiffe://example.internal/ops/**", "dns:ops.example"]
methods = ["*"]
paths = ["/**"]

[[role]]
name = "pinned"
callers = ["*"]
anchors = ["AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA"]
methods = ["POST", "PUT"]
paths = ["/inbox/**"]
"#;

fn parse(text: &str) -> Result<Policy, FileError> {
    Policy::parse(Path::new("p.toml"), text)
}

fn identity(name: &str) -> Identity {
    let (name, kind) = match name.split_once(':') {
        Some(("dns", name)) => (name, Kind::Dns),
        Some(("cn", name)) => (name, Kind::Cn),
        _ => (name, Kind::Uri),
    };
    Identity {
        name: name.to_owned(),
        kind,
    }
}

#[test]
fn the_table_of_decisions() {
    let policy = parse(POLICY).unwrap();
    let allowed = |role| Decision::Allowed { role };
    use Decision::{Ambiguous, NoRole, NotAllowed};
    let web = "spiffe://example.internal/web/1";
    let ops = "spiffe://example.internal/ops/eu/7";
    for (caller, pinned, method, path, expected) in [
        // A role by URI, DNS and CN.
        (web, false, "GET", "/", allowed("reader")),
        (
            "dns:a.batch.example",
            false,
            "GET",
            "/whoami",
            allowed("reader"),
        ),
        ("cn:Old Client", false, "GET", "/whoami", allowed("reader")),
        (ops, false, "DELETE", "/orders/7", allowed("admin")),
        ("dns:ops.example", false, "GET", "/", allowed("admin")),
        // HEAD with GET, and nothing else with it.
        (web, false, "HEAD", "/whoami", allowed("reader")),
        (web, false, "POST", "/whoami", NotAllowed),
        (web, false, "get", "/whoami", NotAllowed),
        // One star is one part, two are all.
        (web, false, "GET", "/orders/7/lines", allowed("reader")),
        (web, false, "GET", "/orders/7", NotAllowed),
        (web, false, "GET", "/orders//lines", Ambiguous),
        (web, false, "GET", "/orders/7/8/lines", NotAllowed),
        (web, false, "GET", "/whoami/", NotAllowed),
        (ops, false, "PATCH", "/", allowed("admin")),
        // Names that only look alike.
        ("spiffe://example.internal/web", false, "GET", "/", NoRole),
        (
            "spiffe://example.internal/web/1/2",
            false,
            "GET",
            "/",
            NoRole,
        ),
        ("spiffe://example.internal/web/", false, "GET", "/", NoRole),
        (
            "spiffe://example.internal/web/..",
            false,
            "GET",
            "/",
            NoRole,
        ),
        (
            "spiffe://example.internal/web/a?b",
            false,
            "GET",
            "/",
            NoRole,
        ),
        (
            "spiffe://example.internal.evil/web/1",
            false,
            "GET",
            "/",
            NoRole,
        ),
        ("spiffe://EXAMPLE.internal/web/1", false, "GET", "/", NoRole),
        ("https://example.internal/web/1", false, "GET", "/", NoRole),
        ("spiffe://example.internal/ops", false, "GET", "/", NoRole),
        ("dns:batch.example", false, "GET", "/", NoRole),
        ("dns:a.b.batch.example", false, "GET", "/", NoRole),
        ("dns:evilbatch.example", false, "GET", "/", NoRole),
        // A name of one kind is none of another.
        ("cn:ops.example", false, "GET", "/", NoRole),
        ("dns:Old Client", false, "GET", "/", NoRole),
        ("cn:old client", false, "GET", "/", NoRole),
        // The anchor counts where it is named.
        ("dns:x.example", true, "POST", "/inbox/7", allowed("pinned")),
        ("dns:x.example", true, "PUT", "/inbox", allowed("pinned")),
        ("dns:x.example", true, "POST", "/inboxes", NotAllowed),
        ("dns:x.example", true, "GET", "/inbox/7", NotAllowed),
        ("dns:x.example", false, "POST", "/inbox/7", NoRole),
        (web, true, "POST", "/inbox/7", allowed("pinned")),
        (web, true, "GET", "/", allowed("reader")),
        // Paths with two meanings.
        (ops, false, "GET", "/a/../b", Ambiguous),
        (ops, false, "GET", "/a/%2e%2e/b", Ambiguous),
        (ops, false, "GET", "/a%2Fb", Ambiguous),
        (ops, false, "GET", "/a%5cb", Ambiguous),
        (ops, false, "GET", "/a\\b", Ambiguous),
        (ops, false, "GET", "/..;/b", Ambiguous),
        (ops, false, "GET", "/.;x/b", Ambiguous),
        (ops, false, "GET", "/;x/b", Ambiguous),
        (ops, false, "GET", "/.%3Bx/b", Ambiguous),
        (ops, false, "GET", "/a/;x", Ambiguous),
        (ops, false, "GET", "/%c0%ae%c0%ae/b", Ambiguous),
        (ops, false, "GET", "/%e0%80%af", Ambiguous),
        (ops, false, "GET", "/%c3x", Ambiguous),
        (ops, false, "GET", "/%252e%252e/b", Ambiguous),
        (ops, false, "GET", "/%00", Ambiguous),
        (ops, false, "GET", "/%zz", Ambiguous),
        (ops, false, "GET", "//b", Ambiguous),
        (ops, false, "OPTIONS", "*", Ambiguous),
        (ops, false, "CONNECT", "", Ambiguous),
        (
            ops,
            false,
            "GET",
            "/a%20b/c.d/.well-known/~x/%c3%a4é;v=1",
            allowed("admin"),
        ),
    ] {
        let anchor = pinned.then(|| "aa".repeat(32).parse().unwrap());
        let roles = policy.roles(&identity(caller), anchor);
        let decision = policy.decide(&roles, method, path);
        assert_eq!(decision, expected, "{caller} {pinned} {method} {path}");
    }
}

#[test]
fn an_empty_policy_denies_everybody_and_the_open_one_nobody() {
    let caller = identity("dns:a.example");
    let empty = parse("").unwrap();
    assert_eq!(
        empty.decide(&empty.roles(&caller, None), "GET", "/"),
        Decision::NoRole
    );
    let open = Policy::open();
    assert!(open.is_open() && !empty.is_open());
    let roles = open.roles(&caller, None);
    for path in ["/", "/a/b", "/a/../b", "*"] {
        let decision = open.decide(&roles, "DELETE", path);
        assert_eq!(decision, Decision::Allowed { role: "any" }, "{path}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_line_and_remedy() {
    for (from, to, line, part) in [
        ("name = \"reader\"", "name = \"Reader\"", 3, "a–z"),
        (
            "name = \"admin\"",
            "name = \"reader\"",
            9,
            "two roles `reader`",
        ),
        ("cn:Old Client", "Old Client", 4, "callers are written"),
        ("cn:Old Client", "cn:Old*", 4, "common name"),
        ("dns:*.batch", "dns:a*.batch", 4, "DNS name"),
        (
            "spiffe://example.internal/web/*",
            "spiffe://*/web",
            4,
            "authority",
        ),
        ("/web/*", "/web/a*", 4, "one whole part"),
        ("/ops/**", "/**/ops", 10, "one whole part"),
        ("\"GET\"", "\"get\"", 5, "capitals"),
        (
            "[\"GET\"]",
            "[]",
            3,
            "`methods` of the role `reader` is empty",
        ),
        ("\"/whoami\"", "\"whoami\"", 6, "begins with `/`"),
        ("\"/whoami\"", "\"/a/../b\"", 6, "dot"),
        ("\"/whoami\"", "\"/a//b\"", 6, "empty"),
        ("\"AA:", "\"AG:", 17, "openssl x509"),
        (
            "paths = [\"/**\"]",
            "path = [\"/**\"]",
            12,
            "unknown field `path`",
        ),
    ] {
        assert!(POLICY.contains(from), "{from}");
        let refusal = parse(&POLICY.replacen(from, to, 1))
            .unwrap_err()
            .to_string();
        assert!(
            refusal.starts_with(&format!("p.toml:{line}: ")),
            "{refusal}"
        );
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn roles_are_bounded() {
    let role = |number: usize| {
        format!(
            "[[role]]\nname = \"r{number}\"\ncallers = [\"*\"]\nmethods = [\"*\"]\npaths = [\"/\"]\n"
        )
    };
    let many = |count: usize| (0..count).map(role).collect::<String>();
    assert!(parse(&many(MOST_ROLES)).is_ok());
    assert!(
        parse(&many(MOST_ROLES + 1))
            .unwrap_err()
            .to_string()
            .contains("64 roles")
    );
}

proptest! {
    #[test]
    fn any_text_is_a_policy_or_refused_with_a_line_of_it(text in ".{0,200}") {
        if let Err(FileError::Refused { line, .. }) = parse(&text) {
            prop_assert!(line <= text.matches('\n').count() + 1);
        }
    }

    #[test]
    fn a_damaged_policy_never_allows_strangers(at in 0..POLICY.len(), byte in 32u8..127) {
        let mut text = POLICY.as_bytes().to_vec();
        text[at] = byte;
        if let Ok(policy) = parse(&String::from_utf8(text).unwrap()) {
            let roles = policy.roles(&identity("dns:stranger.test"), None);
            prop_assert!(matches!(policy.decide(&roles, "GET", "/"), Decision::NoRole | Decision::NotAllowed));
        }
    }

    #[test]
    fn a_plain_path_stays_itself_when_it_is_cleaned_up(path in "[/a-c.%25eEfF\\\\;]{0,12}") {
        if is_plain(&path) {
            // What an application might do: decode once, and resolve dots.
            let decoded = path.replace("%2e", ".").replace("%2E", ".").replace("%2f", "/").replace("%2F", "/");
            let mut cleaned: Vec<&str> = Vec::new();
            for part in decoded.split('/').skip(1) {
                match part {
                    "." => {}
                    ".." => drop(cleaned.pop()),
                    part => cleaned.push(part),
                }
            }
            prop_assert_eq!(format!("/{}", cleaned.join("/")), path);
        }
    }

    #[test]
    fn a_star_never_reaches_over_a_slash(name in "[a-z/.*?]{0,12}") {
        let policy = parse(POLICY).unwrap();
        let roles = policy.roles(&identity(&format!("spiffe://example.internal/web/{name}")), None);
        prop_assert!(roles.is_empty() || !name.contains(['/', '*', '?']));
    }
}
