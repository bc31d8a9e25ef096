//! What an issuer answers the daemon: nothing is published but what our CA has issued for our key and names.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::accept::{Answer, accept};
use renewd_core::leaf::Fingerprint;
use renewd_core::request::{KeyType, Request, Usages};
use rustls_pki_types::CertificateDer;

use crate::der::{CA, END, NOW, STRANGER};
use crate::split;

static LEAF: LazyLock<CertificateDer<'static>> = LazyLock::new(|| CA.leaf(5, "web.example"));

/// A leaf, and what came with it.
pub(crate) fn run(data: &[u8]) {
    let mut parts = split::counted(data).into_iter();
    let Some(leaf) = parts.next() else {
        return;
    };
    let answer = Answer {
        leaf: leaf.to_vec().into(),
        chain: parts.map(|part| part.to_vec().into()).collect(),
    };
    let request = Request {
        issuer: "internal".parse().expect("a name"),
        directory: None,
        names: vec!["web.example".parse().expect("a name")],
        lifetime: Duration::from_secs(3600),
        key_type: KeyType::Ed25519,
        usages: Usages::default(),
    };
    let now = Timestamp::from_second(NOW as i64).expect("a time");
    let key = Fingerprint::of(&END.public());
    match accept(&request, &key, &answer, &[CA.ca()], now) {
        Ok(accepted) => {
            assert_eq!(answer.leaf, *LEAF, "what was never issued is accepted");
            assert_eq!(accepted.facts.names, ["web.example"]);
            assert_eq!(accepted.anchor, Fingerprint::of(&CA.ca()));
            assert!(accepted.usable_from <= accepted.usable_until);
            assert!(accepted.chain.is_empty(), "the leaf is the root's");
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(
                !text.is_empty() && !text.contains(char::is_control),
                "{text:?}"
            );
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let answer = |chain: &[&CertificateDer<'_>]| {
        let parts: Vec<_> = chain.iter().map(|der| der.as_ref()).collect();
        split::count(&parts)
    };
    vec![
        answer(&[&LEAF]),
        answer(&[&LEAF, &CA.ca()]),
        answer(&[&LEAF, &CA.ca(), &STRANGER.ca(), &CA.ca()]),
        answer(&[&CA.leaf(6, "other.example")]),
        answer(&[&STRANGER.leaf(5, "web.example"), &STRANGER.ca()]),
    ]
}
