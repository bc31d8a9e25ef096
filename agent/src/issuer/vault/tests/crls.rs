//! Revocation lists: of the CA that signs, of others at the server, and from files.

use super::*;

const LIST: &str = "0\u{0}";
const PEM: &str = "application/pkix-crl";

#[tokio::test]
async fn lists_come_of_each_place_that_is_named_and_one_that_fails_hides_no_other() {
    let vault = Vault::new(|path, _| match path {
        "pki/int/issuer/default/crl/der" => Some((OK, "", PEM, LIST.into())),
        "pki/int/issuer/two/crl/der" => Some((OK, "", PEM, "0\u{1}two".into())),
        "pki/issuer/default/crl/der" => Some((
            "503 Service Unavailable",
            "",
            JSON,
            r#"{"errors":["Vault is sealed"]}"#.into(),
        )),
        _ => None,
    });
    let none = vault.issuer().crls().await;
    assert!(none.is_none());
    let file = vault.directory.path().join("root-crl.pem");
    let with = |issuer_ref: Option<&str>, others: &[&str], files: &[&PathBuf]| {
        vault.issuer_of(VaultSettings {
            issuer_ref: issuer_ref.map(Into::into),
            crl: CrlSources {
                issuer: true,
                others: others.iter().map(ToString::to_string).collect(),
                files: files.iter().map(|file| (*file).clone()).collect(),
            },
            ..vault.settings()
        })
    };
    let one = with(None, &[], &[]).crls().await.unwrap();
    assert_eq!(
        (&*one.lists[0], one.lists.len(), one.failed.len()),
        (LIST.as_bytes(), 1, 0)
    );
    let two = with(Some("two"), &["pki/issuer/default"], &[&file])
        .crls()
        .await
        .unwrap();
    assert_eq!(
        (&*two.lists[0], two.lists.len()),
        ("0\u{1}two".as_bytes(), 1)
    );
    let failed: Vec<_> = two.failed.iter().map(IssueError::operator_text).collect();
    assert!(
        failed[0].contains("root-crl.pem") && failed[0].contains("No such file"),
        "{failed:?}"
    );
    assert!(failed[1].contains("sealed"), "{failed:?}");
    std::fs::write(&file, "0\u{2}").unwrap();
    let three = with(None, &["pki/int/issuer/two"], &[&file])
        .crls()
        .await
        .unwrap();
    assert_eq!((three.lists.len(), three.failed.len()), (3, 0));
    // They are shown to anybody: nobody logs in for them.
    assert_eq!(vault.count(LOGIN), 0);
}

#[tokio::test]
async fn what_is_no_list_is_told_as_such() {
    let cases: &[(Told, &str)] = &[
        (
            (OK, "", JSON, r#"{"data":{}}"#.into()),
            "no revocation list",
        ),
        (
            ("204 No Content", "", PEM, String::new()),
            "no revocation list",
        ),
        (
            ("200 OK", "", "text/html", "<html>".into()),
            "no revocation list",
        ),
        (
            errors("404 Not Found", "no handler for route"),
            "no handler for route",
        ),
        (
            (OK, "", PEM, "0".repeat(2 * 1024 * 1024)),
            "longer than 1572864 bytes",
        ),
        (
            (
                "302 Found",
                "location: https://elsewhere.test/\r\n",
                PEM,
                String::new(),
            ),
            "elsewhere.test",
        ),
    ];
    for (told, why) in cases {
        let told = told.clone();
        let vault = Vault::new(move |_, _| Some(told.clone()));
        let issuer = vault.issuer_of(VaultSettings {
            crl: CrlSources {
                issuer: true,
                ..CrlSources::default()
            },
            ..vault.settings()
        });
        let crls = issuer.crls().await.unwrap();
        let [error] = &crls.failed[..] else {
            panic!("{why}: {crls:?}");
        };
        assert!(
            error.operator_text().contains(why),
            "{}",
            error.operator_text()
        );
    }
}
