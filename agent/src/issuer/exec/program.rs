//! Whose the program and the roots are: what anybody else could change would let him issue, or trust, as he likes.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use renewd_core::pem;
use rustls_pki_types::CertificateDer;

use super::error::ExecError;

/// More roots than anybody has.
const MAX_BYTES: u64 = 1024 * 1024;
const STICKY: u32 = 0o1000;
const WRITABLE: u32 = 0o022;

/// Fails unless only root (or `owner`) could change the program, or put another in its place.
pub(super) fn check(path: &Path, owner: u32) -> Result<(), ExecError> {
    let failed = |source| ExecError::Program {
        path: path.to_owned(),
        source,
    };
    let real = fs::canonicalize(path).map_err(failed)?;
    // Links on the way are replaced in their own directories.
    for place in path.ancestors().chain(real.ancestors()) {
        let found = fs::metadata(place).map_err(failed)?;
        closed(place, &found, owner)?;
    }
    Ok(())
}

fn closed(path: &Path, found: &Metadata, owner: u32) -> Result<(), ExecError> {
    let trusted = found.uid() == 0 || found.uid() == owner;
    // In a sticky directory others can make files, and move none of ours.
    let sticky = found.is_dir() && found.mode() & STICKY != 0;
    if trusted && (found.mode() & WRITABLE == 0 || sticky) {
        return Ok(());
    }
    Err(ExecError::Open {
        path: path.to_owned(),
        owner: found.uid(),
        mode: found.mode() & 0o7777,
    })
}

/// The roots that the operator wrote down.
pub(super) fn roots(path: &Path, owner: u32) -> Result<Vec<CertificateDer<'static>>, ExecError> {
    let failed = |source| ExecError::TrustIo {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    closed(path, &file.metadata().map_err(failed)?, owner)?;
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    match pem::parse_certificates(&text) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(ExecError::Trust {
            path: path.to_owned(),
        }),
    }
}
