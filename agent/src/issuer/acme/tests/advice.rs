//! Renewal information.

use super::*;

#[tokio::test]
async fn renewal_information_is_taken_as_it_is_told_or_not_at_all() {
    const WINDOW: &str = r#"{"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-03T00:00:00Z"},"explanationURL":"https://ca.test/why"}"#;
    let advice = async |told: Told| {
        let ca = Ca::new(move |path| path.starts_with("/ari/").then_some(told));
        let told = ca.issuer().advice(&leaf()).await;
        assert_eq!(ca.count("/account") + ca.count("/nonce"), 0);
        told
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (headers, again) in [
        ("", hours(6)),
        ("retry-after: 3600\r\n", hours(1)),
        ("retry-after: 1000000000\r\n", hours(7 * 24)),
    ] {
        let told = advice(("200 OK", headers, JSON, WINDOW))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(told.from, "2026-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(told.until, "2026-01-03T00:00:00Z".parse().unwrap());
        assert_eq!(told.explanation.as_deref(), Some("https://ca.test/why"));
        let off = told.again.abs_diff(again);
        assert!(off < Duration::from_secs(5), "{headers}: {:?}", told.again);
    }
    for (headers, retry) in [
        ("", Retry::BackOff),
        ("retry-after: 3600\r\n", Retry::After(hours(1))),
    ] {
        for (kind, body) in [(PROBLEM, "{\"type\":\"x\"}"), ("text/html", "<html>")] {
            let told = advice(("404 Not Found", headers, kind, body)).await;
            assert_eq!(told.unwrap_err().retry(), retry);
        }
    }
    assert!(advice(("200 OK", "", JSON, "{}")).await.is_err());
    for (address, shown) in [
        ("http://ca.test/why", true),
        ("HTTPS://ca.test/why", true),
        ("javascript:alert(1)", false),
        ("file:///etc/passwd", false),
        ("ca.test/why", false),
        ("https://ca.test/a b", false),
        ("https://ca.test/\\u001b[31m", false),
        ("https://ca.test/\\u202eyhw", false),
        (concat!("https://ca.test/", "LONG"), false),
    ] {
        let address = address.replace("LONG", &"y".repeat(200));
        let body = WINDOW.replace("https://ca.test/why", &address);
        let body: &'static str = body.leak();
        let told = advice(("200 OK", "", JSON, body)).await.unwrap().unwrap();
        assert_eq!(told.explanation.is_some(), shown, "{address}");
    }
    // A CA without it needs not be asked again.
    let ca = Ca::new(|path| {
        let directory =
            r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order"}"#;
        (path == "/directory").then_some(("200 OK", "", JSON, directory))
    });
    assert!(ca.issuer().advice(&leaf()).await.unwrap().is_none());
}
