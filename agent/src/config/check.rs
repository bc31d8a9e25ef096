//! `renewctl check`: the same judgement as the daemon's, without the daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::table::{ConfigError, ConfigWarning, Location, Report, Source};

use super::environment::Environment;
use super::files::{CERTIFICATES, Files, MAIN_FILE};
use super::load::{Loaded, build, load};

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Everything that is wrong.
    pub errors: Vec<ConfigError>,
    /// What is allowed and likely not meant.
    pub warnings: Vec<ConfigWarning>,
    /// How many certificates are right.
    pub certificates: usize,
    /// What was found right, for checks that only systemd can make.
    pub loaded: Vec<Loaded>,
}

/// Checks the configuration in `directory`, or the files that are named: a directory is one like
/// `/etc/renewd`, a `renewd.toml` is a main file, and any other file is a certificate's. Its main file
/// is the one beside it, else the one above its `certs.d`, else the one in `directory`.
pub fn check(directory: &Path, files: &[PathBuf], environment: &Environment) -> Checked {
    let mut checked = Checked::default();
    if files.is_empty() {
        checked.add(load(directory, environment));
        return checked;
    }
    let mut groups: BTreeMap<PathBuf, Vec<&PathBuf>> = BTreeMap::new();
    for file in files {
        if file.is_dir() {
            checked.add(load(file, environment));
        } else {
            groups
                .entry(main_of(file, directory))
                .or_default()
                .push(file);
        }
    }
    for (main, files) in groups {
        checked.add(check_group(&main, &files, environment));
    }
    checked
}

impl Checked {
    fn add(&mut self, mut loaded: Loaded) {
        self.errors.append(&mut loaded.errors);
        self.warnings.append(&mut loaded.warnings);
        self.certificates += loaded.settings.certificates.len();
        self.loaded.push(loaded);
    }
}

fn main_of(file: &Path, directory: &Path) -> PathBuf {
    if file.file_name().is_some_and(|name| name == MAIN_FILE) {
        return file.to_owned();
    }
    let parent = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("."),
    };
    let beside = parent.join(MAIN_FILE);
    if beside.is_file() {
        return beside;
    }
    // Made absolute, since "." has no parent to be seen.
    let above = std::fs::canonicalize(parent)
        .ok()
        .filter(|parent| parent.file_name().is_some_and(|name| name == CERTIFICATES))
        .and_then(|parent| Some(parent.parent()?.join(MAIN_FILE)));
    match above {
        Some(above) if above.is_file() => above,
        _ => directory.join(MAIN_FILE),
    }
}

fn check_group(main: &Path, paths: &[&PathBuf], environment: &Environment) -> Loaded {
    let asked_for_main = paths.iter().any(|path| path.as_path() == main);
    let mut files = Files {
        main: Source::read(main),
        certificates: Vec::new(),
        listed: true,
        report: Report::default(),
    };
    let absent = files.main.is_err() && !asked_for_main;
    for path in paths.iter().filter(|path| path.as_path() != main) {
        let before = files.certificates.len();
        files.add(path);
        // Passed over in a directory, but not when asked for by name.
        if files.certificates.len() == before && files.report.errors.is_empty() {
            files.report.warning(
                &Location::whole(path),
                "",
                "was not checked, as it is no certificate's file",
                "rename it to NAME.toml",
            );
        }
    }
    let mut loaded = build(files, None, environment);
    if absent {
        loaded.errors.retain(|error| *error.location.file != *main);
        loaded.warnings.push(ConfigWarning {
            location: Location::whole(main),
            field: String::new(),
            found: "is not there, so issuers and defaults were not checked".to_owned(),
            remedy: "name a file that lies beside its renewd.toml".to_owned(),
        });
    }
    loaded
}
