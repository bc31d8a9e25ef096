//! Whose programs, and files that are believed, are: what anybody else could change would let him issue, or trust, as he
//! likes.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::ProgramError;

const STICKY: u32 = 0o1000;
const WRITABLE: u32 = 0o022;

/// Fails unless only root (or `owner`) could change the program, or put another in its place.
pub(super) fn check(path: &Path, owner: u32) -> Result<(), ProgramError> {
    let failed = |source| ProgramError::Program {
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

/// Fails unless only root (or `owner`) could change what is there.
pub(in super::super) fn closed(
    path: &Path,
    found: &Metadata,
    owner: u32,
) -> Result<(), ProgramError> {
    let trusted = found.uid() == 0 || found.uid() == owner;
    // In a sticky directory others can make files, and move none of ours.
    let sticky = found.is_dir() && found.mode() & STICKY != 0;
    if trusted && (found.mode() & WRITABLE == 0 || sticky) {
        return Ok(());
    }
    Err(ProgramError::Open {
        path: path.to_owned(),
        owner: found.uid(),
        mode: found.mode() & 0o7777,
    })
}
