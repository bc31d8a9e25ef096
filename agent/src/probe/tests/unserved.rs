//! Servers that are wrong, each with its own reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use renewd_core::proof::Reason;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pki::{Pki, certified, far_future};
use super::server::{self, TLS12, TLS13, demanding, serving};
use super::{assert_failed, assert_served, once, patient, probe};
use crate::probe::{Expected, Limits, Probe, ProbeTarget, TlsProbe};

#[tokio::test]
async fn the_old_leaf_is_a_wrong_leaf_with_its_serial() {
    let pki = Pki::new();
    let (old, published) = (pki.identity(), pki.identity());
    let (target, _) = server::start(serving(old.certified())).await;
    let (old, expected) = (pki.expect(&old), pki.expect(&published));
    let report = probe(&target, &expected, once()).await;
    let words = format!(
        "{target}: 3 of 3 handshakes showed serial {}, expected {} (renewed on disk, stale in memory?)",
        old.leaf.serial, expected.leaf.serial
    );
    assert_failed(&report, Reason::WrongLeaf, &words);
    assert_eq!(report.seen.unwrap().serial, old.leaf.serial);
}

#[tokio::test]
async fn an_old_leaf_of_another_key_type_is_a_wrong_leaf_too() {
    let pki = Pki::new();
    let old = pki.identity_of(&["api.test"], &PKCS_RSA_SHA256);
    let (target, _) = server::start(serving(old.certified())).await;
    let report = probe(&target, &pki.expect(&pki.identity()), once()).await;
    assert_failed(&report, Reason::WrongLeaf, "stale in memory");
}

#[tokio::test]
async fn another_servers_leaf_is_a_wrong_leaf_with_its_names() {
    let pki = Pki::new();
    let other = pki.identity_of(&["other.test"], &PKCS_ECDSA_P256_SHA256);
    let (target, _) = server::start(serving(other.certified())).await;
    let report = probe(&target, &pki.expect(&pki.identity()), once()).await;
    assert_failed(&report, Reason::WrongLeaf, "\"other.test\"");
    assert!(
        report.detail.contains("asked for \"api.test\""),
        "{}",
        report.detail
    );
}

#[tokio::test]
async fn the_new_leaf_with_the_old_key_is_a_wrong_key() {
    let pki = Pki::new();
    let (old, published) = (pki.identity(), pki.identity());
    let chain = vec![published.leaf.clone(), published.intermediate.clone()];
    let mixed = certified(chain, &old.key);
    let expected = pki.expect(&published);
    for versions in [TLS12, TLS13] {
        let config = server::config(versions, server::fixed(mixed.clone()), None);
        let (target, _) = server::start(config).await;
        let report = probe(&target, &expected, once()).await;
        assert_failed(&report, Reason::WrongKey, "do not belong together");
        assert_eq!(report.seen.unwrap().serial, expected.leaf.serial);
    }
}

#[tokio::test]
async fn a_missing_intermediate_is_a_chain_failure() {
    let pki = Pki::new();
    let published = pki.identity();
    let bare = certified(vec![published.leaf.clone()], &published.key);
    let (target, _) = server::start(serving(bare)).await;
    let report = probe(&target, &pki.expect(&published), once()).await;
    assert_failed(&report, Reason::Chain, "needs fullchain.pem, not cert.pem");
}

#[tokio::test]
async fn a_chain_to_another_root_or_past_its_time_is_a_chain_failure() {
    let pki = Pki::new();
    let published = pki.identity();
    let (target, _) = server::start(serving(published.certified())).await;
    let expected = |anchors: Vec<CertificateDer<'static>>| Expected {
        anchors,
        ..pki.expect(&published)
    };
    let stranger = expected(vec![Pki::new().root]);
    let report = probe(&target, &stranger, once()).await;
    assert_failed(&report, Reason::Chain, "another key than the trusted one");

    let report = probe(&target, &expected(Vec::new()), once()).await;
    assert_failed(
        &report,
        Reason::Chain,
        "no trusted root to verify the chain with",
    );

    let late = Expected {
        now: far_future(),
        ..pki.expect(&published)
    };
    let report = probe(&target, &late, once()).await;
    assert_failed(&report, Reason::Chain, "has expired");

    let unrelated = vec![published.leaf.clone(), pki.identity().leaf];
    let config = serving(certified(unrelated, &published.key));
    let (target, _) = server::start(config).await;
    let report = probe(&target, &pki.expect(&published), once()).await;
    assert_failed(
        &report,
        Reason::Chain,
        "(intermediates: 1) leads to no trusted root",
    );
}

#[tokio::test]
async fn one_stale_process_of_four_is_found_when_the_kernel_spreads_the_handshakes() {
    let pki = Pki::new();
    let (old, published) = (pki.identity(), pki.identity());
    let expected = pki.expect(&published);
    // A run that misses the stale one has a chance of 0.75^100, about 10^-13.
    let many = Limits {
        handshakes: 100,
        ..once()
    };
    for stale in [1, 0] {
        let (listeners, target) = server::listen_many(4);
        for (number, listener) in listeners.into_iter().enumerate() {
            let config = serving(if number < stale { &old } else { &published }.certified());
            let log = Arc::default();
            let choose = move |_| config.clone();
            tokio::spawn(server::accept(listener, log, choose, |stream| async {
                stream
            }));
        }
        let report = probe(&target, &expected, many.clone()).await;
        if stale == 0 {
            assert_served(&report, &expected);
        } else {
            assert_failed(
                &report,
                Reason::WrongLeaf,
                "of 100 handshakes showed serial",
            );
            assert!(!report.detail.contains(" 100 of 100 "), "{}", report.detail);
        }
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout() {
    let pki = Pki::new();
    let expected = pki.expect(&pki.identity());
    // The kernel accepts into the backlog; nobody ever reads.
    let (_listener, target) = server::listen().await;
    let limits = Limits {
        handshake_timeout: Duration::from_millis(100),
        ..once()
    };
    let report = probe(&target, &expected, limits).await;
    assert_failed(
        &report,
        Reason::Timeout,
        "connected, but no answer to the handshake",
    );

    // And when the deadline comes before the handshake's own limit.
    let limits = Limits {
        deadline: Duration::from_millis(100),
        ..once()
    };
    assert_failed(
        &probe(&target, &expected, limits).await,
        Reason::Timeout,
        "",
    );
}

#[tokio::test]
async fn a_handshake_that_the_deadline_cuts_short_does_not_hide_a_stale_leaf() {
    let pki = Pki::new();
    let old = serving(pki.identity().certified());
    let (listener, target) = server::listen().await;
    // One run of old leaves; whoever comes then is left waiting.
    let connections = AtomicUsize::new(0);
    let prelude = move |stream| {
        let number = connections.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0..3 => stream,
                _ => std::future::pending().await,
            }
        }
    };
    tokio::spawn(server::accept(
        listener,
        Arc::default(),
        move |_| old.clone(),
        prelude,
    ));
    let limits = Limits {
        deadline: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(30),
        ..patient()
    };
    let report = probe(&target, &pki.expect(&pki.identity()), limits).await;
    assert_failed(&report, Reason::WrongLeaf, "3 of 3 handshakes");
}

#[tokio::test]
async fn a_server_that_talks_something_else_is_a_handshake_failure_that_says_what() {
    let pki = Pki::new();
    let expected = pki.expect(&pki.identity());
    for (answer, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "answered with plain HTTP",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "(an SSH server)"),
        (
            b"220 mx ESMTP\r\n",
            "\"220 mx ESMTP\\r\\n\" (is it smtp://?)",
        ),
        (b"\x00\x1b[2Jhello", "not TLS: \"\\x00\\x1b[2Jhello\""),
        (
            b"",
            "no answer to the handshake: the server closed the connection",
        ),
    ] {
        let (listener, target) = server::listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 8192]).await.unwrap() > 0);
            stream.write_all(answer).await.unwrap();
        });
        assert_failed(
            &probe(&target, &expected, once()).await,
            Reason::Handshake,
            words,
        );
    }
}

#[tokio::test]
async fn where_nobody_listens_is_refused() {
    let pki = Pki::new();
    let expected = pki.expect(&pki.identity());
    let (listener, target) = server::listen().await;
    drop(listener);
    let report = probe(&target, &expected, once()).await;
    assert_failed(
        &report,
        Reason::Refused,
        "connection refused: nobody listens",
    );

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.sock");
    let target: ProbeTarget = format!("unix:{}", path.display()).parse().unwrap();
    let report = probe(&target, &expected, once()).await;
    assert_failed(&report, Reason::Refused, "there is no such socket");
}

#[tokio::test]
async fn a_client_certificate_of_another_ca_is_a_client_refused() {
    let pki = Pki::new();
    let published = pki.identity();
    let expected = pki.expect(&published);
    for versions in [TLS12, TLS13] {
        let config = demanding(versions, published.certified(), &pki.root);
        let (target, _) = server::start(config).await;
        let limits = Limits {
            client: Some(Pki::new().identity().certified()),
            ..once()
        };
        let report = probe(&target, &expected, limits).await;
        assert_failed(
            &report,
            Reason::ClientRefused,
            "refused our client certificate",
        );
    }
}

#[tokio::test]
async fn one_bad_address_fails_the_dependent_and_is_named() {
    let pki = Pki::new();
    let published = pki.identity();
    let (good, _) = server::start(serving(published.certified())).await;
    let (stale, _) = server::start(serving(pki.identity().certified())).await;
    let expected = pki.expect(&published);
    let targets = [good.clone(), stale.clone()];
    let report = TlsProbe.probe(&targets, &expected, once()).await;
    assert_failed(&report, Reason::WrongLeaf, &stale.to_string());
    assert!(
        !report.detail.contains(&good.to_string()),
        "{}",
        report.detail
    );
}

#[tokio::test]
async fn a_probe_of_nothing_proves_nothing() {
    let pki = Pki::new();
    let report = TlsProbe
        .probe(&[], &pki.expect(&pki.identity()), once())
        .await;
    assert_failed(&report, Reason::Refused, "no address");
}
