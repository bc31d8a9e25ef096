//! Changes of trust under open connections: a client is revoked, an authority gives way to another, a role is taken away.
//! Each time somebody has to go, and somebody else must not notice.

use std::time::Duration;

use super::authority::{self, Return, by_openssl, come_back, serve_published, visit};
use super::callers::{self, Callers, expect_unharmed};
use super::sample_api::SAMPLE_API;
use crate::agent::PROOF;
use crate::failure::{Result, expect, expect_equal};
use crate::load::Plan;
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[REVOKED, ROLLOVER, POLICY];

/// How long responses that were begun may go on, as the scenarios set it.
const DRAIN: &str = "drain = \"2s\"";
/// What the end of all connections may take beyond that: nobody has to notice it at once.
const END: Duration = Duration::from_secs(5);

/// Connections of one client: of HTTP/1.1 and 2, half of them with a response that never ends by itself.
fn connections(machine: &Machine, client: &str, trusted: &str) -> Result<Callers> {
    Callers::start(
        machine,
        Plan {
            connections: 8,
            streams: 4,
            stream_seconds: 60,
            rate: 100,
            ..callers::plan(authority::files_of(machine, client, trusted))
        },
    )
}

/// The same, with responses that end soon enough to be counted.
fn lasting_connections(machine: &Machine, client: &str, trusted: &str) -> Result<Callers> {
    Callers::start(
        machine,
        Plan {
            connections: 8,
            streams: 4,
            stream_seconds: 4,
            rate: 100,
            ..callers::plan(authority::files_of(machine, client, trusted))
        },
    )
}

/// Waits until all connections of a client have ended, and fails if it is still answered afterwards.
fn expect_gone(trial: &Trial, who: &str, callers: Callers) -> Result<()> {
    trial.wait_until("the end of its connections", END, || {
        let report = callers.so_far();
        expect(
            report.lost_connections == report.connections,
            format_args!("all connections of {who} ended"),
            format_args!("{report:?}"),
        )
    })?;
    let before = callers.so_far();
    trial.wait_until("more attempts", PROOF, || {
        let report = callers.so_far();
        let tried = report.failed_handshakes > before.failed_handshakes + 5;
        expect(tried, "new connections tried", format_args!("{report:?}"))
    })?;
    let after = callers.stop()?;
    expect_equal(
        &format!("answers for {who} afterwards"),
        &before.requests,
        &after.requests,
    )
}

fn metrics(machine: &Machine) -> Result<String> {
    machine.run(&["curl", "--silent", "http://127.0.0.1:8081/metrics"])
}

/// Fails unless the server has counted the end of [`connections`] by this reason: all were told, and those with a response
/// under way were cut. One more may have been a new one.
fn expect_drained(trial: &Trial, reason: &str) -> Result<()> {
    let metrics = metrics(trial)?;
    let says = |what: &str, number: u8| {
        metrics.contains(&format!(
            "sample_api_{what}_total{{reason=\"{reason}\"}} {number}\n"
        ))
    };
    expect(
        (says("drained", 8) || says("drained", 9)) && says("forced", 4),
        format_args!("eight connections told to end as {reason}, and four streams cut"),
        &metrics,
    )
}

const REVOKED: Scenario = Scenario {
    name: "a_revoked_client_loses_its_connections_streams_and_sessions_and_a_bystander_does_not",
    disk: Disk::Installed,
    fault: "the list names nobody",
    red: "all connections of the revoked client ended",
    run: revoked,
};

fn revoked(trial: &mut Trial) -> Result<()> {
    by_openssl(
        trial,
        "authority ca; pair server ca DNS:api.test,IP:127.0.0.1; pair victim ca URI:spiffe://example.internal/victim
         pair bystander ca URI:spiffe://example.internal/bystander; publish 1 server server ca",
    )?;
    serve_published(trial, DRAIN)?;
    let victim = connections(trial, "victim", "ca")?;
    let bystander = lasting_connections(trial, "bystander", "ca")?;
    for client in ["victim", "bystander"] {
        expect_equal("a first visit", &Return::Anew, &visit(trial, client, "ca")?)?;
        expect_equal(
            "a second visit",
            &Return::Resumed,
            &come_back(trial, client, "ca")?,
        )?;
    }
    // In the generation before `current` shows it, as whoever publishes must.
    by_openssl(
        trial,
        trial.choose(
            "revoke ca victim; list ca 2; publish 2 server server ca",
            "list ca 2; publish 2 server server ca",
        ),
    )?;
    trial.systemctl(&["reload", SAMPLE_API])?;
    expect_gone(trial, "the revoked client", victim)?;
    let returned = ["victim", "bystander"].map(|client| come_back(trial, client, "ca"));
    let [victim, other] = returned;
    expect_equal("the revoked client's return", &Return::Refused, &victim?)?;
    expect_equal("the bystander's return", &Return::Anew, &other?)?;
    expect_unharmed("the bystander", &bystander.stop()?)?;
    expect_drained(trial, "revoked")
}

const ROLLOVER: Scenario = Scenario {
    name: "one_authority_gives_way_to_another_and_nobody_fails_while_both_are_trusted",
    disk: Disk::Installed,
    fault: "the old authority stays in the bundle",
    red: "all connections of the old client ended",
    run: rollover,
};

fn rollover(trial: &mut Trial) -> Result<()> {
    by_openssl(
        trial,
        "authority old; authority new; cat old.pem >trusted.pem
         for ca in old new; do
             pair server-$ca $ca DNS:api.test,IP:127.0.0.1; pair client-$ca $ca URI:spiffe://example.internal/$ca
         done; publish 1 server-old server-old old",
    )?;
    serve_published(trial, DRAIN)?;
    let next = |script: &str| {
        by_openssl(trial, script)?;
        trial.systemctl(&["reload", SAMPLE_API])
    };
    let old = connections(trial, "client-old", "trusted")?;
    next(
        "cat old.pem new.pem >both.pem; mv both.pem trusted.pem; publish 2 server-old server-old old new",
    )?;
    let new = lasting_connections(trial, "client-new", "trusted")?;
    next("publish 3 server-new server-new old new")?;
    for callers in [&old, &new] {
        trial.wait_until("the new authority's certificate is seen", PROOF, || {
            let leaves = callers.so_far().distinct_leaves_seen;
            expect(leaves == 2, "two leaves", leaves)
        })?;
    }
    let report = old.so_far();
    expect(
        report.failed_requests == 0 && report.dropped_connections == 0,
        "the old client unharmed while both are trusted",
        format_args!("{report:?}"),
    )?;
    for client in ["client-old", "client-new"] {
        visit(trial, client, "trusted")?;
        let returned = come_back(trial, client, "trusted")?;
        expect_equal("a second visit", &Return::Resumed, &returned)?;
    }
    next(trial.choose(
        "publish 4 server-new server-new new",
        "publish 4 server-new server-new new old",
    ))?;
    expect_gone(trial, "the old client", old)?;
    let returned = ["client-old", "client-new"].map(|client| come_back(trial, client, "trusted"));
    let [gone, stayed] = returned;
    expect_equal("the old client's return", &Return::Refused, &gone?)?;
    expect_equal("the new client's return", &Return::Anew, &stayed?)?;
    expect_unharmed("the new client", &new.stop()?)?;
    expect_drained(trial, "untrusted")
}

const POLICY: Scenario = Scenario {
    name: "who_loses_the_last_role_is_sent_away_and_a_broken_policy_changes_nothing",
    disk: Disk::Installed,
    fault: "the new policy still names the caller",
    red: "all connections of the caller ended",
    run: policy,
};

/// A policy for these callers.
fn roles(callers: &[&str]) -> String {
    let role = |name: &&str| {
        format!(
            "[[role]]\nname = \"{name}\"\ncallers = [\"spiffe://example.internal/{name}\"]\nmethods = [\"GET\"]\npaths = [\"/\", \"/stream\"]\n"
        )
    };
    callers.iter().map(role).collect()
}

fn policy(trial: &mut Trial) -> Result<()> {
    const FILE: &str = "/etc/renewd-sample-api/policy.toml";
    by_openssl(
        trial,
        "authority ca; pair server ca DNS:api.test,IP:127.0.0.1; pair caller ca URI:spiffe://example.internal/caller
         pair bystander ca URI:spiffe://example.internal/bystander; publish 1 server server ca",
    )?;
    trial.write(FILE, &roles(&["caller", "bystander"]))?;
    serve_published(trial, &format!("{DRAIN}\npolicy = \"{FILE}\""))?;
    let caller = connections(trial, "caller", "ca")?;
    let bystander = lasting_connections(trial, "bystander", "ca")?;

    let left: &[&str] = trial.choose(&["bystander"], &["bystander", "caller"]);
    trial.write(FILE, &roles(left))?;
    trial.systemctl(&["reload", SAMPLE_API])?;
    trial.wait_until("the next requests are denied", END, || {
        let faults = caller.so_far().faults;
        let denied = faults.contains_key("answer: status 403 Forbidden");
        expect(
            denied,
            "all connections of the caller ended, after a 403",
            format_args!("{faults:?}"),
        )
    })?;
    expect_gone(trial, "the caller", caller)?;

    trial.write(FILE, &roles(left).replace("methods", "method"))?;
    let reload = trial.attempt(&["systemctl", "reload", SAMPLE_API])?;
    expect(!reload.succeeded(), "a refused reload", "an accepted one")?;
    let status = trial.unit_property(SAMPLE_API, "StatusText")?;
    expect(
        status.contains("policy"),
        "the policy in the status",
        status,
    )?;
    let refused = metrics(trial)?;
    expect(
        refused.contains("sample_api_reload_refused 1\n"),
        "a refused policy in the metrics",
        refused,
    )?;
    trial.write(FILE, &roles(left))?;
    trial.systemctl(&["reload", SAMPLE_API])?;
    let mended = metrics(trial)?;
    expect(
        mended.contains("sample_api_reload_refused 0\n"),
        "a policy in force again",
        mended,
    )?;
    expect_drained(trial, "policy")?;
    expect_unharmed("the bystander", &bystander.stop()?)
}
