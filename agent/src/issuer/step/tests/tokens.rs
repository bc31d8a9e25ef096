//! One-time tokens: which one is taken, and what is in those that are signed here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::jws::Signer;
use super::*;

#[tokio::test]
async fn of_the_tokens_that_are_provided_the_one_for_the_names_is_used() {
    let ca = Ca::new(|_| None);
    let [other, right] = [token(&["b.test"], 300), token(&["a.test", "::1"], 300)];
    ca.provide(&format!("# from the CA\n{other}\nno token\n  {right}"));
    let issuer = ca.issuer(ca.settings());
    order(&issuer, &request(&["::1", "a.test"]), None)
        .await
        .unwrap();
    let body = ca.body("/1.0/sign");
    assert_eq!(body["ott"], right.trim());
    // The CA counts the life by its own clock.
    assert_eq!(body["notAfter"], "3600s");
    for (text, words) in [
        (
            token(&["a.test"], 300),
            "holds no token for exactly ::1, a.test",
        ),
        (token(&["a.test", "::1"], -1), "ended at 2026-11-18"),
        (format!("{other}a.b\n"), "line 2"),
        (
            format!("# for a\n\na.b\n{}", token(&["a.test", "::1"], -1)),
            "ended at",
        ),
        (String::new(), "holds no token"),
    ] {
        ca.provide(&text);
        let error = order(&issuer, &request(&["a.test", "::1"]), None).await;
        let error = error.unwrap_err();
        assert_eq!(error.retry(), Retry::Operator, "{error}");
        assert!(error.operator_text().contains(words), "{error}");
        assert!(error.operator_text().contains("fresh one"), "{error}");
    }
    assert_eq!(ca.ways(), ["/1.0/sign"]);
}

#[tokio::test]
async fn a_token_that_the_ca_will_not_have_is_the_operators_to_replace() {
    let ca = Ca::new(|path| {
        (path == "/1.0/sign").then_some((
            "401 Unauthorized",
            "",
            "application/json",
            r#"{"status":401,"message":"The request lacked necessary authorization to be completed."}"#,
        ))
    });
    let refused = order(&ca.issuer(ca.settings()), &request(&["a.test"]), None).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.retry(), Retry::Operator);
    let text = refused.operator_text();
    for part in [
        "token of file:",
        "was refused",
        "works once",
        "step ca token",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // A token that is signed anew each time is nobody's to replace.
    let refused = order(&ca.with_a_key(), &request(&["a.test"]), None).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.retry(), Retry::After(Duration::from_secs(1800)));
    assert!(refused.operator_text().contains("provisioner or its key"));
}

#[tokio::test]
async fn a_token_that_was_refused_is_not_brought_again_until_another_is_there() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const JSON: &str = "application/json";
    const LOCKED: Told = (
        "500 Internal Server Error",
        "",
        JSON,
        r#"{"message":"database is locked"}"#,
    );
    const NOT_ALLOWED: Told = (
        "403 Forbidden",
        "",
        JSON,
        r#"{"message":"a.test is not allowed"}"#,
    );
    const USED: Told = (
        "401 Unauthorized",
        "",
        JSON,
        r#"{"message":"already used"}"#,
    );
    const BUSY: Told = ("408 Request Timeout", "", JSON, r#"{"message":"later"}"#);
    const SPENT: Told = ("201 Created", "", JSON, "{}");
    let answering = |answers: &'static [Told]| {
        let next = AtomicUsize::new(0);
        Ca::new(move |path| {
            let next = || answers.get(next.fetch_add(1, Ordering::Relaxed)).copied();
            (path == "/1.0/sign").then(|| next().unwrap_or(USED))
        })
    };
    for (answers, brought, words) in [
        (&[NOT_ALLOWED][..], 1, "a.test is not allowed (403"),
        (&[USED], 1, "already used (401"),
        (&[SPENT], 1, "a certificate was issued, and cannot be used"),
        (
            &[LOCKED, USED],
            2,
            "already used (401 Unauthorized) (when it was brought first: ",
        ),
        (&[BUSY, LOCKED, NOT_ALLOWED], 3, "later (408"),
    ] {
        let ca = answering(answers);
        let issuer = ca.issuer(ca.settings());
        let asked = request(&["a.test"]);
        for _ in 1..brought {
            let error = order(&issuer, &asked, None).await.unwrap_err();
            assert_eq!(error.retry(), Retry::BackOff, "{error}");
        }
        let first = order(&issuer, &asked, None).await.unwrap_err();
        let again = order(&issuer, &asked, None).await.unwrap_err();
        assert_eq!(ca.ways().len(), brought, "{again}");
        assert_eq!(
            (again.retry(), again.sent()),
            (Retry::Operator, Sent::Refused)
        );
        let text = again.operator_text();
        assert!(
            text.contains(words) && text.contains("was refused"),
            "{text}"
        );
        if first.sent() != Sent::Spent {
            assert_eq!(first.operator_text(), text);
        }
        // Also while a renewal is tried in vain.
        let text = {
            ca.provide(&format!(
                "{}\n{}",
                token(&["a.test"], 300),
                token(&["a.test"], 301)
            ));
            order(&issuer, &asked, None)
                .await
                .unwrap_err()
                .operator_text()
        };
        assert_eq!(ca.ways().len(), brought + 1, "another one: {text}");
    }
}

#[tokio::test]
async fn what_a_ca_says_is_withheld_where_it_repeats_a_token() {
    // Half of it, where what is shown ends, is too much, too.
    let [far, long] = [".".repeat(395), ".".repeat(5000)];
    let bodies = ["", &far, &long].into_iter().flat_map(|before| {
        [
            format!(r#"{{"message":"{before}{SECRET}"}}"#),
            format!(r#"{{"message":"{before}\u0063{}"}}"#, &SECRET[1..]),
            format!("{before}%63{}", &SECRET[1..]),
            format!(r#"{{"crt":"{before}","certChain":"{SECRET}"}}"#),
        ]
    });
    for body in bodies {
        for status in ["201 Created", "401 Unauthorized", "503 Service Unavailable"] {
            let said: &'static str = Box::leak(body.clone().into_boxed_str());
            let ca = Ca::new(move |path| {
                (path == "/1.0/sign").then_some((status, "", "application/json", said))
            });
            let error = order(&ca.issuer(ca.settings()), &request(&["a.test"]), None).await;
            let text = error.unwrap_err().operator_text();
            assert!(!text.contains(&SECRET[1..5]), "{text}");
            assert!(
                text.contains("withheld") || status.starts_with("201"),
                "{text}"
            );
        }
    }
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn verify(token: &str, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) {
    let (text, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(algorithm, key)
        .verify(text.as_bytes(), &signature)
        .unwrap();
}

#[tokio::test]
async fn a_token_of_a_provisioners_key_says_what_step_ca_wants_to_know() {
    let ca = Ca::new(|_| None);
    let issuer = ca.with_a_key();
    order(&issuer, &request(&["a.test", "spiffe://td/a"]), None)
        .await
        .unwrap();
    let first = ca.body("/1.0/sign")["ott"].as_str().unwrap().to_owned();
    order(&issuer, &request(&["a.test"]), None).await.unwrap();
    let second = ca.body("/1.0/sign")["ott"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = first.split('.').collect();
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    let text = issuer.secrets.read(&ca.place("key")).unwrap();
    let (signer, _) = Signer::read(&text).unwrap();
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["kid"], signer.thumbprint().unwrap());
    let now = NOW.as_second();
    let id = claims["jti"].clone();
    assert_eq!(
        claims,
        json!({
            "iss": "hosts", "aud": format!("{}/1.0/sign", issuer.settings.url), "sub": "a.test",
            "sans": ["a.test", "spiffe://td/a"], "iat": now, "nbf": now, "exp": now + 300, "jti": id,
        })
    );
    let other = decoded(second.split('.').nth(1).unwrap());
    assert_ne!(id, other["jti"], "each once");
}

#[test]
fn keys_of_every_type_sign_what_others_verify() {
    let cases: [(KeyType, &str, &'static dyn VerificationAlgorithm); 4] = [
        (KeyType::EcdsaP256, "ES256", &ECDSA_P256_SHA256_FIXED),
        (KeyType::EcdsaP384, "ES384", &ECDSA_P384_SHA384_FIXED),
        (KeyType::Ed25519, "EdDSA", &ED25519),
        (KeyType::Rsa2048, "RS256", &RSA_PKCS1_2048_8192_SHA256),
    ];
    for (key_type, name, algorithm) in cases {
        let key = PrivateKey::generate(key_type).unwrap();
        let signer = Signer::from_pem(&key.pem()).unwrap();
        let token = signer.sign(json!({}), &json!({ "a": 1 })).unwrap();
        assert_eq!(decoded(token.split('.').next().unwrap())["alg"], name);
        verify(&token, algorithm, key.pair().public_key_raw());
    }
}

/// The key and its thumbprint are those of RFC 8037, appendix A.
const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

#[test]
fn a_jwk_is_read_with_its_name_and_one_that_is_none_is_not_quoted() {
    let (signer, kid) = Signer::read(JWK).unwrap();
    assert_eq!(kid, None);
    assert_eq!(
        signer.thumbprint().unwrap(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    let named = JWK.replace("\"kty\"", "\"kid\":\"k1\",\"kty\"");
    assert_eq!(Signer::read(&named).unwrap().1.unwrap(), "k1");
    // Of RFC 7515, appendix A.3.
    let ec = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    assert!(matches!(Signer::read(ec).unwrap().0, Signer::P256(_)));
    for bad in [
        "{}".to_owned(),
        JWK.replace("\"d\"", "\"e\""),
        JWK.replace("11qY", "11qZ"),
        JWK.replace("OKP", "RSA"),
        JWK.replace("nWGx", "*"),
        r#"{"protected":"eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1cifQ","ciphertext":"x"}"#.to_owned(),
        "-----BEGIN PRIVATE KEY-----\nnWGx\n-----END PRIVATE KEY-----\n".to_owned(),
        "secret".to_owned(),
    ] {
        let why = Signer::read(&bad).err().unwrap();
        assert!(!why.contains("nWGx") && !why.contains("secret"), "{why}");
    }
}
