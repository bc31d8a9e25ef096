//! The CA's revocation list.

use super::*;

fn issuer(ca: &Ca, files: &[PathBuf]) -> StepIssuer {
    ca.issuer(StepSettings {
        crl: CrlSources {
            issuer: true,
            files: files.to_vec(),
            ..CrlSources::default()
        },
        ..ca.settings()
    })
}

#[tokio::test]
async fn the_list_of_the_ca_comes_beside_that_of_its_offline_root() {
    let ca = Ca::new(|path| {
        (path == "/1.0/crl").then_some(("200 OK", "", "application/pkix-crl", "0\u{1}ca"))
    });
    assert!(ca.issuer(ca.settings()).crls().await.is_none());
    ca.put("root-crl.der", "0\u{0}");
    let file = ca.directory.path().join("root-crl.der");
    let crls = issuer(&ca, &[file]).crls().await.unwrap();
    let lists: Vec<_> = crls.lists.iter().map(|list| list.to_vec()).collect();
    assert_eq!(lists, [b"0\0".to_vec(), b"0\x01ca".to_vec()]);
    assert!(crls.failed.is_empty(), "{crls:?}");
}

#[tokio::test]
async fn a_ca_that_has_none_is_told_with_what_it_says() {
    let cases: &[(Told, &str)] = &[
        (
            (
                "404 Not Found",
                "",
                "application/json",
                r#"{"message":"no CRL available"}"#,
            ),
            "no CRL available",
        ),
        (("200 OK", "", "application/pkix-crl", ""), "it is none"),
        (
            ("502 Bad Gateway", "", "text/html", "<html>"),
            "a page of HTML",
        ),
    ];
    for (told, why) in cases {
        let told = *told;
        let ca = Ca::new(move |path| (path == "/1.0/crl").then_some(told));
        let crls = issuer(&ca, &[]).crls().await.unwrap();
        let text = crls.failed[0].operator_text();
        assert!(crls.lists.is_empty() && text.contains(why), "{text}");
    }
}
