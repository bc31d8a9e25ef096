//! What a program may answer instead of a certificate, up to the gate.

use renewd_core::pem;

use super::super::super::gate::Gate;
use super::*;

#[tokio::test]
async fn whatever_the_program_answers_comes_to_the_gate_and_passes_it_only_if_it_is_right() {
    let gate = Gate::new(jiff::Timestamp::now());
    let world = World::new("cat \"$1/answer\"");
    fs::write(world.path("roots.pem"), pem::certificate(&gate.root())).unwrap();
    for given in gate.answers() {
        let chain = pem::certificates(&given.certificates);
        let anchors = pem::certificates(&given.certificates[1..]);
        // An anchor that it names itself is none.
        for answer in [
            chain.clone(),
            serde_json::json!({"chain": chain, "anchors": anchors}).to_string(),
        ] {
            fs::write(world.path("answer"), answer).unwrap();
            gate.tries(&given, &world.issuer(), &given.comes).await;
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_or_sense_counts_as_an_issuance() {
    for program in ["yes", "echo nonsense"] {
        let world = World::new(program);
        let error = world.issue().await.unwrap_err();
        assert_eq!(error.sent(), Sent::Spent, "{}", error.operator_text());
    }
}
