//! What is asked for and what comes of it: names, chains, roots, revocation.

use super::*;

#[tokio::test]
async fn the_names_are_told_beside_the_request_and_the_common_name_is_none_of_them() {
    let long = format!("{}.{}.test", "a".repeat(40), "b".repeat(40));
    for (names, common, dns, ip, uri) in [
        (
            &["a.test", "10.0.0.1", "spiffe://test/a", "*.b.test"][..],
            Some("a.test"),
            "a.test,*.b.test",
            "10.0.0.1",
            "spiffe://test/a",
        ),
        // One that is too long for it stays a name.
        (
            &[&long, "b.test"],
            Some("b.test"),
            &*format!("{long},b.test"),
            "",
            "",
        ),
        (
            &["spiffe://test/a", "::1"],
            None,
            "",
            "::1",
            "spiffe://test/a",
        ),
    ] {
        let vault = Vault::new(|_, _| None);
        let answer = issue_for(&vault.issuer(), names).await.unwrap();
        assert_eq!(answer.chain.len(), 2);
        let sent = vault.sent(SIGN);
        assert_eq!(sent["common_name"].as_str(), common);
        assert_eq!(sent["exclude_cn_from_sans"], true);
        assert_eq!(
            [&sent["alt_names"], &sent["ip_sans"], &sent["uri_sans"]],
            [dns, ip, uri]
        );
        assert_eq!(sent["ttl"], "3600s");
        let csr = sent["csr"].as_str().unwrap();
        assert!(csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
        let asked = vault.asked.lock().unwrap().join("\n");
        assert!(!asked.contains("PRIVATE KEY"), "{asked}");
        assert_eq!(
            asked.matches("x-vault-namespace: team/a\r\n").count(),
            asked.matches("/v1/").count()
        );
    }
    // Another issuer of the mount than the role's.
    let vault = Vault::new(|_, _| None);
    let issuer = vault.issuer_of(VaultSettings {
        issuer_ref: Some("next".into()),
        ..vault.settings()
    });
    issue(&issuer).await.unwrap();
    assert_eq!(vault.count("pki/int/issuer/next/sign/host"), 1);
}

#[tokio::test]
async fn an_answer_that_is_none_counts_as_an_issuance() {
    let chain = Ca::new().root.pem();
    for body in [
        "{}".to_owned(),
        r#"{"data":null}"#.to_owned(),
        r#"{"data":{"certificate":""}}"#.to_owned(),
        r#"{"data":{"certificate":"-----BEGIN CERTIFICATE-----\n!"}}"#.to_owned(),
        data(serde_json::json!({"certificate": format!("{chain}{chain}")})),
        "{\"data\":".to_owned(),
    ] {
        let vault = Vault::new(move |path, _| (path == SIGN).then(|| (OK, "", JSON, body.clone())));
        let error = issue(&vault.issuer()).await.unwrap_err();
        assert_eq!(
            (error.sent(), error.retry()),
            (Sent::Spent, Retry::BackOff),
            "{error}"
        );
    }
    // A root that issues has no chain, and is named alone.
    let chain = Ca::new();
    let body =
        data(serde_json::json!({"certificate": chain.leaf(), "issuing_ca": chain.issuing.pem()}));
    let vault = Vault::new(move |path, _| (path == SIGN).then(|| (OK, "", JSON, body.clone())));
    assert_eq!(issue(&vault.issuer()).await.unwrap().chain.len(), 1);
}

#[tokio::test]
async fn a_certificate_that_would_be_revoked_with_our_token_is_refused_and_counts() {
    let body = serde_json::json!({
        "lease_id": "pki/int/sign/host/1", "lease_duration": 3600,
        "data": {"certificate": Ca::new().leaf(), "ca_chain": Ca::new().chain()},
    });
    let leased =
        move |path: &str, _: &str| (path == SIGN).then(|| (OK, "", JSON, body.to_string()));
    let error = issue(&Vault::new(leased).issuer()).await.unwrap_err();
    assert_eq!(
        (error.sent(), error.retry()),
        (Sent::Spent, Retry::Operator)
    );
    let text = error.operator_text();
    assert!(
        text.ends_with("; set generate_lease=false in the role"),
        "{text}"
    );
    for lease in ["\"\"", "null"] {
        let body = format!(
            r#"{{"lease_id":{lease},"data":{{"certificate":{}}}}}"#,
            Value::from(Ca::new().leaf())
        );
        let free = move |path: &str, _: &str| (path == SIGN).then(|| (OK, "", JSON, body.clone()));
        issue(&Vault::new(free).issuer()).await.unwrap();
    }
}

#[tokio::test]
async fn the_roots_are_those_that_the_mount_shows_or_of_the_file_and_never_an_intermediate() {
    let vault = Vault::new(|_, _| None);
    let roots = vault.issuer().anchors().await.unwrap();
    assert_eq!(roots.len(), 1);
    let answer = issue(&vault.issuer()).await.unwrap();
    assert!(answer.chain.contains(&roots[0]));
    // Nobody needs to be known for it.
    let asked = vault.asked.lock().unwrap()[0].clone();
    assert!(
        asked.starts_with("GET /v1/pki/int/issuer/default/json "),
        "{asked}"
    );
    assert!(!asked.contains("x-vault-token"), "{asked}");

    let issuing = Ca::new().issuing.pem();
    for (body, part) in [
        (
            data(serde_json::json!({"ca_chain": [issuing]})),
            "shows no root",
        ),
        (data(serde_json::json!({"ca_chain": []})), "shows no root"),
        (
            data(serde_json::json!({"ca_chain": ["-----BEGIN CERTIFICATE-----\n!"]})),
            "cannot be used",
        ),
    ] {
        let vault = Vault::new(move |_, _| Some((OK, "", JSON, body.clone())));
        let error = vault.issuer().anchors().await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let vault = Vault::new(|_, _| Some(errors("503 Service Unavailable", "Vault is sealed")));
    let error = vault.issuer().anchors().await.unwrap_err();
    assert_eq!(error.retry(), Retry::BackOff, "{error}");
    // A file needs no server.
    let issuer = vault.issuer_of(VaultSettings {
        trust: Some(vault.server.ca()),
        ..vault.settings()
    });
    assert_eq!(issuer.anchors().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_leaf_is_revoked_by_itself_and_not_by_its_number() {
    let vault = Vault::new(|_, _| None);
    let leaf = pki::parsed([&Ca::new().leaf()]).unwrap().remove(0);
    let revocation = Revocation {
        leaf: &leaf,
        reason: Reason::Superseded,
        identity: None,
    };
    vault.issuer().revoke(revocation).await.unwrap();
    let sent = vault.sent("pki/int/revoke");
    assert_eq!(
        pki::parsed([&sent["certificate"].as_str().unwrap().to_owned()]).unwrap()[0],
        leaf
    );
    let vault = Vault::new(|path, _| {
        (path == "pki/int/revoke").then(|| errors("403 Forbidden", "permission denied"))
    });
    let error = vault.issuer().revoke(revocation).await.unwrap_err();
    assert!(
        error.operator_text().contains("path \"pki/int/revoke\""),
        "{error}"
    );
}
