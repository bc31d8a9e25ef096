//! Whether what is kept and published belongs to those it should, and to nobody else.
//!
//! Looks at owners and modes only; never opens a key.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Finding, Findings, Patient};
use crate::config::Ownership;

/// The files that hold the private key.
const PRIVATE: [&str; 2] = ["key.pem", "combined.pem"];
/// The files for everybody.
const PUBLIC: [&str; 4] = ["cert.pem", "chain.pem", "fullchain.pem", "ca.pem"];

/// Check: owners and modes of the store and of everything published.
pub(super) fn permissions(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Findings::of("permissions");
    let state = &patient.places.state;
    store(&mut findings, &state.join("store"));
    let certs = state.join("certs");
    let daemon = match look(&mut findings, &certs) {
        Some(metadata) => {
            writable_by_others(&mut findings, &certs, &metadata);
            metadata.uid()
        }
        None => return findings.found,
    };
    let entries = match fs::read_dir(&certs) {
        Ok(entries) => entries,
        Err(error) => {
            findings.warning(certs.display(), format!("cannot be read: {error}"), AS_ROOT);
            return findings.found;
        }
    };
    let settings = &patient.loaded.settings;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let wanted = settings
            .certificates
            .iter()
            .find(|(known, _)| name == known.as_str())
            .map(|(_, certificate)| &certificate.ownership);
        let held = patient.loaded.held.keys().any(|held| name == held.as_str());
        if wanted.is_none() && !held {
            let name = name.display();
            findings.add(
                super::Severity::Note,
                entry.path().display(),
                "is published and no longer configured",
                format!("\"renewctl forget {name}\" removes it"),
            );
        }
        certificate(&mut findings, &entry.path(), daemon, wanted);
    }
    findings.found
}

pub(super) const AS_ROOT: &str = "run doctor as root to look there";

fn store(findings: &mut Findings, store: &Path) {
    let Some(metadata) = look(findings, store) else {
        return;
    };
    if !metadata.is_dir() || metadata.mode() & 0o077 != 0 {
        findings.error(
            store.display(),
            format!(
                "holds private keys and can be entered by others (mode {:04o})",
                metadata.mode() & 0o7777
            ),
            format!(
                "\"chmod 0700 {}\", and renew what may have been read",
                store.display()
            ),
        );
    }
}

fn certificate(findings: &mut Findings, path: &Path, daemon: u32, wanted: Option<&Ownership>) {
    let Some(metadata) = look(findings, path) else {
        return;
    };
    if !metadata.is_dir() {
        findings.error(
            path.display(),
            "is no directory of its own; services that mounted it would stay on an old generation",
            format!("move {} away; the daemon publishes anew", path.display()),
        );
        return;
    }
    writable_by_others(findings, path, &metadata);
    if metadata.uid() != daemon {
        findings.error(
            path.display(),
            format!(
                "belongs to user {}, so the daemon cannot publish",
                metadata.uid()
            ),
            format!("\"chown {daemon} {}\"", path.display()),
        );
    }
    if let Some(wanted) = wanted.filter(|wanted| wanted.gid != metadata.gid()) {
        findings.error(
            path.display(),
            format!(
                "belongs to group {}, and group {} is to read it",
                metadata.gid(),
                wanted.group
            ),
            renew(path),
        );
    }
    let current = path.join("current");
    let generation = match fs::canonicalize(&current) {
        Ok(generation) if generation.parent() == fs::canonicalize(path).ok().as_deref() => {
            generation
        }
        Ok(elsewhere) => {
            findings.error(
                current.display(),
                format!("points at {}, which is no generation", elsewhere.display()),
                renew(path),
            );
            return;
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            findings.warning(current.display(), "cannot be looked at", AS_ROOT);
            return;
        }
        // Before its first generation a certificate has no link; a link to nothing is a fault.
        Err(_) if fs::symlink_metadata(&current).is_err() => return,
        Err(error) => {
            findings.error(
                current.display(),
                format!("points nowhere: {error}"),
                renew(path),
            );
            return;
        }
    };
    for name in PRIVATE {
        if let Some(metadata) = look(findings, &generation.join(name)) {
            private(findings, &generation.join(name), &metadata, wanted, path);
        }
    }
    for name in PUBLIC {
        if let Some(metadata) = look(findings, &generation.join(name)) {
            writable_by_others(findings, &generation.join(name), &metadata);
        }
    }
}

fn private(
    findings: &mut Findings,
    path: &Path,
    metadata: &Metadata,
    wanted: Option<&Ownership>,
    certificate: &Path,
) {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 != 0 {
        findings.error(
            path.display(),
            format!("a private key that everybody may read (mode {mode:04o})"),
            renew(certificate),
        );
    }
    let Some(wanted) = wanted else { return };
    if (metadata.uid(), metadata.gid(), mode) != (wanted.uid, wanted.gid, wanted.mode) {
        findings.error(
            path.display(),
            format!(
                "is {}:{} {mode:04o}, and {}:{} {:04o} is configured",
                metadata.uid(),
                metadata.gid(),
                wanted.owner,
                wanted.group,
                wanted.mode
            ),
            renew(certificate),
        );
    }
}

fn writable_by_others(findings: &mut Findings, path: &Path, metadata: &Metadata) {
    if metadata.mode() & 0o022 != 0 && !metadata.is_symlink() {
        findings.error(
            path.display(),
            format!(
                "can be written by others (mode {:04o})",
                metadata.mode() & 0o7777
            ),
            format!("\"chmod go-w {}\"", path.display()),
        );
    }
}

/// What is there, without following a link; nothing said when nothing is there.
fn look(findings: &mut Findings, path: &Path) -> Option<Metadata> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            findings.warning(
                path.display(),
                format!("cannot be looked at: {error}"),
                AS_ROOT,
            );
            None
        }
    }
}

fn renew(certificate: &Path) -> String {
    let name = certificate.file_name().unwrap_or_default().display();
    format!("\"renewctl renew --wait {name}\" publishes it anew as configured")
}
