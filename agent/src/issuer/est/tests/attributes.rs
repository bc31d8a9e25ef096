//! What a CA may want of requests.

use super::super::attributes::{Unwanted, Wanted};
use super::*;

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const CHALLENGE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7];
const EXTENSIONS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const MAC: &[u8] = &[0x2b, 6, 1, 1, 1, 1, 0x16];
const CLIENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

fn oid(oid: &[u8]) -> Vec<u8> {
    tlv(6, oid)
}

fn attribute(kind: &[u8], values: &[u8]) -> Vec<u8> {
    tlv(0x30, &[oid(kind), tlv(0x31, values)].concat())
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &tlv(0x30, &[oid(id), tlv(4, value)].concat()))
}

fn judged(entries: &[Vec<u8>], request: &Request) -> Result<Vec<String>, Unwanted> {
    let wanted = Wanted::of(&tlv(0x30, &entries.concat())).unwrap();
    wanted.judge(request)
}

/// The example of RFC 7030, section 4.5.2.
fn entries() -> [Vec<u8>; 4] {
    [
        oid(CHALLENGE),
        attribute(EXTENSIONS, &oid(MAC)),
        attribute(EC, &oid(P384)),
        oid(ECDSA_SHA384),
    ]
}

pub(super) fn example() -> Vec<u8> {
    tlv(0x30, &entries().concat())
}

#[test]
fn what_is_wanted_of_requests_is_had_or_told_or_named() {
    let eku = extension(&[0x55, 0x1d, 0x25], &tlv(0x30, &oid(CLIENT)));
    let san = extension(&[0x55, 0x1d, 0x11], &[]);
    let strange = extension(&[0x55, 0x1d, 0x36], &[]);
    let example = entries();
    let wants = |wanted: &str, remedy| {
        Err(Unwanted::Key {
            wanted: wanted.into(),
            remedy,
        })
    };
    let ignores = |words: &[&str]| Ok(words.iter().map(|word| (*word).to_owned()).collect());
    let bits = |bits: &[u8]| attribute(RSA, &tlv(2, bits));
    let both = attribute(EC, &[oid(P256), oid(P384)].concat());
    type Case<'a> = (&'a [Vec<u8>], KeyType, Result<Vec<String>, Unwanted>);
    let cases: [Case<'_>; 14] = [
        (&[], KeyType::EcdsaP256, ignores(&[])),
        (
            &example,
            KeyType::EcdsaP384,
            ignores(&["challengePassword", "the extension 1.3.6.1.1.1.1.22"]),
        ),
        (
            &example,
            KeyType::EcdsaP256,
            wants("ECDSA on P-384, ECDSA with SHA-384", "ecdsa-p384"),
        ),
        (&[oid(EC)], KeyType::EcdsaP256, ignores(&[])),
        (&[oid(EC)], KeyType::Ed25519, wants("ECDSA", "ecdsa-p256")),
        (&[both], KeyType::EcdsaP256, ignores(&[])),
        (
            &[attribute(EC, &oid(P521))],
            KeyType::EcdsaP256,
            ignores(&["a key or signature that it does not make (ECDSA on 1.3.132.0.35)"]),
        ),
        (&[oid(RSA)], KeyType::Rsa3072, ignores(&[])),
        (&[bits(&[0x10, 0])], KeyType::Rsa4096, ignores(&[])),
        (
            &[bits(&[0x10, 0])],
            KeyType::Rsa2048,
            wants("RSA with 4096 bits", "rsa-4096"),
        ),
        (
            &[bits(&[0x10, 0]), oid(EC)],
            KeyType::EcdsaP256,
            ignores(&[]),
        ),
        // A curve alone is wanted of nothing in particular; libest says it so.
        (
            &[oid(P384), oid(MAC)],
            KeyType::EcdsaP256,
            ignores(&["1.3.132.0.34", "1.3.6.1.1.1.1.22"]),
        ),
        (
            &[attribute(EXTENSIONS, &eku)],
            KeyType::EcdsaP256,
            ignores(&[]),
        ),
        (
            &[attribute(EXTENSIONS, &san), attribute(EXTENSIONS, &strange)],
            KeyType::EcdsaP256,
            ignores(&["the extension 2.5.29.54"]),
        ),
    ];
    for (entries, key_type, expected) in cases {
        let request = Request {
            key_type,
            ..request()
        };
        assert_eq!(judged(entries, &request), expected, "{key_type:?}");
    }
    let mut server = request();
    server.usages.client = false;
    assert_eq!(
        judged(&[attribute(EXTENSIONS, &eku)], &server),
        Err(Unwanted::Usage("client"))
    );
    assert_eq!(Wanted::of(&[]).unwrap().judge(&server), Ok(Vec::new()));
    for bad in [&b"\x30\x02\x06"[..], b"\x04\x01x", b"\x30\x03\x04\x01x"] {
        assert!(Wanted::of(bad).is_err(), "{bad:x?}");
    }
}

#[tokio::test]
async fn a_request_that_the_ca_does_not_want_is_not_brought() {
    let wanted = tlv(0x30, &attribute(EC, &oid(P384)));
    let wanted = body::encode(&wanted);
    let ca = Ca::new(move |operation| match operation {
        "csrattrs" => told(
            "200 OK",
            "content-type: application/csrattrs\r\n",
            wanted.clone(),
        ),
        _ => None,
    });
    let error = issue(&ca.issuer()).await.unwrap_err();
    let text = error.operator_text();
    assert!(
        text.contains("wants another key or signature in requests: ECDSA on P-384"),
        "{text}"
    );
    assert!(text.contains("key_type = \"ecdsa-p384\""), "{text}");
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1800)));
    assert_eq!(ca.operations(), Vec::<String>::new());
    let findings = ca.issuer().check(&[request()]).await;
    assert!(findings[3].text.contains("ECDSA on P-384"), "{findings:?}");
    assert_eq!(error.sent(), Sent::Open);
    // Who does not say what it wants is asked, whatever its words for that, and so is who cannot.
    let said = |ca: &Ca, issuer: &EstIssuer| {
        let said = issuer.said.lock().unwrap().clone();
        assert_eq!(
            ca.operations(),
            ["simpleenroll", "simpleenroll"],
            "{said:?}"
        );
        said
    };
    for (status, body, expected) in [
        ("503 Service Unavailable", "", "answered 503"),
        ("302 Found", "", "answered 302"),
        ("200 OK", "<html>", "no base64"),
        ("200 OK", "AAAA", "/csrattrs cannot be used"),
    ] {
        let ca = Ca::new(move |operation| match operation {
            "csrattrs" => told(status, "", body),
            _ => None,
        });
        let issuer = ca.issuer();
        for _ in 0..2 {
            issue(&issuer).await.unwrap();
        }
        let said = said(&ca, &issuer);
        assert_eq!(said.len(), 1, "once");
        assert!(said[0].contains(expected), "{said:?}");
        let findings = issuer.check(&[request()]).await;
        assert!(findings[3].text.contains("is not known"), "{findings:?}");
    }
    for status in [
        "204 No Content",
        "404 Not Found",
        "401 Unauthorized",
        "501 Not Implemented",
        "200 OK",
    ] {
        let ca = Ca::new(move |operation| match operation {
            "csrattrs" => told(status, "", ""),
            _ => None,
        });
        issue(&ca.issuer()).await.unwrap();
    }
}
