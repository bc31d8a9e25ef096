//! The load client against a server whose every misbehaviour is planted.

use std::time::{Duration, Instant};

use super::*;

mod server;

use server::{Misbehaviour, Server};

const SOON: Duration = Duration::from_secs(15);

fn plan(server: &Server) -> Plan {
    Plan {
        url: format!("https://127.0.0.1:{}/", server.port())
            .parse()
            .expect("a URL"),
        files: server.client_files(),
        connections: 10,
        streams: 2,
        rate: 500,
        stream_seconds: 1,
        handshake_every: Duration::from_millis(10),
        ends: Ends::AreLosses,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_server_loses_nothing_and_every_connection_is_answered() {
    let server = Server::start().await;
    let load = Load::start(&plan(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    {
        let tally = load.tally();
        let _window = tally.rotating();
        let until = tally.requests() + 200;
        assert!(
            tally.until(SOON, || tally.requests() > until).await,
            "requests go on"
        );
    }
    let tally = load.tally();
    let until = tally.requests() + 200;
    assert!(
        tally.until(SOON, || tally.requests() > until).await,
        "requests go on"
    );
    let report = load.stop().await;
    assert_eq!(
        (report.failed_requests, report.dropped_connections),
        (0, 0),
        "{:?}",
        report.faults
    );
    assert!(report.min_requests_per_connection >= 1, "{report:?}");
    assert!(report.streams >= 2 && report.handshakes > 0, "{report:?}");
    assert!(
        report.p99_ms_steady.is_some() && report.p99_ms_rotating.is_some(),
        "{report:?}"
    );
    assert_eq!(report.distinct_leaves_seen, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leaf_is_seen_by_fresh_handshakes_and_cuts_no_connection() {
    let server = Server::start().await;
    let load = Load::start(&plan(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    let old = load
        .fresh_leaf(Instant::now(), SOON)
        .await
        .expect("a handshake");
    assert_eq!(old.serial, "1");
    server.serve_leaf(0xab);
    let new = load
        .fresh_leaf(Instant::now(), SOON)
        .await
        .expect("a handshake");
    assert_eq!(new.serial, "ab");
    assert!(new.first_seen > old.first_seen);
    let report = load.stop().await;
    assert_eq!(report.distinct_leaves_seen, 2);
    assert_eq!((report.failed_requests, report.dropped_connections), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ends_are_dropped_ones() {
    let server = Server::start().await;
    let load = Load::start(&plan(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    server.end_connections();
    let tally = load.tally();
    let all_noticed = tally
        .until(SOON, || tally.report().dropped_connections >= 10)
        .await;
    assert!(all_noticed, "{:?}", tally.report());
    assert!(!tally.unharmed());
    // The load goes on with new connections.
    let until = tally.requests() + 100;
    assert!(
        tally.until(SOON, || tally.requests() > until).await,
        "requests go on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_in_good_order_are_no_losses_where_they_may_be() {
    let server = Server::start().await;
    let load = Load::start(&forgiving(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    let tally = load.tally();
    for _ in 0..5 {
        let before = tally.report().ended_connections;
        server.end_connections_in_good_order();
        let answered = tally.requests();
        let all =
            || tally.report().ended_connections >= before + 10 && tally.requests() > answered + 200;
        assert!(tally.until(SOON, all).await, "{:?}", tally.report());
    }
    let report = load.stop().await;
    assert_eq!(
        (report.failed_requests, report.dropped_connections),
        (0, 0),
        "{report:?}"
    );
    assert!(report.requests_asked_again <= report.ended_connections);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_a_loss_even_where_connections_may_end() {
    let server = Server::start().await;
    let load = Load::start(&forgiving(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    server.end_connections();
    let tally = load.tally();
    // Some may have been writing at that moment, and cannot tell.
    let noticed = || tally.report().lost_connections >= 5;
    assert!(tally.until(SOON, noticed).await, "{:?}", tally.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_left_unserved_twice_is_lost() {
    let server = Server::start().await;
    let load = Load::start(&forgiving(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    server.misbehave(Misbehaviour::Leaves);
    server.end_connections_in_good_order();
    let tally = load.tally();
    let lost = || {
        let report = tally.report();
        report.requests_asked_again > 0 && report.failed_requests > 0
    };
    assert!(tally.until(SOON, lost).await, "{:?}", tally.report());
}

fn forgiving(server: &Server) -> Plan {
    Plan {
        ends: Ends::InGoodOrder,
        // This server does not wait for the first request of a connection, as a good one does.
        handshake_every: Duration::from_secs(3600),
        ..plan(server)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_open_until_the_server_ends_it() {
    let server = Server::start().await;
    let url = plan(&server).url;
    let gathered = Crowd::gather(&url, server.client_files(), 200).await;
    let mut crowd = gathered
        .map_err(|error| error.to_string())
        .expect("a crowd");
    server.serve_leaf(2);
    assert_eq!(crowd.ask_all().await, 200);
    server.end_connections();
    assert!(crowd.ask_all().await < 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_200_is_a_failed_request() {
    faulty(Misbehaviour::Refuses, "status 500").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_a_failed_request() {
    faulty(Misbehaviour::BreaksOff, "answer").await;
}

async fn faulty(misbehaviour: Misbehaviour, expected: &str) {
    let server = Server::start().await;
    let load = Load::start(&plan(&server)).expect("start");
    load.ready(SOON).await.expect("ready");
    server.misbehave(misbehaviour);
    let tally = load.tally();
    let noticed = || {
        tally
            .report()
            .faults
            .keys()
            .any(|fault| fault.contains(expected))
    };
    assert!(tally.until(SOON, noticed).await, "{:?}", tally.report());
    assert!(tally.report().failed_requests > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_authority_is_never_talked_to() {
    let (server, other) = (Server::start().await, Server::start().await);
    let mut plan = plan(&server);
    plan.files.ca = other.client_files().ca;
    let load = Load::start(&plan).expect("start");
    let tally = load.tally();
    let noticed = tally
        .until(SOON, || tally.report().failed_requests > 10)
        .await;
    assert!(noticed, "{:?}", tally.report());
    let report = load.stop().await;
    assert_eq!((report.requests, report.handshakes), (0, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_server_refuses_is_told_of_even_in_tls_1_3() {
    let (server, other) = (Server::start().await, Server::start().await);
    let mut plan = plan(&server);
    plan.files = Files {
        ca: plan.files.ca,
        ..other.client_files()
    };
    let load = Load::start(&plan).expect("start");
    let tally = load.tally();
    let noticed = tally
        .until(SOON, || tally.report().failed_handshakes > 0)
        .await;
    assert!(noticed, "{:?}", tally.report());
    let error = load
        .ready(Duration::ZERO)
        .await
        .expect_err("nothing was answered");
    assert!(error.to_string().contains("only 0 of 10"), "{error}");
    assert_eq!(load.stop().await.requests, 0);
}

#[test]
fn a_pair_of_two_generations_is_no_identity() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (one, other) = runtime
        .expect("a runtime")
        .block_on(async { (Server::start().await, Server::start().await) });
    let mut plan = plan(&one);
    plan.files.key = other.client_files().key;
    let error = Load::start(&plan).expect_err("the pair is mixed");
    assert!(
        matches!(error, LoadError::Identity(IdentityError::Pair { .. })),
        "{error:?}"
    );
}

#[test]
fn a_late_request_counts_from_when_it_was_due() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let due = Instant::now()
        .checked_sub(Duration::from_secs(3))
        .expect("an instant");
    let began = runtime.expect("a runtime").block_on(busy::reached(due));
    assert_eq!(began, due);
}
