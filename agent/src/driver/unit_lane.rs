//! One serial lane per unit: whatever certificates ask of a unit at the same time costs one job.
//!
//! A lane gathers: it waits until no certificate of its unit is on its way to be published any more,
//! but not for long, so that one slow CA holds nobody up. A request that comes while a job runs is
//! served by the next one, because the job may have begun before the request's generation was current.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::names::{CertificateName, UnitName};
use renewd_core::schedule;
use renewd_core::unit::{ActOutcome, JobResult, OnChange};
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::journal::{self, Event};
use crate::units::Units;

/// How long a lane waits for other certificates of its unit.
const GATHER: Duration = Duration::from_secs(2);

/// All units' lanes.
pub(crate) struct UnitLanes {
    outside: Outside,
    lanes: RefCell<BTreeMap<UnitName, Rc<UnitLane>>>,
}

/// What unit lanes know of the world.
#[derive(Clone)]
struct Outside {
    units: Rc<dyn Units>,
    clock: Rc<dyn Clock>,
}

#[derive(Default)]
struct UnitLane {
    requests: RefCell<Vec<Request>>,
    working: Cell<bool>,
    /// Certificates of this unit that are on their way to be published.
    in_transit: Cell<usize>,
    arrived: Notify,
    last_restart: Cell<Option<Timestamp>>,
}

/// What a certificate asks of a unit.
pub(crate) struct Telling {
    pub(crate) certificate: CertificateName,
    pub(crate) unit: UnitName,
    pub(crate) verb: OnChange,
    /// A restart of ours may have felled it: then it is brought up.
    pub(crate) revive: bool,
    pub(crate) deadline: Duration,
}

struct Request {
    telling: Telling,
    reply: oneshot::Sender<ActOutcome>,
}

/// A certificate on its way to be published; its units' lanes wait for it to arrive.
pub(crate) struct Transit(Vec<Rc<UnitLane>>);

impl Drop for Transit {
    fn drop(&mut self) {
        for lane in &self.0 {
            lane.in_transit.update(|count| count - 1);
            lane.arrived.notify_waiters();
        }
    }
}

impl UnitLanes {
    pub(crate) fn new(units: Rc<dyn Units>, clock: Rc<dyn Clock>) -> Self {
        Self {
            outside: Outside { units, clock },
            lanes: RefCell::default(),
        }
    }

    fn lane(&self, unit: &UnitName) -> Rc<UnitLane> {
        self.lanes
            .borrow_mut()
            .entry(unit.clone())
            .or_default()
            .clone()
    }

    /// Announces a certificate that will be published.
    pub(crate) fn transit<'a>(&self, units: impl Iterator<Item = &'a UnitName>) -> Transit {
        let lanes: Vec<_> = units.map(|unit| self.lane(unit)).collect();
        for lane in &lanes {
            lane.in_transit.update(|count| count + 1);
        }
        Transit(lanes)
    }

    /// Has the unit told, together with whoever asks at the same time.
    pub(crate) async fn act(&self, telling: Telling) -> ActOutcome {
        let unit = telling.unit.clone();
        let lane = self.lane(&unit);
        let (reply, outcome) = oneshot::channel();
        lane.requests.borrow_mut().push(Request { telling, reply });
        if !lane.working.replace(true) {
            tokio::task::spawn_local(work(lane, unit, self.outside.clone()));
        }
        // A lane that panicked answers nobody; the debt stays.
        outcome
            .await
            .unwrap_or_else(|_| ActOutcome::NotNow("an internal error; see the journal".into()))
    }
}

impl UnitLane {
    fn next_verb(&self) -> Option<OnChange> {
        let requests = self.requests.borrow();
        requests.first().map(|request| request.telling.verb)
    }

    /// The first request, and all that ask for the same.
    fn take_batch(&self) -> Option<Batch> {
        let verb = self.next_verb()?;
        let mut requests = self.requests.borrow_mut();
        let (batch, rest) = requests
            .drain(..)
            .partition(|request| request.telling.verb == verb);
        *requests = rest;
        Some(Batch {
            verb,
            requests: batch,
        })
    }
}

/// Requests that one job serves.
struct Batch {
    verb: OnChange,
    requests: Vec<Request>,
}

impl Batch {
    fn certificates(&self) -> Vec<CertificateName> {
        let tellings = self.requests.iter().map(|request| &request.telling);
        tellings
            .map(|telling| telling.certificate.clone())
            .collect()
    }

    async fn carry_out(&self, unit: &UnitName, units: &dyn Units) -> ActOutcome {
        let tellings = || self.requests.iter().map(|request| &request.telling);
        let deadline = tellings().map(|telling| telling.deadline).max();
        let deadline = deadline.unwrap_or(GATHER);
        if tellings().any(|telling| telling.revive) {
            units.revive(unit, deadline).await
        } else {
            units.act(unit, self.verb, deadline).await
        }
    }
}

/// Marks the lane idle even when a job panics. Whoever still waits then is answered by the end of his
/// channel, and asks again.
struct Working(Rc<UnitLane>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.replace(false);
        self.0.requests.borrow_mut().clear();
    }
}

async fn work(lane: Rc<UnitLane>, unit: UnitName, outside: Outside) {
    let working = Working(lane);
    let lane = &working.0;
    loop {
        let long_enough = schedule::after(outside.clock.now(), GATHER);
        tokio::select! {
            biased;
            () = everyone_arrived(lane) => {}
            () = outside.clock.sleep_until(long_enough) => {}
        }
        if lane.next_verb() == Some(OnChange::Restart) {
            space_restarts(lane, &unit, &outside).await;
        }
        let Some(batch) = lane.take_batch() else {
            return;
        };
        journal::emit(&Event::ReloadStarted {
            certificates: batch.certificates(),
            unit: unit.clone(),
            verb: batch.verb,
        });
        let outcome = batch.carry_out(&unit, outside.units.as_ref()).await;
        narrate(batch.certificates(), &unit, &outcome);
        for request in batch.requests {
            let _ = request.reply.send(outcome.clone());
        }
    }
}

async fn everyone_arrived(lane: &UnitLane) {
    loop {
        let arrived = lane.arrived.notified();
        if lane.in_transit.get() == 0 {
            return;
        }
        arrived.await;
    }
}

/// Restarts stay below the unit's own start limit, or systemd would refuse to start it at all.
async fn space_restarts(lane: &UnitLane, unit: &UnitName, outside: &Outside) {
    if let Some(last) = lane.last_restart.get() {
        let facts = outside.units.facts(unit).await.ok();
        if let Some(limit) = facts.and_then(|facts| facts.start_limit) {
            let space = limit.interval / limit.burst.max(1);
            let at = schedule::after(last, space);
            // A clock that was set back meanwhile must not make this a long wait.
            if !schedule::reached(at, space, outside.clock.now()) {
                outside.clock.sleep_until(at).await;
            }
        }
    }
    lane.last_restart.set(Some(outside.clock.now()));
}

fn narrate(certificates: Vec<CertificateName>, unit: &UnitName, outcome: &ActOutcome) {
    let unit = unit.clone();
    let event = match outcome {
        ActOutcome::Job(JobResult::Done) => Event::ReloadDone { certificates, unit },
        // Not a fault: what was published is read when the unit starts.
        ActOutcome::NotRunning => return,
        ActOutcome::Job(result) => {
            let reason = renewd_core::proof::Reason::Reload(*result);
            Event::ReloadFailed {
                certificates,
                unit,
                reason: reason.label().to_owned(),
            }
        }
        ActOutcome::NotNow(why) | ActOutcome::LeftOpen(why) => Event::ReloadFailed {
            certificates,
            unit,
            reason: why.clone(),
        },
    };
    journal::emit(&event);
}
