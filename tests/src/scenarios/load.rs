//! Rotations of the sample API's certificate while its callers keep it busy.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::sample_api::{self, SAMPLE_API};
use crate::agent::{PROOF, published};
use crate::failure::{Failure, Result, expect};
use crate::load::{Files, Load, Plan, Report, Tally};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[UNDER_LOAD];

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
    let (ready, is_ready) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let report = thread::scope(|scope| {
        let (trial, machine): (&Trial, &Machine) = (trial, trial);
        let callers = scope.spawn(move || keep_busy(machine, &ready, stopped));
        let rotated = rotate(trial, &is_ready);
        // Told in every case, so that the callers end and what they saw is heard.
        stop.send(()).ok();
        let report = callers
            .join()
            .unwrap_or_else(|_| Err(Failure::Panic("the load client".to_owned())));
        rotated.and(report)
    })?;
    let unharmed = report.failed_requests == 0 && report.dropped_connections == 0;
    expect(
        unharmed,
        "no failed request and no dropped connection",
        format_args!("{report:?}"),
    )?;
    expect(
        report.min_requests_per_connection > 0,
        "requests on every connection",
        format_args!("{report:?}"),
    )?;
    let leaves = report.distinct_leaves_seen;
    expect(
        leaves == ROTATIONS + 1,
        format_args!("{} distinct leaves seen", ROTATIONS + 1),
        leaves,
    )?;
    trial.expect_issuances(sample_api::NAME, ROTATIONS + 1)
}

fn rotate(trial: &Trial, ready: &Receiver<Arc<Tally>>) -> Result<()> {
    // When the callers cannot begin, their own failure says why.
    let Ok(tally) = ready.recv_timeout(PROOF) else {
        return Ok(());
    };
    // Before each rotation, so that none is over before its leaf was seen.
    let seen = |leaves: usize| {
        trial.wait_until("the callers see the new leaf", PROOF, || {
            let found = tally.report().distinct_leaves_seen;
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
    Ok(())
}

/// Runs the callers in the machine's network until told to stop. A thread of its own, because it never comes back from
/// that network.
fn keep_busy(
    machine: &Machine,
    ready: &Sender<Arc<Tally>>,
    stopped: oneshot::Receiver<()>,
) -> Result<Report> {
    setns(machine.network()?, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Failure::io("enter", "the machine's network")(errno.into()))?;
    let combined = machine.on_disk(&published("client", "combined.pem"));
    let plan = Plan {
        url: "https://127.0.0.1:8443/".parse().expect("a constant URL"),
        files: Files {
            ca: machine.on_disk(&published("client", "ca.pem")),
            certificate: combined.clone(),
            key: combined,
        },
        connections: 20,
        streams: 4,
        rate: 500,
        handshake_every: Duration::from_millis(50),
    };
    let failed = |error: &dyn std::error::Error| Failure::Expectation {
        expected: "a load".to_owned(),
        found: error.to_string(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(Failure::io("make", "a runtime"))?
        .block_on(async {
            let load = Load::start(&plan).map_err(|error| failed(&error))?;
            load.ready(PROOF).await.map_err(|error| failed(&error))?;
            ready.send(load.tally()).ok();
            stopped.await.ok();
            Ok(load.stop().await)
        })
}
