//! What is kept of what a server told, and what of it is not shown.

use super::*;

#[tokio::test]
async fn what_is_kept_of_the_roots_is_replaced_where_it_is_damaged_and_is_never_too_long_to_be_read()
 {
    let ca = Ca::new(|_| None);
    ca.issuer().anchors().await.unwrap();
    let kept = ca.directory.path().join("issuer/anchors.pem");
    let good = std::fs::read(&kept).unwrap();
    let link = ca.directory.path().join("link");
    for damage in [&b"\xff"[..], &[b'#'; 70_000], &good[..good.len() / 2]] {
        std::fs::write(&kept, damage).unwrap();
        issue(&ca.issuer()).await.unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), good);
    }
    std::fs::rename(&kept, &link).unwrap();
    std::os::unix::fs::symlink(&link, &kept).unwrap();
    issue(&ca.issuer()).await.unwrap();
    assert!(kept.symlink_metadata().unwrap().is_file());

    let many = (0..13).map(|_| {
        let root = authority_params(&"r".repeat(2000));
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        root.der().clone()
    });
    let body = body::encode(&pkcs7(&many.collect::<Vec<_>>()));
    let ca = Ca::new(move |operation| match operation {
        "cacerts" => told("200 OK", "", body.clone()),
        _ => None,
    });
    let error = ca.issuer().anchors().await.unwrap_err();
    let text = error.operator_text();
    assert!(
        text.contains("more roots than are kept") && text.contains("\"trust\""),
        "{text}"
    );
    assert!(!ca.directory.path().join("issuer/anchors.pem").exists());
}

#[tokio::test]
async fn what_a_server_says_is_withheld_where_it_repeats_the_password() {
    let pair = "cmVuZXdkOmM0bmFyeS1wYTU1d29yZA";
    let text = "content-type: text/plain\r\n";
    let escaped = ["c4nary%2Dpa55word", "{\"user\": \"c4nary\\u002dpa55word\"}"];
    for said in [PASSWORD, pair, escaped[0], escaped[1]] {
        // Beyond what is shown of it, too: half of it may not be.
        for before in [0, 195, 2000] {
            let body = format!("{}{said}==", ".".repeat(before));
            for status in [
                "400 Bad Request",
                "403 Forbidden",
                "404 Not Found",
                "503 No",
            ] {
                let body = body.clone();
                let ca = Ca::new(move |operation| match operation {
                    "simpleenroll" => told(status, text, body.clone()),
                    _ => None,
                });
                let told = issue(&ca.issuer()).await.unwrap_err().operator_text();
                assert!(
                    told.contains("withheld") && !told.contains("c4na"),
                    "{told}"
                );
                assert!(!told.contains("cmVu") && !told.contains(".."), "{told}");
            }
        }
    }
    for headers in [
        "content-type: c4nary-pa55word\r\n",
        "www-authenticate: c4nary-pa55word\r\n",
        "location: https://c4nary-pa55word/\r\n",
    ] {
        for status in ["200 OK", "401 Unauthorized", "302 Found"] {
            let ca = Ca::new(move |operation| match operation {
                "simpleenroll" => told(status, headers, "no"),
                _ => None,
            });
            let error = issue(&ca.issuer()).await.unwrap_err();
            let told = format!("{error:?} {}", error.operator_text());
            assert!(!told.contains(PASSWORD), "{told}");
        }
    }
}
