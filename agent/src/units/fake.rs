//! A service manager for tests of the driver: units that do as told, and a list of what they were
//! told. For what the real one cannot be made to show.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use renewd_core::names::UnitName;
use renewd_core::unit::{ActOutcome, Activity, JobResult, OnChange};
use tokio::sync::mpsc;

use super::{Activation, UnitFacts, Units, UnitsError};

/// Units in memory.
#[derive(Default)]
pub(crate) struct Fake(Mutex<State>);

#[derive(Default)]
struct State {
    /// `ActiveState` of the units that exist.
    states: HashMap<UnitName, &'static str>,
    outcomes: HashMap<UnitName, VecDeque<ActOutcome>>,
    acts: Vec<(UnitName, OnChange)>,
    revivals: Vec<UnitName>,
    without_reload: Vec<UnitName>,
    watchers: Vec<(Vec<UnitName>, mpsc::Sender<Activation>)>,
    stopping: bool,
}

impl Fake {
    /// A unit that exists; it can reload, and its jobs end well unless [`Self::next_outcome`] says
    /// otherwise.
    pub(crate) fn with(self, unit: &UnitName, running: bool) -> Self {
        let state = if running { "active" } else { "inactive" };
        self.state().states.insert(unit.clone(), state);
        self
    }

    /// Scripts the outcome of the unit's next act that has none yet.
    pub(crate) fn next_outcome(&self, unit: &UnitName, outcome: ActOutcome) {
        let mut state = self.state();
        state
            .outcomes
            .entry(unit.clone())
            .or_default()
            .push_back(outcome);
    }

    /// Starts or stops a unit, as an administrator would.
    pub(crate) fn set_running(&self, unit: &UnitName, running: bool) {
        let state = if running { "active" } else { "inactive" };
        self.state().enter(unit, state);
    }

    /// It has no `ExecReload=` any more.
    pub(crate) fn forbid_reload(&self, unit: &UnitName) {
        self.state().without_reload.push(unit.clone());
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self, unit: &UnitName) -> bool {
        self.state().states.get(unit) == Some(&"active")
    }

    /// Lets the system shut down.
    pub(crate) fn stop_system(&self) {
        self.state().stopping = true;
    }

    /// What was brought up because our own restart had felled it, in order.
    pub(crate) fn revivals(&self) -> Vec<UnitName> {
        self.state().revivals.clone()
    }

    /// What was asked for, in order.
    pub(crate) fn acts(&self) -> Vec<(UnitName, OnChange)> {
        self.state().acts.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn enter(&mut self, unit: &UnitName, state: &'static str) {
        let before = self.states.insert(unit.clone(), state);
        if state != "active" || before == Some("active") {
            return;
        }
        for (units, told) in &self.watchers {
            if units.contains(unit) {
                // Full means that it was told already and has not looked yet.
                let _ = told.try_send(Activation::Began(unit.clone()));
            }
        }
    }

    /// A job of a unit that exists, or what stands against it.
    fn job(&mut self, unit: &UnitName, verb: OnChange) -> ActOutcome {
        self.acts.push((unit.clone(), verb));
        let scripted = self.outcomes.get_mut(unit).and_then(VecDeque::pop_front);
        let outcome = match (self.stopping, self.states.get(unit).copied()) {
            (true, _) => UnitsError::Stopping.into(),
            (_, None) => UnitsError::NoSuchUnit(unit.to_string()).into(),
            (_, Some("inactive" | "failed")) if verb != OnChange::Start => ActOutcome::NotRunning,
            _ => scripted.unwrap_or(ActOutcome::Job(JobResult::Done)),
        };
        if verb == OnChange::Restart && outcome == ActOutcome::Job(JobResult::Failed) {
            self.states.insert(unit.clone(), "failed");
        }
        outcome
    }
}

impl Units for Fake {
    fn facts<'a>(&'a self, unit: &'a UnitName) -> BoxFuture<'a, Result<UnitFacts, UnitsError>> {
        let (activity, load_state, active_state) = match self.state().states.get(unit) {
            Some(state @ &"active") => (Activity::Running, "loaded", *state),
            Some(state) => (Activity::NotRunning, "loaded", *state),
            None => (Activity::Missing, "not-found", "inactive"),
        };
        let facts = UnitFacts {
            activity,
            load_state: load_state.into(),
            active_state: active_state.into(),
            sub_state: String::new(),
            can_reload: !self.state().without_reload.contains(unit),
            canonical: unit.to_string(),
            unit_file_state: "enabled".into(),
            service_type: "simple".into(),
            is_umbrella: false,
            needs_daemon_reload: false,
            start_limit: None,
            after: Vec::new(),
            credentials: Vec::new(),
            refreshes_credentials: false,
        };
        Box::pin(async move { Ok(facts) })
    }

    fn act<'a>(
        &'a self,
        unit: &'a UnitName,
        verb: OnChange,
        _deadline: Duration,
    ) -> BoxFuture<'a, ActOutcome> {
        let outcome = self.state().job(unit, verb);
        Box::pin(async move { outcome })
    }

    fn revive<'a>(&'a self, unit: &'a UnitName, _deadline: Duration) -> BoxFuture<'a, ActOutcome> {
        let mut state = self.state();
        if state.states.get(unit) == Some(&"failed") {
            state.revivals.push(unit.clone());
            state.enter(unit, "active");
        }
        let outcome = state.job(unit, OnChange::Restart);
        Box::pin(async move { outcome })
    }

    fn activations(&self, units: &[UnitName]) -> mpsc::Receiver<Activation> {
        let (told, receiver) = mpsc::channel(units.len().max(1));
        let mut state = self.state();
        for unit in units {
            if state.states.get(unit) == Some(&"active") {
                let _ = told.try_send(Activation::Found(unit.clone()));
            }
        }
        state.watchers.push((units.to_vec(), told));
        receiver
    }

    fn system_is_stopping(&self) -> BoxFuture<'_, bool> {
        let stopping = self.state().stopping;
        Box::pin(async move { stopping })
    }
}

#[tokio::test]
async fn the_fake_keeps_the_contract_of_the_trait() {
    let [a, b, c]: [UnitName; 3] =
        ["a.service", "b.service", "c.service"].map(|name| name.parse().unwrap());
    let fake = Fake::default().with(&a, true).with(&b, false);
    let deadline = Duration::from_secs(1);
    fake.next_outcome(&a, ActOutcome::Job(JobResult::Failed));
    let reload = |unit| fake.act(unit, OnChange::Reload, deadline);
    assert_eq!(reload(&a).await, ActOutcome::Job(JobResult::Failed));
    assert_eq!(reload(&a).await, ActOutcome::Job(JobResult::Done));
    assert_eq!(reload(&b).await, ActOutcome::NotRunning);
    assert!(matches!(reload(&c).await, ActOutcome::NotNow(_)));
    assert_eq!(fake.facts(&c).await.unwrap().activity, Activity::Missing);

    let mut started = fake.activations(&[a.clone(), b.clone()]);
    assert_eq!(started.recv().await, Some(Activation::Found(a.clone())));
    fake.set_running(&b, true);
    assert_eq!(started.recv().await, Some(Activation::Began(b.clone())));
    fake.next_outcome(&b, ActOutcome::Job(JobResult::Failed));
    let restart = fake.act(&b, OnChange::Restart, deadline).await;
    assert_eq!(restart, ActOutcome::Job(JobResult::Failed));
    assert_eq!(reload(&b).await, ActOutcome::NotRunning);
    let revived = fake.revive(&b, deadline).await;
    assert_eq!(revived, ActOutcome::Job(JobResult::Done));
    assert_eq!(fake.revivals(), std::slice::from_ref(&b));
    fake.stop_system();
    assert!(fake.system_is_stopping().await);
    assert!(matches!(reload(&a).await, ActOutcome::NotNow(_)));
    assert_eq!(fake.acts().len(), 8);
}
