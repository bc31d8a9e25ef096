//! What a CA may answer instead of a certificate, up to the gate.

use super::super::super::gate::Gate;
use super::*;

#[tokio::test]
async fn whatever_the_ca_answers_comes_to_the_gate_and_passes_it_only_if_it_is_right() {
    let gate = Gate::new(NOW);
    let roots = json!({ "crts": [pem::certificate(&gate.root())] }).to_string();
    let roots: &'static str = roots.leak();
    for given in gate.answers() {
        let all = given.certificates.iter().map(|der| pem::certificate(der));
        let all: Vec<String> = all.collect();
        let signed = json!({ "crt": all[0], "certChain": all }).to_string();
        let signed: &'static str = signed.leak();
        let ca = Ca::new(move |path| {
            let body = match path {
                "/1.0/sign" => signed,
                "/1.0/roots" => roots,
                _ => return None,
            };
            Some(("201 Created", "", "application/json", body))
        });
        gate.tries(&given, &ca.issuer(ca.settings()), &given.comes)
            .await;
    }
}

#[tokio::test]
async fn an_answer_without_end_counts_as_an_issuance() {
    let long: &'static str = "x".repeat(2 << 20).leak();
    let ca = Ca::new(move |path| {
        (path == "/1.0/sign").then_some(("201 Created", "", "application/json", long))
    });
    let error = order(&ca.issuer(ca.settings()), &request(&["a.test"]), None)
        .await
        .unwrap_err();
    assert_eq!(error.sent(), Sent::Spent, "{}", error.operator_text());
}
