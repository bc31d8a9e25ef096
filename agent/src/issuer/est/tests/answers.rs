//! What servers answer, and what is made of it.

use super::*;

#[test]
fn certificates_are_read_from_whatever_servers_make_of_base64_and_pkcs7() {
    let authority = Authority::new("est");
    let expected = authority.certificates();
    let der = pkcs7(&expected);
    let text = body::encode(&der);
    let bare: String = text.split_whitespace().collect();
    let mime: Vec<&str> = bare
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let ber = indefinite(&der);
    for (form, body) in [
        ("lines", text.clone().into_bytes()),
        ("no lines", bare.clone().into_bytes()),
        ("lines of MIME", mime.join("\r\n").into_bytes()),
        ("no padding", bare.trim_end_matches('=').as_bytes().to_vec()),
        (
            "armour",
            format!("-----BEGIN PKCS7-----\n{text}-----END PKCS7-----\n").into_bytes(),
        ),
        ("blanks", format!("\r\n \t{text}\r\n\r\n").into_bytes()),
        ("an end as in C", format!("{text}\0").into_bytes()),
        ("DER", der.clone()),
        ("BER", body::encode(&ber).into_bytes()),
    ] {
        let mut found = certificates::read(&body).unwrap_or_else(|why| panic!("{form}: {why}"));
        found.sort_by_key(|der| *der != expected[0]);
        assert_eq!(found, expected, "{form}");
    }
}

/// The same, with the lengths of what stands outside told by where it ends.
pub(super) fn indefinite(der: &[u8]) -> Vec<u8> {
    fn open(der: &[u8], depth: usize) -> Vec<u8> {
        let (head, length) = match der[1] {
            0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
            short => (2, usize::from(short)),
        };
        let (this, rest) = der.split_at(head + length);
        let mut all = match (der[0], depth) {
            (0x30 | 0xa0, 0..3) => {
                let mut inner = vec![der[0], 0x80];
                inner.extend(open(&this[head..], depth + 1));
                inner.extend([0, 0]);
                inner
            }
            _ => this.to_vec(),
        };
        if !rest.is_empty() {
            all.extend(open(rest, depth));
        }
        all
    }
    open(der, 0)
}

#[test]
fn what_is_no_bag_of_certificates_is_refused_in_words() {
    let der = pkcs7(&Authority::new("est").certificates());
    let content = tlv(0xa0, &tlv(4, b"signed"));
    let algorithm = tlv(0x30, &tlv(6, DATA));
    let signer = [
        tlv(2, &[1]),
        tlv(0x30, &[tlv(0x30, &[]), tlv(2, &[1])].concat()),
        algorithm.clone(),
        algorithm,
        tlv(4, b"signature"),
    ];
    let signer = tlv(0x30, &signer.concat());
    for (body, expected) in [
        (Vec::new(), "no PKCS#7"),
        (b"<html>".to_vec(), "no base64"),
        (b"AAAA".to_vec(), "no PKCS#7"),
        (der[..der.len() - 1].to_vec(), "no PKCS#7"),
        ([&der[..], &[0]].concat(), "no PKCS#7"),
        (vec![0x30, 0x80, 0xff], "no PKCS#7"),
        ([0x30, 0x80].repeat(40_000), "no PKCS#7"),
        (
            message(DATA, &[], &[], &[]),
            "of the type 1.2.840.113549.1.7.1",
        ),
        (message(SIGNED, &content, &[], &[]), "signed content"),
        (message(SIGNED, &[], &[], &signer), "signed content"),
        (message(SIGNED, &[], &[], &[]), "no certificate is in it"),
        (
            message(SIGNED, &[], &tlv(0xa0, &tlv(0x30, &[5, 0])), &[]),
            "cannot be read",
        ),
        (
            body::encode(&vec![b'x'; 200_000]).into_bytes(),
            "longer than 131072 bytes",
        ),
    ] {
        let why = certificates::read(&body).unwrap_err();
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

#[test]
fn a_certificate_that_is_odd_or_stands_twice_spoils_no_other() {
    let expected = Authority::new("est").certificates();
    let [root, issuing] = [&expected[0][..], &expected[1]];
    let odd = tlv(0x30, &[5, 0]);
    let longer = tlv(0x30, &[root, &[5, 0]].concat());
    // An attribute certificate (RFC 5652, section 10.2.2).
    let other = tlv(0xa1, root);
    let bag = [root, &odd, root, &longer, &other, issuing, issuing].concat();
    let found = certificates::read(&message(SIGNED, &[], &tlv(0xa0, &bag), &[]));
    assert_eq!(found.unwrap(), expected);
    let cut = [root, &issuing[..issuing.len() - 1]].concat();
    let why = certificates::read(&message(SIGNED, &[], &tlv(0xa0, &cut), &[]));
    assert!(why.unwrap_err().contains("ends early"));
}

#[test]
fn a_root_is_who_has_signed_itself_and_not_who_has_the_name_of_its_issuer() {
    // A new key under the old name, signed by the old key (RFC 7030, section 4.1.3).
    let (old, new) = (Authority::new("est"), Authority::new("est"));
    let rolled = CertifiedIssuer::signed_by(
        authority_params("est root"),
        KeyPair::generate().unwrap(),
        &old.root,
    );
    let rolled = rolled.unwrap().der().clone();
    let all = [&[rolled][..], &old.certificates(), &new.certificates()].concat();
    let roots = [old.root.der().clone(), new.root.der().clone()];
    assert_eq!(certificates::roots(&all), roots);
}

#[tokio::test]
async fn the_leaf_is_found_by_its_key_and_the_chain_put_in_order() {
    let authority = Arc::new(Authority::new("est"));
    let stranger = Authority::new("stranger");
    let key = key();
    let leaf = authority.sign(&key.request(&request()).unwrap());
    let others = stranger.sign(&super::key().request(&request()).unwrap());
    let bag = [
        stranger.certificates(),
        authority.certificates(),
        vec![others.clone(), leaf.clone()],
    ]
    .concat();
    let body = body::encode(&pkcs7(&bag));
    let ca = Ca::of(authority, move |operation| match operation {
        "simpleenroll" => told("200 OK", "", body.clone()),
        _ => None,
    });
    let answer = bring(&ca.issuer(), &request(), &key, None).await.unwrap();
    assert_eq!(answer.leaf, leaf);
    assert_eq!(answer.chain, [ca.authority.issuing.der().clone()]);
    // And when there is none for our key, it was an issuance all the same.
    let error = issue(&ca.issuer()).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Spent);
    assert!(
        error
            .operator_text()
            .contains("for the key that was asked for")
    );
}

#[tokio::test]
async fn refusals_become_sentences_with_when_to_ask_again() {
    let text = "content-type: text/plain\r\n";
    let html = "content-type: text/html\r\n";
    let digest = "www-authenticate: Digest realm=\"est\"\r\n";
    let week = Retry::After(https::LONGEST_RETRY_AFTER);
    let slowly = Retry::After(Duration::from_secs(1800));
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        Retry,
        &'static [&'static str],
    );
    let cases: [Case; 17] = [
        (
            "simpleenroll",
            "401 Unauthorized",
            "",
            "",
            Retry::Operator,
            &[
                "/.well-known/est/simpleenroll did not accept username and password",
                "correct username",
            ],
        ),
        (
            "simpleenroll",
            "401 Unauthorized",
            digest,
            "",
            Retry::Operator,
            &["it wants \"Digest\"", "HTTP basic"],
        ),
        (
            "simpleenroll",
            "403 Forbidden",
            text,
            "not this name",
            slowly,
            &["\"not this name\"", "give this user the right"],
        ),
        (
            "simpleenroll",
            "404 Not Found",
            html,
            "<html>",
            slowly,
            &[
                "there is no https://localhost",
                "a page of HTML",
                "\"label\"",
            ],
        ),
        (
            "simpleenroll",
            "400 Bad Request",
            text,
            "bad\u{1b}[1m key",
            slowly,
            &["400 Bad Request", "bad\\u{1b}[1m key", "its log has why"],
        ),
        (
            "simpleenroll",
            "409 Conflict",
            "",
            "",
            slowly,
            &["with 409 Conflict"],
        ),
        (
            "simpleenroll",
            "429 Too Many Requests",
            "retry-after: 1000000000\r\n",
            "",
            week,
            &["answered 429"],
        ),
        (
            "simpleenroll",
            "502 Bad Gateway",
            html,
            "<html>",
            Retry::BackOff,
            &["answered 502 Bad Gateway", "a page of HTML"],
        ),
        (
            "simpleenroll",
            "503 Service Unavailable",
            "retry-after: 60\r\n",
            "busy",
            Retry::After(Duration::from_secs(60)),
            &["\"busy\""],
        ),
        (
            "simpleenroll",
            "204 No Content",
            "",
            "",
            Retry::BackOff,
            &["204 No Content is no answer"],
        ),
        (
            "simpleenroll",
            "302 Found",
            "location: https://elsewhere.invalid/\r\n",
            "",
            Retry::BackOff,
            &["redirects to elsewhere.invalid"],
        ),
        (
            "simpleenroll",
            "200 OK",
            html,
            "<html>",
            Retry::BackOff,
            &["said that it had signed", "no base64", "\"text/html\""],
        ),
        (
            "simpleenroll",
            "202 Accepted",
            "",
            "",
            Retry::BackOff,
            &["has not decided on it yet", "approved at the CA"],
        ),
        (
            "simpleenroll",
            "202 Accepted",
            "retry-after: 1000000000\r\n",
            "",
            week,
            &["has not decided"],
        ),
        (
            "cacerts",
            "404 Not Found",
            "",
            "",
            slowly,
            &["there is no https://localhost", "/cacerts"],
        ),
        (
            "cacerts",
            "200 OK",
            html,
            "<html>",
            Retry::BackOff,
            &["the answer of https://localhost", "no base64"],
        ),
        (
            "cacerts",
            "500 Internal Server Error",
            "",
            "",
            Retry::BackOff,
            &["answered 500"],
        ),
    ];
    for (at, status, headers, body, retry, expected) in cases {
        let ca =
            Ca::new(move |operation| (operation == at).then(|| (status, headers, body.into())));
        let error = issue(&ca.issuer()).await.unwrap_err();
        let text = error.operator_text();
        for part in expected {
            assert!(text.contains(part), "{status}: {text}");
        }
        assert!(!text.contains(PASSWORD) && !format!("{error:?}").contains(PASSWORD));
        assert_eq!(error.retry(), retry, "{status}: {text}");
        let sent = match (at, &status[..3]) {
            ("simpleenroll", "200") => Sent::Spent,
            ("simpleenroll", "400" | "401" | "403" | "404" | "409") => Sent::Refused,
            _ => Sent::Open,
        };
        assert_eq!(error.sent(), sent, "{status}");
    }
}

#[tokio::test]
async fn a_ca_without_a_root_of_its_own_needs_to_be_told_about() {
    let authority = Arc::new(Authority::new("est"));
    let body = body::encode(&pkcs7(&[authority.issuing.der().clone()]));
    let ca = Ca::of(authority, move |operation| match operation {
        "cacerts" => told("200 OK", "", body.clone()),
        _ => None,
    });
    let error = ca.issuer().anchors().await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1800)));
    assert!(error.operator_text().contains("\"trust\""));
    let roots = ca.directory.path().join("roots.pem");
    std::fs::write(&roots, ca.authority.root.pem()).unwrap();
    let issuer = ca.with(EstSettings {
        trust: Some(Trust::File(roots)),
        ..ca.settings()
    });
    assert_eq!(
        issuer.anchors().await.unwrap(),
        [ca.authority.root.der().clone()]
    );
    assert_eq!(issue(&issuer).await.unwrap().chain.len(), 1);
}
