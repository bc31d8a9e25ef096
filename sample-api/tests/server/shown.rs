//! What the server shows of itself: health, readiness, metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use renewd_sample_api::config::Config;
use renewd_sample_api::policy::Policy;

use crate::client::{Client, Http, plain};
use crate::site::{Running, Site, WEB};

/// Samples by their series, after a check of what OpenMetrics demands of the text.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("\n# EOF\n"));
    let (mut families, mut samples) = (BTreeSet::new(), BTreeMap::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} is not of {family}");
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(
                samples
                    .insert(series.to_owned(), value.parse().unwrap())
                    .is_none(),
                "{series} twice"
            );
        }
    }
    samples
}

#[tokio::test]
async fn the_metrics_are_openmetrics_and_say_what_happened() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    client.ask("/").await.unwrap();
    client.ask("/nowhere").await.unwrap();
    site.publish(2, &site.authority.server());
    running.serves(2).await;
    let (head, text) = plain(running.health, "/metrics").await;
    assert_eq!(
        head.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let samples = parsed(&text);
    let serial = running.keys.served().leaf.serial.clone();
    for (series, value) in [
        (
            format!("sample_api_certificate_info{{generation=\"2\",serial=\"{serial}\"}}"),
            1.0,
        ),
        ("sample_api_ready".to_owned(), 1.0),
        ("sample_api_policy_enforced".to_owned(), 0.0),
        (
            "sample_api_handshakes_total{result=\"full\"}".to_owned(),
            1.0,
        ),
        (
            "sample_api_handshakes_total{result=\"revoked\"}".to_owned(),
            0.0,
        ),
        (
            "sample_api_handshake_duration_seconds_count".to_owned(),
            1.0,
        ),
        ("sample_api_connections{state=\"open\"}".to_owned(), 1.0),
        ("sample_api_connections{state=\"draining\"}".to_owned(), 0.0),
        (
            "sample_api_drained_total{reason=\"revoked\"}".to_owned(),
            0.0,
        ),
        (
            "sample_api_requests_total{role=\"any\",code=\"200\"}".to_owned(),
            1.0,
        ),
        (
            "sample_api_requests_total{role=\"any\",code=\"404\"}".to_owned(),
            1.0,
        ),
        (
            "sample_api_request_duration_seconds_bucket{le=\"+Inf\"}".to_owned(),
            2.0,
        ),
        (
            "sample_api_reloads_total{part=\"certificate\",result=\"swapped\"}".to_owned(),
            1.0,
        ),
        ("sample_api_reload_refused".to_owned(), 0.0),
        ("sample_api_trust_changes_total".to_owned(), 0.0),
    ] {
        assert_eq!(samples.get(&series), Some(&value), "{series}\n{text}");
    }
    assert!(
        samples["sample_api_sent_bytes_total"] > 0.0
            && samples["sample_api_received_bytes_total"] > 0.0
    );
    assert!(samples["sample_api_certificate_not_after_seconds"] > 1.7e9);
}

#[tokio::test]
async fn every_metric_is_documented_and_no_other() {
    let site = Site::empty();
    let server = site.authority.server();
    site.publish_lists(1, &server, &site.authority.lists(&[]));
    let response = crate::staple::good(&site.authority, &server);
    fs::write(site.directory().join(".1/ocsp.der"), response).unwrap();
    let running = Running::start_from(&site, |config| {
        config.upstream = Some("http://127.0.0.1:1".parse().unwrap());
    })
    .await;
    let (_, text) = plain(running.health, "/metrics").await;
    let shown: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let document = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/sample-api.md"
    ))
    .unwrap();
    let documented: BTreeSet<&str> = document
        .split('`')
        .filter(|word| word.starts_with("sample_api_"))
        .map(|word| word.split('{').next().unwrap())
        .collect();
    assert_eq!(shown, documented);
}

#[test]
fn the_configuration_of_the_package_is_accepted_with_each_of_its_examples() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/renewd-sample-api/config.toml"
    );
    let text = fs::read_to_string(path).unwrap();
    let examples: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(examples, text);
    for text in [text, examples] {
        Config::parse(path.as_ref(), &text).unwrap();
    }
}

#[test]
fn the_policy_of_the_document_is_accepted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sample-api.md");
    let text = fs::read_to_string(path).unwrap();
    let policy = text
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let policy = policy.replace("5f3a…", &"5f".repeat(32));
    assert_eq!(
        Policy::parse(path.as_ref(), &policy)
            .unwrap()
            .names()
            .count(),
        2
    );
}

#[tokio::test]
async fn clients_cannot_make_new_series() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let mut client = Client::of(running.address, &site.authority, &[WEB], Http::Two).await;
    client.ask("/nowhere").await.unwrap();
    let count = async || parsed(&plain(running.health, "/metrics").await.1).len();
    let before = count().await;
    for number in 0..50 {
        client.ask(&format!("/nowhere/{number}")).await.unwrap();
    }
    for number in 0..5 {
        let name = format!("host{number}.example");
        let mut client = Client::of(running.address, &site.authority, &[&name], Http::One).await;
        client.ask("/nowhere").await.unwrap();
    }
    assert_eq!(count().await, before);
}
