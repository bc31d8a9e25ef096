//! The sample API while its callers keep it busy: rotations, restarts and an upgrade.

use std::time::Duration;

use super::callers::{self, Callers, Kept, expect_unharmed};
use super::sample_api::{self, SAMPLE_API};
use crate::agent::{PROOF, published};
use crate::failure::{Result, expect, expect_equal};
use crate::load::{Ends, Plan};
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[UNDER_LOAD, RESTARTS, IDLE];

const ROTATIONS: usize = 5;

const UNDER_LOAD: Scenario = Scenario {
    name: "rotations_under_load_lose_no_request_and_cut_no_connection",
    disk: Disk::Installed,
    fault: "the server is killed once in between",
    red: "no failed request",
    run: under_load,
};

fn under_load(trial: &mut Trial) -> Result<()> {
    sample_api::serve(trial)?;
    let callers = Callers::start(trial, callers::plan(callers::files_of(trial, "client")))?;
    // Before each rotation, so that none is over before its leaf was seen.
    let seen = |leaves: usize| {
        trial.wait_until("the callers see the new leaf", PROOF, || {
            let found = callers.so_far().distinct_leaves_seen;
            expect(
                found >= leaves,
                format_args!("{leaves} distinct leaves"),
                found,
            )
        })
    };
    seen(1)?;
    trial.sabotage(|machine| {
        machine.systemctl(&["kill", "--signal=KILL", SAMPLE_API])?;
        trial.wait_until("the server runs again", PROOF, || {
            trial.expect_unit(SAMPLE_API, "active")
        })
    })?;
    for rotation in 1..=ROTATIONS {
        trial.renew(&["api"])?.success()?;
        seen(rotation + 1)?;
    }
    let report = callers.stop()?;
    expect_unharmed("the callers", &report)?;
    expect_equal(
        "distinct leaves seen",
        &(ROTATIONS + 1),
        &report.distinct_leaves_seen,
    )?;
    trial.expect_issuances(sample_api::NAME, ROTATIONS + 1)
}

const RESTARTS: Scenario = Scenario {
    name: "restarts_and_an_upgrade_of_the_sample_api_lose_no_request",
    disk: Disk::Installed,
    fault: "systemd keeps no sockets",
    red: "no failed request",
    run: restarts,
};

/// The same package with a higher version.
const NEWER: &str = r#"
dpkg-deb -R "$PACKAGES"/renewd-sample-api_*.deb /srv/newer
sed -i 's/^Version: .*/&+newer/' /srv/newer/DEBIAN/control
dpkg-deb -Zgzip -z1 -b /srv/newer /srv/newer.deb
"#;

fn restarts(trial: &mut Trial) -> Result<()> {
    trial.drop_in(
        SAMPLE_API,
        trial.choose(
            "[Unit]\nStartLimitIntervalSec=0\n",
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nFileDescriptorStoreMax=0\n",
        ),
    )?;
    trial.shell(&format!("PACKAGES={IN_MACHINE}\n{NEWER}"))?;
    sample_api::serve(trial)?;
    let plan = callers::plan(callers::files_of(trial, "client"));
    // Each of these asks every other second: most are closed while they have nothing to ask, and some of HTTP/1.1 may be
    // in the very moment in which they ask.
    let idle = Callers::start(
        trial,
        Plan {
            connections: 20,
            streams: 0,
            rate: 10,
            ends: Ends::InGoodOrder,
            ..plan.clone()
        },
    )?;
    let kept = plan.connections as u64;
    let callers = Callers::start(
        trial,
        Plan {
            stream_seconds: 1,
            handshake_every: Duration::from_millis(5),
            ends: Ends::InGoodOrder,
            ..plan
        },
    )?;
    // On all of them again, and on new ones.
    let go_on = || {
        let before = callers.so_far();
        trial.wait_until("the callers are served", PROOF, || {
            let now = callers.so_far();
            let more = now.requests >= before.requests + 200;
            expect(more, "many more requests", format_args!("{now:?}"))?;
            expect(
                now.handshakes > before.handshakes,
                "more handshakes",
                format_args!("{now:?}"),
            )
        })
    };
    let replaced = |how: &dyn Fn() -> Result<()>| {
        let before = trial.unit_property(SAMPLE_API, "MainPID")?;
        how()?;
        let now = trial.unit_property(SAMPLE_API, "MainPID")?;
        expect(now != before, "another process", now)?;
        go_on()
    };
    go_on()?;
    for _ in 0..2 {
        replaced(&|| trial.systemctl(&["restart", SAMPLE_API]).map(drop))?;
    }
    replaced(&|| {
        trial
            .run(&["dpkg", "--install", "/srv/newer.deb"])
            .map(drop)
    })?;
    let version = trial.run(&[
        "dpkg-query",
        "--show",
        "--showformat=${Version}",
        "renewd-sample-api",
    ])?;
    expect(version.ends_with("+newer"), "the newer version", version)?;
    expect_unharmed("the idle callers", &idle.stop()?)?;
    let report = callers.stop()?;
    expect_unharmed("the callers", &report)?;
    // Else nothing was tried.
    expect(
        report.ended_connections >= 3 * kept,
        format_args!("each of {kept} connections ended three times"),
        format_args!("{report:?}"),
    )
}

const IDLE: Scenario = Scenario {
    name: "ten_thousand_idle_connections_live_through_a_rotation",
    disk: Disk::Installed,
    fault: "the unit may open 1024 files",
    red: "the next one failed",
    run: idle,
};

const MANY: usize = 10_000;

fn idle(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| machine.drop_in(SAMPLE_API, "[Service]\nLimitNOFILE=1024\n"))?;
    sample_api::serve(trial)?;
    let kept = Kept::start(trial, callers::files_of(trial, "client"), MANY)?;
    let before = trial.published_serial("api")?;
    trial.renew(&["api"])?.success()?;
    trial.await_proof("api", SAMPLE_API, "served")?;
    let (trust, identity) = (
        published("client", "ca.pem"),
        published("client", "combined.pem"),
    );
    // Promptly: nobody waits in a queue.
    let fresh = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "2",
    ];
    let asks = [
        "--cacert",
        &trust,
        "--cert",
        &identity,
        "https://127.0.0.1:8443/",
    ];
    trial.run(&[&fresh[..], &asks].concat())?;
    expect(
        trial.served_serial(sample_api::ADDRESS)? != before,
        "a new leaf",
        &before,
    )?;
    expect_equal("connections still open", &MANY, &kept.ask_all()?)
}
