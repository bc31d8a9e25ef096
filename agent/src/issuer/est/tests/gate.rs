//! What a CA may answer instead of a certificate, up to the gate.

use super::super::super::gate::{Comes, Gate};
use super::*;

#[tokio::test]
async fn whatever_the_ca_answers_comes_to_the_gate_and_passes_it_only_if_it_is_right() {
    let gate = Gate::new(jiff::Timestamp::now());
    let roots = body::encode(&pkcs7(&[gate.root()]));
    for given in gate.answers() {
        let (roots, signed) = (roots.clone(), body::encode(&pkcs7(&given.certificates)));
        let ca = Ca::new(move |operation| match operation {
            "cacerts" => told("200 OK", "", roots.clone()),
            "simpleenroll" => told("200 OK", "", signed.clone()),
            _ => None,
        });
        // It is a bag, from which what belongs to our key is taken.
        let own;
        let comes = match given.what {
            "for another key" => &Comes::NotBrought("for the key that was asked for"),
            "with too many others" => {
                own = Comes::Accepted(vec![given.certificates[1].clone()]);
                &own
            }
            _ => &given.comes,
        };
        gate.tries(&given, &ca.issuer(), comes).await;
    }
}
