//! Whether the files that hold what issuers are to be shown are closed to everybody else: the daemon refuses others, and
//! that would show only when one is needed.
//!
//! Looks at owners and modes only; never opens one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Finding, Findings, Patient};
use crate::secret::{Secret, closed_for};

/// Check: owners and modes of the secrets that the configuration names. What systemd gives (`credential:`) is closed.
pub(super) fn secrets(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("secrets");
    let issuers = patient.loaded.settings.issuers.values();
    let named: BTreeSet<&Path> = issuers
        .flat_map(|issuer| issuer.configured.secrets())
        .filter_map(|secret| match secret {
            Secret::File(path) => Some(path.as_path()),
            Secret::Credential(_) => None,
        })
        .collect();
    for path in named {
        look(&mut findings, patient, path);
    }
    findings.found
}

/// As the daemon does when it reads it, also through a link.
fn look(findings: &mut Findings, patient: &Patient<'_>, path: &Path) {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // A token may have served already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return findings.note(path.display(), "is not there");
        }
        Err(error) => {
            let what = format!("cannot be looked at: {error}");
            return findings.warning(path.display(), what, super::files::AS_ROOT);
        }
    };
    let Some(daemon) = &patient.daemon else {
        let what = "is not looked at: there is no store yet that tells the daemon's user";
        return findings.note(path.display(), what);
    };
    if let Err(error) = closed_for(path, &metadata, daemon.uid, daemon.gid) {
        let what = format!(
            "others may read or change it, so the daemon refuses it (user {}, group {}, mode {:04o})",
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777
        );
        findings.error(path.display(), what, error.remedy());
    }
}
