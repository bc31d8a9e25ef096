//! `check`: judges configuration files as the daemon would, without the daemon.
//!
//! Owns: adding to the configuration's own findings what only systemd can tell, where it can be asked.
//! Neighbours: [`crate::config::check`] judges the text, [`super::dependents`] the units.

use std::path::PathBuf;

use super::Places;
use super::dependents::{self, Severity};
use super::failure::{Code, Failure};
use super::output::{Output, Tone};
use crate::config::{self, ConfigError, ConfigWarning, Environment, ErrorKind};
use crate::kinds::KINDS;
use crate::units::Units;

/// Prints every fault of `files`, or of the whole configuration when none is named.
pub(super) async fn check(
    places: &Places,
    files: &[PathBuf],
    units: Option<&dyn Units>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut checked = config::check(&places.config, files, &Environment::of_this_host(KINDS));
    let mut unasked = None;
    if let Some(units) = units {
        for loaded in &checked.loaded {
            let seen = dependents::look(&loaded.settings, units).await;
            for finding in dependents::judge(&loaded.settings, &seen) {
                match finding.severity {
                    Severity::Error => checked.errors.push(ConfigError {
                        kind: ErrorKind::Unit,
                        location: finding.location,
                        field: finding.field,
                        found: finding.what,
                        expected: String::new(),
                        remedy: finding.remedy,
                    }),
                    _ => checked.warnings.push(ConfigWarning {
                        location: finding.location,
                        field: finding.field,
                        found: finding.what,
                        remedy: finding.remedy,
                    }),
                }
            }
            unasked = unasked.or(seen.trouble);
        }
        checked.errors.sort_by(|a, b| a.location.cmp(&b.location));
        checked.warnings.sort_by(|a, b| a.location.cmp(&b.location));
    }
    for error in &checked.errors {
        tell(out, Tone::Bad, "", &error.to_string())?;
    }
    for warning in &checked.warnings {
        tell(out, Tone::Notice, "warning: ", &warning.to_string())?;
    }
    if let Some(trouble) = unasked {
        out.line(&format!("note: the units were not looked at: {trouble}"))?;
    }
    let certificates = match checked.certificates {
        1 => "1 certificate is right".to_owned(),
        number => format!("{number} certificates are right"),
    };
    match checked.errors.len() {
        0 => {
            out.line(&format!("{certificates}."))?;
            Ok(())
        }
        1 => {
            out.line(&format!("1 error; {certificates}."))?;
            Err(Failure::told(Code::Config))
        }
        number => {
            out.line(&format!("{number} errors; {certificates}."))?;
            Err(Failure::told(Code::Config))
        }
    }
}

fn tell(out: &mut Output<'_>, tone: Tone, word: &str, text: &str) -> std::io::Result<()> {
    // The place first, as editors and people expect it; the word only for what is no error.
    let text = super::output::printable(&format!("{word}{text}"));
    let line = out.tone(tone, &text);
    out.raw(&(line + "\n"))
}
