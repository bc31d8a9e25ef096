//! One request for a job: looked into, asked for, and awaited until its own result is there.

use std::time::Duration;

use futures_util::StreamExt;
use nix::sys::signal::Signal;
use renewd_core::names::UnitName;
use renewd_core::unit::{ActOutcome, Activity, JobResult, OnChange};
use tokio::time::{Instant, timeout_at};
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, message};

use super::bus::{self, FAIL, JobRemoved, MANAGER, SYSTEMD, ServiceProxy, UnitProxy};
use super::link::{Link, is_stopping, manager, subscribe};
use super::{UnitFacts, UnitsError};

/// What is wanted of a unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) verb: OnChange,
    /// With [`OnChange::Restart`]: found failed, it is brought up.
    pub(super) revive: bool,
}

/// What is left to do once the unit's state is known.
pub(super) enum Prepared {
    /// Nothing: this is the outcome.
    Settled(ActOutcome),
    /// To be asked for and waited for.
    Request(Box<Request>),
}

/// One request for a job of a unit, with everything in place to hear of its end.
pub(super) struct Request {
    connection: Connection,
    unit: UnitName,
    object: OwnedObjectPath,
    facts: UnitFacts,
    wish: Wish,
    /// `JobRemoved` of this unit, subscribed before the job is asked for.
    removed: MessageStream,
}

impl Request {
    /// Looks at the unit, and gets everything ready when there is something to ask for.
    pub(super) async fn prepare(
        link: &Link,
        unit: &UnitName,
        wish: Wish,
    ) -> Result<Prepared, UnitsError> {
        let (object, facts) = link.facts(unit).await?;
        let connection = link.connect().await?;
        if is_stopping(&connection).await {
            return Err(UnitsError::Stopping);
        }
        if let Some(outcome) = settled(unit.as_str(), wish, &facts)? {
            return Ok(Prepared::Settled(outcome));
        }
        let listen = async {
            let rule = MatchRule::builder()
                .msg_type(message::Type::Signal)
                .sender(SYSTEMD)
                .interface(MANAGER)
                .member("JobRemoved")
                .arg(2, facts.canonical.as_str())
                .build()?;
            let removed = MessageStream::for_match_rule(rule, &connection, None).await?;
            subscribe(&connection).await?;
            Ok(removed)
        };
        let removed = listen
            .await
            .map_err(|error| bus::classify(error, unit.as_str(), polkit_verb(wish, &facts)))?;
        Ok(Prepared::Request(Box::new(Self {
            connection,
            unit: unit.clone(),
            object,
            facts,
            wish,
            removed,
        })))
    }

    /// Asks, and waits for the result until the deadline.
    pub(super) async fn carry_out(
        mut self,
        until: Instant,
        deadline: Duration,
    ) -> Result<ActOutcome, UnitsError> {
        // A start merges into the run that is under way, which may have read the files before the
        // new ones were published: that run ends first, and ours follows. (A reload that meets a
        // reload is run again by systemd itself.)
        let rounds = match self.wish.verb {
            OnChange::Start if self.facts.active_state == "activating" => 2,
            _ => 1,
        };
        let mut outcome = ActOutcome::Job(JobResult::Unknown);
        for _ in 0..rounds {
            let asked = timeout_at(until, self.ask()).await;
            let Ok(asked) = asked else {
                let unit = self.unit.to_string();
                return Err(UnitsError::NoAnswer {
                    unit,
                    deadline,
                    asked: true,
                });
            };
            let Some(job) = asked.map_err(|error| self.classify(error))? else {
                // A signal has no job.
                return Ok(ActOutcome::Job(JobResult::Done));
            };
            tracing::debug!(unit = %self.unit, job = %job.as_str(), "waiting for the job");
            outcome = match timeout_at(until, self.result_of(&job)).await {
                Ok(word) => self.judge(&word?).await?,
                Err(_) if self.is_under_way(&job).await => ActOutcome::Job(JobResult::Timeout),
                Err(_) => return Err(self.lost()),
            };
            if outcome == ActOutcome::Job(JobResult::Canceled) {
                // Somebody stopped the run on purpose; it is not started again against him.
                break;
            }
        }
        Ok(outcome)
    }

    /// Asks for the job; `None` for a signal.
    async fn ask(&self) -> zbus::Result<Option<OwnedObjectPath>> {
        let manager = manager(&self.connection).await?;
        let name = self.facts.canonical.as_str();
        match self.wish.verb {
            OnChange::Reload => manager.reload_unit(name, FAIL).await.map(Some),
            // What does not run, TryRestartUnit leaves alone, and ends "done".
            OnChange::Restart if brings_up(self.wish, &self.facts) => {
                manager.restart_unit(name, FAIL).await.map(Some)
            }
            OnChange::Restart => manager.try_restart_unit(name, FAIL).await.map(Some),
            OnChange::Start => manager.start_unit(name, FAIL).await.map(Some),
            OnChange::SignalHup => {
                let hangup = Signal::SIGHUP as i32;
                manager.kill_unit(name, "main", hangup).await.map(|()| None)
            }
            OnChange::None => Ok(None),
        }
    }

    /// Waits for the result of this job, and of no other on the same unit.
    async fn result_of(&mut self, job: &OwnedObjectPath) -> Result<String, UnitsError> {
        while let Some(Ok(signal)) = self.removed.next().await {
            let (_, path, _, word): JobRemoved = signal
                .body()
                .deserialize()
                .map_err(|error| self.classify(error))?;
            if path == *job {
                return Ok(word);
            }
        }
        Err(self.lost())
    }

    /// What a result means, where the word alone does not say it.
    async fn judge(&self, word: &str) -> Result<ActOutcome, UnitsError> {
        let result = bus::job_result(word);
        if result == Some(JobResult::Done) {
            return Ok(ActOutcome::Job(JobResult::Done));
        }
        // A system that stops cancels and fails jobs of its own accord.
        if is_stopping(&self.connection).await {
            return Err(UnitsError::Stopping);
        }
        if result == Some(JobResult::Failed)
            && self.wish.verb != OnChange::Reload
            && self.service_result().await.as_deref() == Ok("start-limit-hit")
        {
            return Err(UnitsError::StartLimit(self.unit.to_string()));
        }
        Ok(match result {
            Some(result) => ActOutcome::Job(result),
            // The unit stopped between our look at it and the job's turn.
            None if self.wish.verb == OnChange::Reload => ActOutcome::NotRunning,
            None => ActOutcome::Job(JobResult::Unknown),
        })
    }

    async fn service_result(&self) -> zbus::Result<String> {
        ServiceProxy::new(&self.connection, &self.object)
            .await?
            .result()
            .await
    }

    /// Whether systemd still has this job: if not, its end was missed (systemd leaves the bus for a
    /// moment when it re-executes itself).
    async fn is_under_way(&self, job: &OwnedObjectPath) -> bool {
        let current = async {
            UnitProxy::new(&self.connection, &self.object)
                .await?
                .job()
                .await
        };
        current.await.is_ok_and(|(_, path)| path == *job)
    }

    fn classify(&self, error: zbus::Error) -> UnitsError {
        if matches!(error, zbus::Error::InputOutput(_)) {
            // The request may have been read before the connection broke.
            return self.lost();
        }
        bus::classify(
            error,
            self.unit.as_str(),
            polkit_verb(self.wish, &self.facts),
        )
    }

    fn lost(&self) -> UnitsError {
        UnitsError::ResultLost {
            unit: self.unit.to_string(),
        }
    }
}

/// What needs no job, and what must not be asked for in the unit's state.
fn settled(unit: &str, wish: Wish, facts: &UnitFacts) -> Result<Option<ActOutcome>, UnitsError> {
    let (name, verb) = (|| unit.to_owned(), wish.verb);
    match facts.load_state.as_str() {
        "not-found" => return Err(UnitsError::NoSuchUnit(name())),
        "masked" => return Err(UnitsError::Masked(name())),
        _ => {}
    }
    if verb == OnChange::Start {
        return match facts.active_state.as_str() {
            _ if facts.service_type != "oneshot" => Err(UnitsError::NotOneshot(name())),
            "active" => Err(UnitsError::StillActive(name())),
            _ => Ok(None),
        };
    }
    if brings_up(wish, facts) {
        return Ok(None);
    }
    if facts.activity != Activity::Running {
        return Ok(Some(ActOutcome::NotRunning));
    }
    match verb {
        OnChange::Reload if !facts.can_reload => Err(UnitsError::CannotReload(name())),
        OnChange::SignalHup if facts.active_state == "activating" => {
            Err(UnitsError::StillStarting(name()))
        }
        OnChange::None => Ok(Some(ActOutcome::Job(JobResult::Done))),
        _ => Ok(None),
    }
}

/// Whether the unit does not run because a restart of ours felled it. `inactive` is what a person's stop
/// leaves, who is not acted against.
fn brings_up(wish: Wish, facts: &UnitFacts) -> bool {
    wish.revive && matches!(facts.active_state.as_str(), "failed" | "activating")
}

/// The word that polkit is told.
fn polkit_verb(wish: Wish, facts: &UnitFacts) -> &'static str {
    match wish.verb {
        OnChange::Restart if brings_up(wish, facts) => "restart",
        verb => crate::polkit::verbs(verb).first().unwrap_or(&"nothing"),
    }
}

#[cfg(test)]
mod tests;
