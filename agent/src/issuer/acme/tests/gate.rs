//! What a CA may answer instead of a certificate, up to the gate.

use renewd_core::pem;

use super::super::super::gate::Gate;
use super::orders::signing;

#[tokio::test]
async fn whatever_the_ca_answers_comes_to_the_gate_and_passes_it_only_if_it_is_right() {
    let gate = Gate::new(jiff::Timestamp::now());
    for given in gate.answers() {
        let chain: &'static str = pem::certificates(&given.certificates).leak();
        let ca = signing(move || ("200 OK", "", "application/pem-certificate-chain", chain));
        let trusted = ca.server.directory.path().join("ca.pem");
        let own = std::fs::read_to_string(&trusted).unwrap();
        std::fs::write(&trusted, own + &pem::certificates(&[gate.root()])).unwrap();
        gate.tries(&given, &ca.issuer(), &given.comes).await;
    }
}
