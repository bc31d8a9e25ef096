//! The daemon, its configuration, its right to reload, the clock, and who may give orders.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use nix::unistd::Group;
use tokio::time::timeout;

use super::{Finding, Findings, Patient};
use crate::control::client::ClientError;
use crate::control::{ADMIN_GROUP, CONTROL_SOCKET};
use crate::ctl::apply::{configured, stale_rule};
use crate::ctl::dependents::chain;
use crate::ctl::output::relative;

/// Check: the configuration is right.
pub(super) fn configuration(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("configuration");
    for error in &patient.loaded.errors {
        let what = error.to_string();
        let place = error.location.to_string();
        let what = what.strip_prefix(&format!("{place}: ")).unwrap_or(&what);
        findings.error(place, what, "");
    }
    for warning in &patient.loaded.warnings {
        findings.warning(&warning.location, &warning.found, &warning.remedy);
    }
    findings.found
}

/// Check: the daemon answers.
pub(super) fn daemon(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("daemon");
    if let Err(error) = &patient.status {
        let remedy = match error {
            ClientError::Unreachable { .. } => {
                "\"systemctl start renewd\"; \"journalctl -u renewd\" tells why it stopped"
            }
            ClientError::Garbled { .. } => "\"systemctl restart renewd\" after an upgrade",
            _ => "see \"systemctl status renewd\"",
        };
        let what = chain(error);
        let what = what.strip_prefix("renewd ").unwrap_or(&what);
        findings.error("renewd", what, remedy);
    }
    findings.found
}

/// Check: the daemon goes by what is written, and by what the host is called today.
pub(super) fn in_force(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("configuration in force");
    // With errors, it does not on purpose; those are told of by themselves.
    if !patient.loaded.errors.is_empty() {
        return findings.found;
    }
    for (name, asked_for) in &patient.asked_for {
        let wanted = patient.loaded.settings.certificates[name]
            .request
            .names
            .iter();
        let wanted: Vec<String> = wanted.map(ToString::to_string).collect();
        match asked_for {
            None => findings.warning(
                name,
                "is configured, and the daemon does not know it",
                "\"systemctl reload renewd\"",
            ),
            Some(asked_for) if *asked_for != wanted => findings.warning(
                name,
                format!(
                    "is configured for {}, and the daemon asks for {}",
                    wanted.join(", "),
                    asked_for.join(", ")
                ),
                "\"systemctl reload renewd\"",
            ),
            Some(_) => {}
        }
    }
    findings.found
}

/// Check: what the daemon says of its certificates.
pub(super) fn certificates(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("certificates");
    let Ok(report) = &patient.status else {
        return findings.found;
    };
    for own in &report.certificates {
        let show = format!(
            "\"renewctl show {0}\" and \"journalctl RENEWD_CERT={0}\" tell more",
            own.name
        );
        match own.not_after {
            Some(at) if at.0 <= patient.now => {
                let ago = relative(at.0, patient.now);
                findings.error(&own.name, format!("has expired {ago}"), &*show);
            }
            None => findings.warning(
                &own.name,
                format!("is not published yet; {}", own.state),
                &*show,
            ),
            Some(_) => {}
        }
        if let Some(error) = &own.last_error {
            findings.warning(&own.name, error.clone(), &*show);
        }
        for unit in own.units.iter().filter(|unit| unit.proof == "failed") {
            let reason = unit.reason.as_deref().unwrap_or("no reason given");
            findings.error(
                &own.name,
                format!("{} is not proven: {reason}", unit.unit),
                &*show,
            );
        }
    }
    findings.found
}

/// Check: the daemon may reload what it is configured to.
pub(super) fn polkit_rule(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("polkit rule");
    let grants = configured(&patient.loaded.settings);
    let rule = &patient.options.rule_file;
    let user = patient.daemon.as_ref().map_or("renewd", |user| &*user.name);
    // root needs no rule.
    if grants.is_empty() || user == "root" {
        return findings.found;
    }
    let directory = rule.parent().unwrap_or(Path::new("/"));
    if fs::symlink_metadata(directory)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        findings.error(
            directory.display(),
            "is missing: polkit is not installed, and renewd may not reload any unit",
            "install it (Debian: polkitd, Fedora: polkit), and run \"renewctl apply\" as root",
        );
        return findings.found;
    }
    let apply = "run \"renewctl apply\" as root, or \"systemctl reload renewd\"";
    match fs::symlink_metadata(rule) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.error(
                rule.display(),
                "is missing: renewd may not reload any unit",
                apply,
            );
            return findings.found;
        }
        Ok(metadata) if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 => findings.error(
            rule.display(),
            "can be written by others than root",
            format!(
                "\"chown root:root {0}\" and \"chmod 0644 {0}\"",
                rule.display()
            ),
        ),
        // Debian keeps the directory from everybody but root and polkitd: the digest tells enough.
        _ => {}
    }
    // With errors, what is in force differs from what is written; those are told of by themselves.
    if !patient.loaded.errors.is_empty() {
        return findings.found;
    }
    let digest = &patient.options.digest_file;
    if let Some(what) = stale_rule(&patient.loaded.settings, user, digest) {
        findings.error(rule.display(), what, apply);
    }
    findings.found
}

/// Check: the clock can be believed. A certificate is valid by it or not.
pub(super) fn clock(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("clock");
    let built = patient
        .built
        .and_then(|built| Timestamp::try_from(built).ok())
        .filter(|built| patient.now < *built);
    if let Some(built) = built {
        findings.error(
            "the clock",
            format!(
                "shows {}, before this program was built ({built})",
                patient.now
            ),
            "set it, and see \"timedatectl\"",
        );
    }
    match patient.synchronized {
        Some(true) => {}
        Some(false) => findings.warning(
            "the clock",
            "is not synchronised",
            "enable systemd-timesyncd or chrony; \"timedatectl\" tells more",
        ),
        None => findings.note(
            "the clock",
            "nobody here can tell whether it is synchronised",
        ),
    }
    findings.found
}

/// Check: who may use the control socket.
pub(super) fn control_socket(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("control socket");
    let path = patient.places.runtime.join(CONTROL_SOCKET);
    let group = Group::from_name(ADMIN_GROUP).ok().flatten();
    let daemon = patient.daemon.as_ref().map(|user| &*user.name);
    let mut who = vec!["root"];
    who.extend(daemon.filter(|name| *name != "root"));
    let members = group.as_ref().map(|group| group.mem.join(", "));
    let who = match &members {
        Some(members) if members.is_empty() => {
            format!(
                "{} and members of {ADMIN_GROUP} (it has none)",
                who.join(", ")
            )
        }
        Some(members) => format!(
            "{} and members of {ADMIN_GROUP} ({members})",
            who.join(", ")
        ),
        None => format!("{} (there is no group {ADMIN_GROUP})", who.join(", ")),
    };
    findings.note(path.display(), format!("may be used by {who}"));
    let Ok(metadata) = fs::symlink_metadata(&path) else {
        if patient.status.is_ok() {
            findings.error(
                path.display(),
                "is not there, although the daemon runs",
                "\"systemctl restart renewd\" makes it again",
            );
        }
        return findings.found;
    };
    let mode = metadata.mode() & 0o777;
    let expected = match &group {
        Some(group) => mode == 0o660 && metadata.gid() == group.gid.as_raw(),
        None => mode == 0o600,
    };
    if !expected {
        let restart = "\"systemctl restart renewd\" sets it right";
        let what = format!("has mode {mode:04o} and group {}", metadata.gid());
        if mode & 0o007 != 0 {
            findings.error(
                path.display(),
                format!("{what}: others may connect, and are then refused"),
                restart,
            );
        } else {
            findings.warning(
                path.display(),
                format!("{what}: members of {ADMIN_GROUP} cannot connect"),
                restart,
            );
        }
    }
    findings.found
}

/// Whether the clock is synchronised: by systemd-timesyncd's mark, else by the kernel's own word, which
/// timedated passes on.
pub(super) async fn synchronized(mark: &Path) -> Option<bool> {
    if mark.exists() {
        return Some(true);
    }
    let ask = async {
        let bus = zbus::Connection::system().await?;
        TimeDateProxy::new(&bus).await?.ntp_synchronized().await
    };
    match timeout(Duration::from_secs(5), ask).await {
        Ok(Ok(answer)) => Some(answer),
        _ => None,
    }
}

/// When this program was built: no honest clock shows less.
pub(super) fn built() -> Option<SystemTime> {
    fs::metadata("/proc/self/exe").ok()?.modified().ok()
}

/// org.freedesktop.timedate1(5).
#[zbus::proxy(
    interface = "org.freedesktop.timedate1",
    default_service = "org.freedesktop.timedate1",
    default_path = "/org/freedesktop/timedate1"
)]
trait TimeDate {
    #[zbus(property(emits_changed_signal = "false"), name = "NTPSynchronized")]
    fn ntp_synchronized(&self) -> zbus::Result<bool>;
}
