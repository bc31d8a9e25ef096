//! Requests whose number the CA does not take (RFC 8555, section 6.5).

use renewd_core::pem;

use super::*;

const READY: &str = r#"{"status":"ready","authorizations":[],"finalize":"BASE/finalize"}"#;
const VALID: &str = r#"{"status":"valid","authorizations":[],"finalize":"BASE/finalize","certificate":"BASE/cert"}"#;
const DIRECTORY: &str = r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order","keyChange":"BASE/change","meta":{}}"#;
/// With another number than every other answer has.
const BAD_NONCE: Told = (
    "400 Bad Request",
    "replay-nonce: fresh\r\n",
    PROBLEM,
    r#"{"type":"urn:ietf:params:acme:error:badNonce","detail":"stale"}"#,
);

/// A CA that signs at once, and refuses the number of so many requests at this path.
fn refusing(refused: &'static str, times: usize) -> Ca {
    let chain: &'static str = pem::certificates(&[leaf()]).leak();
    let order = ("201 Created", "location: BASE/order/1\r\n", JSON);
    let asked = AtomicUsize::new(0);
    Ca::new(move |path| match path {
        path if path == refused && asked.fetch_add(1, Ordering::Relaxed) < times => Some(BAD_NONCE),
        "/directory" => Some(("200 OK", "", JSON, DIRECTORY)),
        "/order" => Some((order.0, order.1, order.2, READY)),
        "/finalize" | "/order/1" => Some((order.0, order.1, order.2, VALID)),
        "/cert" => Some(("200 OK", "", "application/pem-certificate-chain", chain)),
        "/change" => Some(("200 OK", "", JSON, "{}")),
        _ => None,
    })
}

#[tokio::test]
async fn a_request_whose_number_is_refused_is_sent_again_with_the_one_that_came_with_the_refusal() {
    for path in ["/account", "/order", "/finalize", "/cert"] {
        let ca = refusing(path, 1);
        issue(&ca.issuer()).await.unwrap();
        let nonces = ca.nonces.lock().unwrap();
        let nonces = nonces.iter().filter(|signed| signed.0 == path);
        let nonces: Vec<_> = nonces.map(|(_, nonce)| nonce.as_str()).collect();
        assert_eq!(nonces, ["n", "fresh"], "{path}");
    }
    let ca = refusing("/change", 1);
    issue(&ca.issuer()).await.unwrap();
    ca.issuer().rollover().await.unwrap();
    assert_eq!(ca.count("/change"), 2);
}

#[tokio::test]
async fn a_ca_that_takes_no_number_is_asked_a_few_times_and_again_at_the_next_try() {
    for path in ["/account", "/order", "/finalize", "/cert"] {
        let ca = refusing(path, usize::MAX);
        let error = ca.refused().await;
        assert!(error.to_string().contains("stale (badNonce)"), "{error}");
        assert_eq!(error.retry(), Retry::Now, "{path}");
        assert_eq!(ca.count(path), 3, "{path}");
    }
    let ca = refusing("/change", usize::MAX);
    issue(&ca.issuer()).await.unwrap();
    let error = ca.issuer().rollover().await.unwrap_err();
    assert!(error.to_string().contains("stale (badNonce)"), "{error}");
    assert_eq!(ca.count("/change"), 3);
}
