//! `apply`: root's part. Allows the daemon to tell exactly the configured units what is configured.
//!
//! Owns: the polkit rule's file and the digest by which the daemon sees that the rule is stale. Reads
//! only files that nobody but root can write: who can change them decides what the daemon may do.
//! One bad file never takes away the others' rule. Neighbour: [`crate::polkit`] renders the rule.

mod preview;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nix::unistd::geteuid;
use renewd_core::names::UnitName;
use tokio::time::timeout;

use super::Places;
use super::dependents::{self, Seen};
use super::failure::{Code, Failure};
use super::output::Output;
use crate::config::{self, Environment, Settings};
use crate::kinds::KINDS;
use crate::polkit::{self, Grant};
use crate::units::Units;

/// Where the digest of the applied rule lies; the daemon compares it with its own.
pub const DIGEST_FILE: &str = "/run/renewd-apply.digest";

/// How long systemd may take to tell what the units are; the daemon's start waits for this.
const PATIENCE: Duration = Duration::from_secs(20);

/// How `apply` is asked.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Tell what would be allowed that was not, and what would not be any more, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The user that the daemon runs as
    #[arg(long, default_value = "renewd")]
    pub(super) user: String,
    /// Another place for the rule, for tests
    #[arg(long, hide = true, value_name = "FILE", default_value = polkit::RULE_FILE)]
    pub(super) rule_file: PathBuf,
    /// Another place for the digest, for tests
    #[arg(long, hide = true, value_name = "FILE", default_value = DIGEST_FILE)]
    pub(super) digest_file: PathBuf,
}

/// Writes the rule and then the digest.
///
/// With errors in the configuration, or a systemd that does not tell what a unit's canonical name is,
/// what the rule allowed before stays allowed besides what is right now: a certificate that is held on
/// its last settings can still be reloaded, and so can the unit that an alias led to. Without polkit
/// there is nothing to write, which is said and is no failure: the daemon runs, and cannot reload.
pub(super) async fn apply(
    places: &Places,
    options: &Options,
    units: &dyn Units,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    trusted_directory(&places.config)?;
    let loaded = config::load(&places.config, &Environment::of_this_host(KINDS));
    for error in &loaded.errors {
        out.line(&error.to_string())?;
    }
    let (settings, distrusted) = trusted(loaded.settings);
    for complaint in &distrusted {
        out.line(complaint)?;
    }
    let seen = timeout(PATIENCE, dependents::look(&settings, units))
        .await
        .unwrap_or_else(|_| Seen {
            trouble: Some(format!("no answer within {} s", PATIENCE.as_secs())),
            ..Seen::default()
        });
    if let Some(trouble) = &seen.trouble {
        out.line(&format!(
            "aliases of units were not resolved, as systemd could not be asked: {trouble}"
        ))?;
    }
    for (unit, trouble) in &seen.unknown {
        out.line(&format!(
            "whether {unit} is an alias is not known: {trouble}"
        ))?;
    }
    let right = loaded.errors.is_empty() && distrusted.is_empty();
    let resolved = seen.trouble.is_none() && seen.unknown.is_empty();
    let kept = if right && resolved {
        BTreeSet::new()
    } else {
        granted(&fs::read_to_string(&options.rule_file).unwrap_or_default())
    };
    let configured: BTreeSet<Grant> = configured(&settings).union(&kept).cloned().collect();
    let canonical: BTreeSet<Grant> = canonical(&settings, &seen).union(&kept).cloned().collect();
    let rule = polkit::rule(&options.user, &canonical);
    if options.dry_run {
        return preview::tell(&options.rule_file, &rule, &canonical, out);
    }
    // A rule with names that may not be those that polkit is told is not known to be right.
    let digest = resolved.then(|| polkit::digest(&options.user, &configured).to_string());
    write_all(options, &rule, digest, out)?;
    if !right {
        out.line("What the rule allowed before stays allowed until the configuration is right.")?;
    } else if !resolved {
        out.line(
            "What the rule allowed before stays allowed until \"renewctl apply\" can ask systemd.",
        )?;
    }
    Ok(())
}

fn write_all(
    options: &Options,
    rule: &str,
    digest: Option<String>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let directory = options.rule_file.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        out.line(&format!(
            "polkit is not installed ({} is missing), so renewd may not reload any unit: install \
             it (Debian: polkitd, Fedora: polkit) and run \"renewctl apply\"",
            directory.display()
        ))?;
        // A digest without its rule would hide that.
        let _ = fs::remove_file(&options.digest_file);
        return Ok(());
    }
    if fs::read_to_string(&options.rule_file).is_ok_and(|old| old == rule) {
        // polkit would read all its rules again for nothing.
        out.line(&format!("{} is up to date.", options.rule_file.display()))?;
    } else {
        replace(&options.rule_file, rule)?;
        out.line(&format!("Wrote {}.", options.rule_file.display()))?;
    }
    match digest {
        Some(digest) => replace(&options.digest_file, &format!("{digest}\n")),
        None => {
            let _ = fs::remove_file(&options.digest_file);
            Ok(())
        }
    }
}

/// Why the daemon running as `user` may not do to its units what these settings ask for: the rule was
/// not written, or for other settings. `None` when it is as it should be, or none is needed.
///
/// For the daemon, which cannot read the rule, and for `doctor`.
pub fn stale_rule(settings: &Settings, user: &str, digest_file: &Path) -> Option<String> {
    let grants = configured(settings);
    // root needs no rule.
    if grants.is_empty() || user == "root" {
        return None;
    }
    match fs::read_to_string(digest_file) {
        Ok(text) if text.trim() == polkit::digest(user, &grants).to_string() => None,
        Ok(_) => Some(
            "the polkit rule is stale: the configuration names other units or verbs than it allows"
                .to_owned(),
        ),
        Err(error) => Some(format!(
            "nobody knows what the polkit rule allows: {} cannot be read: {error}",
            digest_file.display()
        )),
    }
}

/// What the configuration asks for, in its own names.
pub(super) fn configured(settings: &Settings) -> BTreeSet<Grant> {
    settings
        .units()
        .flat_map(|(_, own)| Grant::needed(&own.dependent.unit, own.dependent.on_change))
        .collect()
}

/// The same in the names that polkit is told: those that aliases lead to.
fn canonical(settings: &Settings, seen: &Seen) -> BTreeSet<Grant> {
    let name = |unit: &UnitName| {
        let canonical = seen.facts.get(unit).map(|facts| facts.canonical.parse());
        match canonical {
            Some(Ok(canonical)) => canonical,
            _ => unit.clone(),
        }
    };
    settings
        .units()
        .flat_map(|(_, own)| Grant::needed(&name(&own.dependent.unit), own.dependent.on_change))
        .collect()
}

/// What a rule that was written before allows.
fn granted(rule: &str) -> BTreeSet<Grant> {
    let grant = |line: &str| {
        // A JavaScript literal of only ASCII and \u escapes is one of JSON, too.
        let pair: String = serde_json::from_str(line.trim().strip_suffix(',')?).ok()?;
        Grant::read(&pair)
    };
    rule.lines().filter_map(grant).collect()
}

/// Refuses a configuration whose directory others can write: they could put any unit into it.
fn trusted_directory(config: &Path) -> Result<(), Failure> {
    let parts = [
        config.to_owned(),
        config.join("certs.d"),
        config.join("renewd.toml"),
    ];
    for path in parts {
        if let Some(complaint) = distrust(&path) {
            return Err(Failure::new(
                Code::Permission,
                format!("nothing was applied: {complaint}"),
                format!(
                    "\"chown root:root {0}\" and \"chmod go-w {0}\"",
                    path.display()
                ),
            ));
        }
    }
    Ok(())
}

/// Leaves out the certificates whose files others can write.
fn trusted(mut settings: Settings) -> (Settings, Vec<String>) {
    let mut complaints = Vec::new();
    settings.certificates.retain(
        |name, certificate| match distrust(&certificate.location.file) {
            Some(complaint) => {
                complaints.push(format!("certificate {name} is left out: {complaint}"));
                false
            }
            None => true,
        },
    );
    (settings, complaints)
}

/// Why a file or directory of the configuration could have been written by somebody else. What is
/// missing is the configuration's own complaint.
fn distrust(path: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    // Whoever can write the directory can put another file in its place; with the sticky bit, only the
    // file's owner can.
    let parent = real.parent().unwrap_or(&real);
    for (place, sticky_helps) in [(parent, true), (&real, false)] {
        let metadata = fs::metadata(place).ok()?;
        let path = place.display();
        if metadata.uid() != 0 && metadata.uid() != geteuid().as_raw() {
            return Some(format!(
                "{path} belongs to user {}, and not to root",
                metadata.uid()
            ));
        }
        let sticky = metadata.mode() & 0o1000 != 0;
        if metadata.mode() & 0o022 != 0 && !(sticky && sticky_helps) {
            return Some(format!(
                "{path} can be written by others than root (mode {:04o})",
                metadata.mode() & 0o7777
            ));
        }
    }
    None
}

/// Replaces a file as a whole: 0644, and on disk before it is in place.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    // Does not end in ".rules", so that polkit passes it over.
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(text.as_bytes())?;
        // Whatever the umask: polkitd and the daemon must be able to read it.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(|error| {
        let (code, remedy) = match error.kind() {
            io::ErrorKind::PermissionDenied => (Code::Permission, "run this as root"),
            _ => (Code::System, ""),
        };
        Failure::new(
            code,
            format!("cannot write {}: {error}", path.display()),
            remedy,
        )
    })
}
