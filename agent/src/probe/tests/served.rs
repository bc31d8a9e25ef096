//! Servers that are right, however unusual.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};

use super::pki::Pki;
use super::server::{self, BOTH, RsaFirst, TLS12, TLS13, demanding, serving};
use super::{assert_served, once, patient, probe};
use crate::probe::{Limits, Probe, ProbeTarget, TlsProbe};

#[tokio::test]
async fn a_server_with_the_published_leaf_is_served_by_three_full_handshakes() {
    let pki = Pki::new();
    let published = pki.identity();
    let (target, log) = server::start(serving(published.certified())).await;
    let expected = pki.expect(&published);
    let report = probe(&target, &expected, once()).await;
    assert_served(&report, &expected);
    assert_eq!(report.detail, format!("3 handshakes on {target}"));
    assert_eq!(log.accepted(), 3);
    assert_eq!(log.resumed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_key_type_is_served_in_both_versions_of_tls() {
    let pki = Pki::new();
    for algorithm in [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
        &PKCS_RSA_SHA256,
    ] {
        let published = pki.identity_of(&["api.test"], algorithm);
        let expected = pki.expect(&published);
        for versions in [TLS12, TLS13] {
            let resolver = server::fixed(published.certified());
            let (target, _) = server::start(server::config(versions, resolver, None)).await;
            assert_served(&probe(&target, &expected, once()).await, &expected);
        }
    }
}

#[tokio::test]
async fn of_a_server_with_rsa_and_ecdsa_the_published_one_is_seen() {
    let pki = Pki::new();
    let rsa = pki.identity_of(&["api.test"], &PKCS_RSA_SHA256);
    let ecdsa = pki.identity();
    for versions in [TLS12, TLS13] {
        let resolver = Arc::new(RsaFirst {
            rsa: rsa.certified(),
            ecdsa: ecdsa.certified(),
        });
        let (target, _) = server::start(server::config(versions, resolver, None)).await;
        for published in [&ecdsa, &rsa] {
            let expected = pki.expect(published);
            assert_served(&probe(&target, &expected, once()).await, &expected);
        }
    }
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_is_served_without_one() {
    let pki = Pki::new();
    let published = pki.identity();
    let expected = pki.expect(&published);
    for versions in [TLS12, TLS13] {
        let config = demanding(versions, published.certified(), &pki.root);
        let (target, _) = server::start(config).await;
        assert_served(&probe(&target, &expected, once()).await, &expected);
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_accepted_is_served() {
    let pki = Pki::new();
    let published = pki.identity();
    let expected = pki.expect(&published);
    for versions in [TLS12, TLS13] {
        let config = demanding(versions, published.certified(), &pki.root);
        let (target, log) = server::start(config).await;
        let limits = Limits {
            client: Some(pki.identity().certified()),
            ..once()
        };
        assert_served(&probe(&target, &expected, limits).await, &expected);
        // Without a certificate, no handshake comes to its end on the server's side.
        assert_eq!(log.names.lock().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_server_on_a_unix_socket_is_served() {
    let pki = Pki::new();
    let published = pki.identity();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    server::start_unix(&path, serving(published.certified()));
    let expected = pki.expect(&published);
    for scheme in ["unix", "tls+unix"] {
        let target: ProbeTarget = format!("{scheme}:{}", path.display()).parse().unwrap();
        assert_served(&probe(&target, &expected, once()).await, &expected);
    }
}

#[tokio::test]
async fn a_server_that_takes_the_new_leaf_up_late_is_served_by_a_whole_new_run() {
    let pki = Pki::new();
    let old = serving(pki.identity().certified());
    let published = pki.identity();
    let new = serving(published.certified());
    // Two runs of three with an old leaf in each, and then the run that counts.
    let stale = [0, 1, 4];
    let choose = move |number| {
        if stale.contains(&number) {
            old.clone()
        } else {
            new.clone()
        }
    };
    let (target, log) = server::start_with(choose).await;
    let expected = pki.expect(&published);
    assert_served(&probe(&target, &expected, patient()).await, &expected);
    assert_eq!(log.accepted(), 9);
}

#[tokio::test]
async fn a_server_that_listens_late_is_served() {
    let pki = Pki::new();
    let published = pki.identity();
    let expected = pki.expect(&published);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("late.sock");
    let target: ProbeTarget = format!("unix:{}", path.display()).parse().unwrap();
    let late = async {
        // The probe runs first, for as long as it does not wait.
        tokio::task::yield_now().await;
        server::start_unix(&path, serving(published.certified()));
    };
    let (report, ()) = tokio::join!(probe(&target, &expected, patient()), late);
    assert_served(&report, &expected);
}

#[tokio::test]
async fn the_leafs_first_dns_name_is_asked_for_unless_the_target_names_another() {
    let pki = Pki::new();
    let names = ["b.test", "a.test", "spiffe://test/api"];
    let published = pki.identity_of(&names, &PKCS_ECDSA_P256_SHA256);
    let (target, log) = server::start(serving(published.certified())).await;
    let expected = pki.expect(&published);
    for (query, asked) in [
        ("", Some("a.test")),
        ("?name=other.test", Some("other.test")),
        ("?name=127.0.0.1", None),
    ] {
        let target: ProbeTarget = format!("{target}{query}").parse().unwrap();
        assert_served(&probe(&target, &expected, once()).await, &expected);
        let asked = asked.map(ToOwned::to_owned);
        assert_eq!(
            std::mem::take(&mut *log.names.lock().unwrap()),
            vec![asked; 3]
        );
    }
}

#[tokio::test]
async fn a_leaf_without_any_dns_name_is_served() {
    let pki = Pki::new();
    let published = pki.identity_of(&["spiffe://test/api"], &PKCS_ECDSA_P256_SHA256);
    let (target, _) = server::start(serving(published.certified())).await;
    let expected = pki.expect(&published);
    assert_served(&probe(&target, &expected, once()).await, &expected);
}

#[tokio::test]
async fn all_addresses_are_probed() {
    let pki = Pki::new();
    let published = pki.identity();
    let config = serving(published.certified());
    let (first, first_log) = server::start(config.clone()).await;
    let (second, second_log) = server::start(server::config(
        BOTH,
        server::fixed(published.certified()),
        None,
    ))
    .await;
    let expected = pki.expect(&published);
    let report = TlsProbe.probe(&[first, second], &expected, once()).await;
    assert_served(&report, &expected);
    assert_eq!((first_log.accepted(), second_log.accepted()), (3, 3));
}

#[tokio::test]
async fn handshakes_that_are_right_are_spread_over_a_moment() {
    let pki = Pki::new();
    let published = pki.identity();
    let (target, _) = server::start(serving(published.certified())).await;
    let limits = Limits {
        apart: std::time::Duration::from_millis(20),
        ..once()
    };
    let begun = std::time::Instant::now();
    let expected = pki.expect(&published);
    assert_served(&probe(&target, &expected, limits).await, &expected);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(40));
}
