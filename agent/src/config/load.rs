//! From the configuration's directory to [`Settings`]: which files count, what a bad one costs, and
//! what it falls back to.
//!
//! A reload is all or nothing: its caller refuses [`Loaded::settings`] when there are errors. At start
//! a bad certificate file holds that certificate alone, on its last accepted text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use renewd_core::names::CertificateName;

use crate::table::{ConfigError, ConfigWarning, Location, Report, Source};

use super::certificate;
use super::environment::Environment;
use super::files::{CERTIFICATES, Files, Read, collision};
use super::issuer::Main;
use super::settings::{CertificateSettings, DependentSettings, Settings, Texts};

/// What was found in the configuration.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Everything that is right, and what is held on its last accepted text.
    pub settings: Settings,
    /// Everything that is wrong, by file and line.
    pub errors: Vec<ConfigError>,
    /// What is allowed and likely not meant, by file and line.
    pub warnings: Vec<ConfigWarning>,
    /// The certificates whose file cannot be used.
    pub held: BTreeMap<CertificateName, Held>,
    /// Whether `renewd.toml` cannot be used and its last accepted text is in force.
    pub main_held: bool,
}

impl Loaded {
    /// What is wrong with a certificate's own file; nothing where it is held for another file's sake.
    pub fn errors_of(&self, name: &CertificateName) -> impl Iterator<Item = &ConfigError> {
        let own = PathBuf::from(CERTIFICATES).join(format!("{name}.toml"));
        self.errors
            .iter()
            // By whole components: "api.toml" is no end of "web-api.toml".
            .filter(move |error| error.location.file.ends_with(&own))
    }
}

/// What a certificate whose file cannot be used is held on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Its last accepted settings.
    LastAccepted,
    /// Nothing: it has none, or they refer to what is gone. What is published stays.
    Nothing,
}

/// Reads the configuration in `directory` (`/etc/renewd`).
pub fn load(directory: &Path, environment: &Environment) -> Loaded {
    build(Files::read(directory), None, environment)
}

/// As [`load`], with `last` in place of files that cannot be used.
pub fn load_at_start(directory: &Path, last: &Texts, environment: &Environment) -> Loaded {
    build(Files::read(directory), Some(last), environment)
}

/// As [`load`], from texts instead of files; `directory` only serves to name them.
pub fn load_texts(directory: &Path, texts: &Texts, environment: &Environment) -> Loaded {
    build(Files::of_texts(directory, texts), None, environment)
}

/// Judges the files, all of them, whatever is wrong with some.
pub(super) fn build(mut files: Files, last: Option<&Texts>, environment: &Environment) -> Loaded {
    let mut report = std::mem::take(&mut files.report);
    let mut loaded = Loaded::default();
    let collisions = files.collisions();

    let main = MainInForce::choose(&files.main, last, environment, &mut report);
    loaded.main_held = main.held;
    loaded.settings.texts.main = main.text.clone();
    if let (true, Some(main)) = (main.in_force, &main.main) {
        loaded.settings.issuers = main.issuers.clone();
    }

    if let (false, Some(last)) = (files.listed, last) {
        for name in last.certificates.keys() {
            let file = PathBuf::from(CERTIFICATES).join(format!("{name}.toml"));
            let found = hold(name, &file, last, &main, environment, &mut loaded.settings);
            loaded.held.insert(name.clone(), found);
        }
    }
    for (name, read) in files.certificates {
        let mut own = Report::default();
        let settings = match &read {
            Ok(source) => {
                certificate::read(&name, source, main.main.as_ref(), environment, &mut own)
            }
            Err((location, mismatch)) => {
                own.error(location, "", mismatch.clone());
                None
            }
        };
        let file = file_of(&read);
        if let Some(other) = collisions.get(&name) {
            own.error(&Location::whole(&file), "", collision(other));
        }
        let clean = own.errors.is_empty();
        let twice_loaded = settings
            .as_ref()
            .and_then(|settings| twice_loaded(&loaded.settings, settings));
        if let Some((dependent, other)) = twice_loaded {
            report.errors.push(dependent.error(
                "credential",
                format!("certificate {other} is given to this unit under the same name"),
                "a name for each certificate of a unit",
                "choose another name, here and in the unit's LoadCredential=",
            ));
        }
        let clean = clean && twice_loaded.is_none();
        report.append(own);
        match (settings, read) {
            (Some(settings), Ok(source)) if clean && main.in_force => {
                insert(&mut loaded.settings, settings, source.text().to_owned());
            }
            _ => {
                let found = last.map_or(Held::Nothing, |last| {
                    hold(&name, &file, last, &main, environment, &mut loaded.settings)
                });
                loaded.held.insert(name, found);
            }
        }
    }
    report.sort();
    loaded.errors = report.errors;
    loaded.warnings = report.warnings;
    loaded
}

/// `renewd.toml`, from the file or from the last time.
struct MainInForce {
    /// For judging certificates, even where it must not be put in force.
    main: Option<Main>,
    /// What is to be kept for the next start.
    text: Option<String>,
    /// Whether it is without errors. A wrong default that fell back to the built-in one could give a
    /// key to the wrong owner, so nothing is taken from a file with errors.
    in_force: bool,
    held: bool,
}

impl MainInForce {
    fn choose(
        read: &Read,
        last: Option<&Texts>,
        environment: &Environment,
        report: &mut Report,
    ) -> Self {
        let mut own = Report::default();
        let main = match read {
            Ok(source) => Main::read(source, environment, &mut own),
            Err((location, mismatch)) => {
                own.error(location, "", mismatch.clone());
                None
            }
        };
        let clean = own.errors.is_empty();
        report.append(own);
        if clean {
            return Self {
                main,
                text: read.as_ref().ok().map(|source| source.text().to_owned()),
                in_force: true,
                held: false,
            };
        }
        if let Some(text) = last.and_then(|last| last.main.as_ref()) {
            let file = file_of(read);
            let mut ignored = Report::default();
            let kept = Source::new(&last_accepted(&file), text.clone());
            let kept = Main::read(&kept, environment, &mut ignored);
            if ignored.errors.is_empty() {
                return Self {
                    main: kept,
                    text: Some(text.clone()),
                    in_force: true,
                    held: true,
                };
            }
        }
        Self {
            main,
            text: last.and_then(|last| last.main.clone()),
            in_force: false,
            held: false,
        }
    }
}

/// Puts the last accepted settings of a certificate in force, if they still mean something.
fn hold(
    name: &CertificateName,
    file: &Path,
    last: &Texts,
    main: &MainInForce,
    environment: &Environment,
    settings: &mut Settings,
) -> Held {
    let Some(text) = last.certificates.get(name) else {
        return Held::Nothing;
    };
    // Kept even where it means nothing now: what it refers to may come back.
    let texts = &mut settings.texts.certificates;
    texts.insert(name.clone(), text.clone());
    if !main.in_force {
        return Held::Nothing;
    }
    let source = Source::new(&last_accepted(file), text.clone());
    let mut ignored = Report::default();
    let main = main.main.as_ref();
    match certificate::read(name, &source, main, environment, &mut ignored) {
        Some(kept) if ignored.errors.is_empty() && twice_loaded(settings, &kept).is_none() => {
            insert(settings, kept, text.clone());
            Held::LastAccepted
        }
        _ => Held::Nothing,
    }
}

/// The dependent that would load two certificates under one name, and the one that it loads already: systemd
/// asks for one of them, and nobody could say which.
fn twice_loaded<'a>(
    settings: &'a Settings,
    certificate: &'a CertificateSettings,
) -> Option<(&'a DependentSettings, &'a CertificateName)> {
    certificate.dependents.iter().find_map(|own| {
        let credential = own.credential.as_ref()?;
        let (other, _) = settings.units().find(|(_, other)| {
            other.credential.as_ref() == Some(credential)
                && other.dependent.unit == own.dependent.unit
        })?;
        Some((own, other))
    })
}

fn insert(settings: &mut Settings, certificate: CertificateSettings, text: String) {
    let name = certificate.name.clone();
    settings.texts.certificates.insert(name.clone(), text);
    settings.certificates.insert(name, certificate);
}

fn file_of(read: &Read) -> Arc<Path> {
    match read {
        Ok(source) => Arc::clone(source.file()),
        Err((location, _)) => Arc::clone(&location.file),
    }
}

/// Lines of a kept text must not be taken for lines of the file.
fn last_accepted(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(" (last accepted)");
    PathBuf::from(name)
}
