//! A policy, a caller and a request: what is allowed means the same to every reader, and is allowed by a role of the
//! file. Each line of the policy means what [`super::pattern`] says it does.

use std::path::Path;

use renewd_sample_api::Identity;
use renewd_sample_api::fingerprint::Fingerprint;
use renewd_sample_api::identity::Kind;
use renewd_sample_api::policy::{Decision, MOST_ROLES, Policy};

use super::pattern::read_otherwise;
use crate::split;

pub(crate) fn run(data: &[u8]) {
    let [text, caller, method, path] = split::texts(data);
    let policy = match Policy::parse(Path::new("policy.toml"), &text) {
        Ok(policy) => policy,
        Err(error) => return super::names_its_place(&error, &text),
    };
    assert!(!policy.is_open(), "no file can say that");
    assert!(policy.names().count() <= MOST_ROLES);
    for name in policy.names() {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(!name.is_empty() && name.bytes().all(word), "{name}");
    }
    let anchor = Fingerprint::of(b"anchor");
    for kind in [Kind::Uri, Kind::Dns, Kind::Cn] {
        let name = caller.clone();
        let caller = Identity { name, kind };
        let few = policy.roles(&caller, None);
        let roles = policy.roles(&caller, Some(anchor));
        assert!(
            few.is_empty() || !roles.is_empty(),
            "an anchor takes no role away"
        );
        match policy.decide(&roles, &method, &path) {
            Decision::Allowed { role } => {
                assert!(!roles.is_empty());
                assert!(policy.names().any(|name| name == role));
                let other = read_otherwise(&path);
                assert!(other.is_none(), "{path:?} may be read as {other:?}");
            }
            Decision::NoRole => assert!(roles.is_empty()),
            Decision::NotAllowed | Decision::Ambiguous => assert!(!roles.is_empty()),
        }
        let nobody = policy.decide(&Default::default(), &method, &path);
        assert_eq!(nobody, Decision::NoRole);
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let anchor = Fingerprint::of(b"anchor");
    let policy = format!(
        r#"
[[role]]
name = "reader"
callers = ["spiffe://example.internal/web/*", "dns:*.batch.example", "cn:Old Client"]
methods = ["GET"]
paths = ["/", "/whoami", "/orders/*/lines"]
[[role]]
name = "admin"
callers = ["spiffe://a/ops/**", "dns:ops.example"]
methods = ["*"]
paths = ["/**"]
[[role]]
name = "pinned"
callers = ["*"]
anchors = ["{anchor}"]
methods = ["POST", "PUT"]
paths = ["/inbox/**"]
"#
    );
    let asked = [
        ("spiffe://example.internal/web/1", "GET", "/orders/7/lines"),
        ("spiffe://a/ops/x/y", "DELETE", "/a/../b%2fc;x/%c0%ae"),
        ("ops.example", "GET", "/%2e%2e/;a/.;b//\\"),
        ("Old Client", "HEAD", "/whoami"),
        ("x.batch.example", "POST", "/inbox/7"),
    ];
    let seed = |(caller, method, path)| split::text(&[&policy, caller, method, path]);
    let mut seeds: Vec<_> = asked.into_iter().map(seed).collect();
    let all = "[[role]]\nname=\"a\"\ncallers=[\"*\"]\nmethods=[\"*\"]\npaths=[\"/**\"]";
    seeds.push(split::text(&[all, "a", "GET", "/a/b"]));
    seeds
}
