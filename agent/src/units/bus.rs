//! org.freedesktop.systemd1 on the bus: the few methods and properties that are used, and what its
//! errors mean. Reads and translates; decides nothing.

use std::collections::HashMap;
use std::time::Duration;

use renewd_core::unit::JobResult;
use zbus::names::InterfaceName;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo};

use super::{StartLimit, UnitFacts, UnitsError, activity};

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// A job that cannot be reconciled with a queued one is refused instead of replacing it.
pub(super) const FAIL: &str = "fail";

/// The manager object.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn try_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn system_state(&self) -> zbus::Result<String>;
}

/// A unit object: what is asked again after a job.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
pub(super) trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn job(&self) -> zbus::Result<(u32, OwnedObjectPath)>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
}

/// A service object: what its jobs do not tell.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
pub(super) trait Service {
    #[zbus(property(emits_changed_signal = "false"))]
    fn result(&self) -> zbus::Result<String>;
}

/// `JobRemoved`: id, job, unit, result.
pub(super) type JobRemoved = (u32, OwnedObjectPath, String, String);
/// `PropertiesChanged`: interface, changed, invalidated.
pub(super) type PropertiesChanged = (String, HashMap<String, OwnedVariant>, Vec<String>);
/// One command of `ExecReload`: path, arguments, whether failure is ignored, times, process, status.
type ExecCommand = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

/// Reads a unit's facts from its object.
pub(super) async fn facts(
    connection: &Connection,
    path: &OwnedObjectPath,
) -> zbus::Result<UnitFacts> {
    let properties = fdo::PropertiesProxy::builder(connection)
        .destination(SYSTEMD)
        .path(path)
        .build()
        .await?;
    let all = |interface| {
        let properties = &properties;
        async move {
            let interface = InterfaceName::from_static_str(interface)?;
            zbus::Result::Ok(Bag(properties.get_all(interface).await?))
        }
    };
    let mut unit = all(UNIT).await?;
    let canonical: String = unit.take("Id")?;
    let load_state: String = unit.take("LoadState")?;
    let active_state: String = unit.take("ActiveState")?;
    let mut service_type = String::new();
    let mut is_umbrella = false;
    let mut credentials = Vec::new();
    let mut refreshes_credentials = false;
    if canonical.ends_with(".service") {
        let mut service = all(SERVICE).await?;
        service_type = service.take("Type")?;
        let commands: Vec<ExecCommand> = service.take("ExecReload")?;
        is_umbrella = service_type == "oneshot"
            && service.take("RemainAfterExit")?
            && commands.iter().all(|command| does_nothing(&command.0));
        credentials = service.take("LoadCredential")?;
        // Versions that do not refresh anything have no such property.
        let refreshed: Vec<String> = service.take("RefreshOnReload").unwrap_or_default();
        refreshes_credentials = refreshed.iter().any(|what| what == "credentials");
    }
    let interval = Duration::from_micros(unit.take("StartLimitIntervalUSec")?);
    let burst: u32 = unit.take("StartLimitBurst")?;
    Ok(UnitFacts {
        activity: activity(&load_state, &active_state),
        load_state,
        active_state,
        sub_state: unit.take("SubState")?,
        can_reload: unit.take("CanReload")?,
        canonical,
        unit_file_state: unit.take("UnitFileState")?,
        service_type,
        is_umbrella,
        needs_daemon_reload: unit.take("NeedDaemonReload")?,
        start_limit: (!interval.is_zero() && burst > 0).then_some(StartLimit { interval, burst }),
        after: unit.take("After")?,
        credentials,
        refreshes_credentials,
    })
}

/// The properties of one interface.
struct Bag(HashMap<String, OwnedVariant>);

impl Bag {
    fn take<T>(&mut self, name: &str) -> zbus::Result<T>
    where
        T: TryFrom<OwnedVariant, Error = zbus::Error>,
    {
        let value = self
            .0
            .remove(name)
            .ok_or_else(|| zbus::Error::Failure(format!("systemd has no property {name}")))?;
        T::try_from(value)
    }
}

fn does_nothing(command: &str) -> bool {
    command.rsplit('/').next() == Some("true")
}

/// A job's result, from the word in `JobRemoved`; `None` for "invalid": the unit's state did not
/// allow this job any more.
pub(super) fn job_result(word: &str) -> Option<JobResult> {
    Some(match word {
        "done" => JobResult::Done,
        "failed" => JobResult::Failed,
        "timeout" => JobResult::Timeout,
        "canceled" => JobResult::Canceled,
        "dependency" => JobResult::Dependency,
        "skipped" => JobResult::Skipped,
        "invalid" => return None,
        _ => JobResult::Unknown,
    })
}

/// What an error in answer to a request for a unit means.
pub(super) fn classify(error: zbus::Error, unit: &str, verb: &'static str) -> UnitsError {
    let unit = unit.to_owned();
    match &error {
        zbus::Error::FDO(fdo) => match &**fdo {
            fdo::Error::AccessDenied(_) | fdo::Error::InteractiveAuthorizationRequired(_) => {
                UnitsError::Refused { unit, verb }
            }
            fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_)
            | fdo::Error::SpawnChildExited(_)
            | fdo::Error::SpawnFailed(_)
            | fdo::Error::SpawnExecFailed(_)
            | fdo::Error::Disconnected(_) => UnitsError::NoSystemd(error),
            _ => UnitsError::Other {
                unit,
                source: error,
            },
        },
        zbus::Error::InputOutput(_) => UnitsError::NoBus(error),
        zbus::Error::MethodError(name, detail, _) => {
            let detail = detail.clone().unwrap_or_else(|| name.to_string());
            match name.strip_prefix("org.freedesktop.systemd1.") {
                // systemd asks polkit and hands on the bus's failure to start it as its own answer.
                Some("NoSuchUnit" | "UnitMasked" | "LoadFailed") if detail.contains("polkit") => {
                    UnitsError::NoPolkit(detail)
                }
                Some("NoSuchUnit") => UnitsError::NoSuchUnit(unit),
                Some("UnitMasked") => UnitsError::Masked(unit),
                Some("LoadFailed" | "BadUnitSetting") => UnitsError::NotLoaded { unit, detail },
                Some("JobTypeNotApplicable") => UnitsError::CannotReload(unit),
                Some("NoSuchProcess" | "UnitInactive") => UnitsError::NoProcess(unit),
                Some("OnlyByDependency") => UnitsError::OnlyByDependency(unit),
                Some("ShuttingDown") => UnitsError::Stopping,
                Some(
                    "TransactionIsDestructive"
                    | "TransactionJobsConflicting"
                    | "TransactionOrderIsCyclic",
                ) => UnitsError::Conflict { unit, detail },
                _ => UnitsError::Other {
                    unit,
                    source: error,
                },
            }
        }
        _ => UnitsError::Other {
            unit,
            source: error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_that_systemd_documents_has_its_own_word() {
        for (word, result) in [
            ("done", JobResult::Done),
            ("failed", JobResult::Failed),
            ("timeout", JobResult::Timeout),
            ("canceled", JobResult::Canceled),
            ("dependency", JobResult::Dependency),
            ("skipped", JobResult::Skipped),
            ("collected", JobResult::Unknown),
        ] {
            assert_eq!(job_result(word), Some(result), "{word}");
        }
        assert_eq!(job_result("invalid"), None);
    }

    #[test]
    fn a_denial_by_polkit_names_the_command_that_helps() {
        for denial in [
            fdo::Error::AccessDenied("Access denied".into()),
            fdo::Error::InteractiveAuthorizationRequired("needed".into()),
        ] {
            let error = classify(zbus::Error::FDO(Box::new(denial)), "a.service", "reload");
            assert!(error.to_string().contains("renewctl apply"), "{error}");
            assert_eq!(error.label(), "polkit");
        }
    }

    #[test]
    fn only_commands_called_true_do_nothing() {
        assert!(does_nothing("/bin/true") && does_nothing("/usr/bin/true"));
        assert!(!does_nothing("/bin/kill") && !does_nothing("/usr/bin/untrue"));
    }
}
