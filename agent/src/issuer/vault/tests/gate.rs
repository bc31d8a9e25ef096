//! What a server may answer instead of a certificate, up to the gate.

use renewd_core::pem;

use super::super::super::gate::Gate;
use super::*;

#[tokio::test]
async fn whatever_the_server_answers_comes_to_the_gate_and_passes_it_only_if_it_is_right() {
    let gate = Gate::new(jiff::Timestamp::now());
    for given in gate.answers() {
        let root = data(serde_json::json!({"ca_chain": [pem::certificates(&[gate.root()])]}));
        let all = given.certificates.iter().map(|der| pem::certificate(der));
        let all: Vec<String> = all.collect();
        let signed = data(serde_json::json!({"certificate": all[0], "ca_chain": all[1..]}));
        let vault = Vault::new(move |path, _| match path {
            SIGN => Some((OK, "", JSON, signed.clone())),
            "pki/int/issuer/default/json" => Some((OK, "", JSON, root.clone())),
            _ => None,
        });
        gate.tries(&given, &vault.issuer(), &given.comes).await;
    }
}

#[tokio::test]
async fn an_answer_without_end_counts_as_an_issuance() {
    let vault = Vault::new(|path, _| (path == SIGN).then(|| (OK, "", JSON, "x".repeat(2 << 20))));
    let error = issue(&vault.issuer()).await.unwrap_err();
    assert_eq!(error.sent(), Sent::Spent, "{}", error.operator_text());
}
