//! `apply --dry-run`: what would be allowed that was not, and what would not be any more.
//!
//! Changes nothing, and asks nobody: it compares the rule that is in place with the one that would be.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::super::failure::Failure;
use super::super::output::{Output, Tone};
use super::granted;
use crate::polkit::Grant;

/// Tells how `file` would change if `rule`, which grants `wanted`, were written to it.
pub(super) fn tell(
    file: &Path,
    rule: &str,
    wanted: &BTreeSet<Grant>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let place = file.display();
    let old = match std::fs::read_to_string(file) {
        Ok(old) if old == rule => {
            out.line(&format!("{place} is up to date."))?;
            old
        }
        Ok(old) => {
            out.line(&format!("{place} would be written anew."))?;
            old
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            out.line(&format!("{place} would be made."))?;
            String::new()
        }
        Err(error) => {
            // Debian keeps the directory from everybody but root and polkitd.
            out.line(&format!(
                "{place} cannot be read ({error}), so all is shown that would be allowed; as root, what would change."
            ))?;
            String::new()
        }
    };
    let before = granted(&old);
    for grant in before.union(wanted) {
        let (sign, tone) = match (before.contains(grant), wanted.contains(grant)) {
            (true, false) => ("-", Tone::Bad),
            (false, true) => ("+", Tone::Good),
            _ => (" ", Tone::Plain),
        };
        let line = out.tone(tone, &format!("{sign} {grant}"));
        out.raw(&format!("  {line}\n"))?;
    }
    if before.is_empty() && wanted.is_empty() {
        out.line("  Nothing is allowed: no unit is configured that would be told anything.")?;
    }
    out.line("Nothing was changed.")?;
    Ok(())
}
