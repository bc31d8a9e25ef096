//! From the configuration's directory to [`Settings`]: which files count, what a bad one costs, and
//! what it falls back to.
//!
//! A reload is all or nothing: its caller refuses [`Loaded::settings`] when there are errors. At start
//! a bad certificate file holds that certificate alone, on its last accepted text.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use renewd_core::names::CertificateName;

use super::certificate;
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning, ErrorKind, Location, Mismatch, Report};
use super::issuer::Main;
use super::settings::{CertificateSettings, Settings, Texts};
use super::source::Source;

/// The name of the main file.
pub(super) const MAIN_FILE: &str = "renewd.toml";
/// The name of the certificates' directory.
pub(super) const CERTIFICATES: &str = "certs.d";

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
    let main = directory.join(MAIN_FILE);
    let certificate = |(name, text): (&CertificateName, &String)| {
        let file = directory.join(CERTIFICATES).join(format!("{name}.toml"));
        (name.clone(), Ok(Source::new(&file, text.clone())))
    };
    let files = Files {
        main: match &texts.main {
            Some(text) => Ok(Source::new(&main, text.clone())),
            None => Err((Location::whole(&main), absent())),
        },
        certificates: texts.certificates.iter().map(certificate).collect(),
        listed: true,
        report: Report::default(),
    };
    build(files, None, environment)
}

fn absent() -> Mismatch {
    Mismatch::of(
        ErrorKind::Unreadable,
        "is missing",
        "the main file",
        "create it",
    )
}

type Read = Result<Source, (Location, Mismatch)>;

/// The files that count.
pub(super) struct Files {
    pub(super) main: Read,
    pub(super) certificates: Vec<(CertificateName, Read)>,
    /// Whether the certificates are known; if not, those of the last time may still be there.
    pub(super) listed: bool,
    pub(super) report: Report,
}

impl Files {
    fn read(directory: &Path) -> Self {
        let mut files = Self {
            main: Source::read(&directory.join(MAIN_FILE)),
            certificates: Vec::new(),
            listed: true,
            report: Report::default(),
        };
        let certificates = directory.join(CERTIFICATES);
        match list(&certificates) {
            Ok(paths) => paths.iter().for_each(|path| files.add(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => files.report.warning(
                &Location::whole(&certificates),
                "",
                "does not exist, so no certificate is configured",
                "create the directory, and in it one file for each certificate",
            ),
            Err(error) => {
                files.listed = false;
                files.report.error(
                    &Location::whole(&certificates),
                    "",
                    Mismatch::of(
                        ErrorKind::Unreadable,
                        format!("cannot be listed: {error}"),
                        "a directory",
                        "let the daemon read it: root:root 0755",
                    ),
                );
            }
        }
        files
    }

    /// Adds a certificate's file; what is none is passed over, in silence where the name says why.
    pub(super) fn add(&mut self, path: &Path) {
        let location = Location::whole(path);
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            self.report.warning(
                &location,
                "",
                "is ignored, as its name is not UTF-8",
                "rename it to NAME.toml",
            );
            return;
        };
        if is_left_over(file) {
            return;
        }
        let Some(stem) = file.strip_suffix(".toml") else {
            self.report.warning(
                &location,
                "",
                "is ignored, as its name does not end in .toml",
                "rename it to NAME.toml, or move it away",
            );
            return;
        };
        match stem.parse::<CertificateName>() {
            Ok(name) => self.certificates.push((name, Source::read(path))),
            Err(_) => self.report.error(
                &location,
                "",
                Mismatch::new(
                    format!("{stem:?} is no name of a certificate"),
                    "1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit",
                    "rename the file",
                ),
            ),
        }
    }

    /// Two names that differ in case only are one on some file systems, and one to the eye.
    fn collisions(&self) -> BTreeMap<CertificateName, CertificateName> {
        let mut by_folded: BTreeMap<String, Vec<&CertificateName>> = BTreeMap::new();
        for (name, _) in &self.certificates {
            let folded = name.as_str().to_ascii_lowercase();
            by_folded.entry(folded).or_default().push(name);
        }
        by_folded
            .values()
            .filter(|names| names.len() > 1)
            .flat_map(|names| {
                let others = names.iter().cycle().skip(1);
                names
                    .iter()
                    .zip(others)
                    .map(|(a, b)| ((*a).clone(), (*b).clone()))
            })
            .collect()
    }
}

/// The entries of a directory, in order.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Files that editors and package managers leave beside the real one.
fn is_left_over(file: &str) -> bool {
    const ENDINGS: [&str; 12] = [
        "~",
        ".bak",
        ".orig",
        ".swp",
        ".tmp",
        ".dpkg-bak",
        ".dpkg-dist",
        ".dpkg-new",
        ".dpkg-old",
        ".dpkg-tmp",
        ".rpmnew",
        ".rpmsave",
    ];
    file.starts_with('.') || ENDINGS.iter().any(|ending| file.ends_with(ending))
}

/// Judges the files, all of them, whatever is wrong with some.
pub(super) fn build(mut files: Files, last: Option<&Texts>, environment: &Environment) -> Loaded {
    let mut report = std::mem::take(&mut files.report);
    let mut loaded = Loaded::default();
    let collisions = files.collisions();

    let main = MainInForce::choose(&files.main, last, environment, &mut report);
    loaded.main_held = main.held;
    if main.in_force {
        loaded.settings.texts.main = main.text.clone();
        if let Some(main) = &main.main {
            loaded.settings.issuers = main.issuers.clone();
        }
    }

    if let (false, Some(last)) = (files.listed, last) {
        for name in last.certificates.keys() {
            let found = hold(name, last, &main, environment, &mut loaded.settings);
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
        if let Some(other) = collisions.get(&name) {
            let whole = match &read {
                Ok(source) => Location::whole(source.file()),
                Err((location, _)) => location.clone(),
            };
            own.error(&whole, "", collision(other));
        }
        let clean = own.errors.is_empty();
        report.append(own);
        match (settings, read) {
            (Some(settings), Ok(source)) if clean && main.in_force => {
                insert(&mut loaded.settings, settings, source.text().to_owned());
            }
            _ => {
                let found = last.map_or(Held::Nothing, |last| {
                    hold(&name, last, &main, environment, &mut loaded.settings)
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
            let file = match read {
                Ok(source) => source.file(),
                Err((location, _)) => &location.file,
            };
            let mut ignored = Report::default();
            let kept = Source::new(&last_accepted(file), text.clone());
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
            text: None,
            in_force: false,
            held: false,
        }
    }
}

/// Puts the last accepted settings of a certificate in force, if they still mean something.
fn hold(
    name: &CertificateName,
    last: &Texts,
    main: &MainInForce,
    environment: &Environment,
    settings: &mut Settings,
) -> Held {
    let (true, Some(text)) = (main.in_force, last.certificates.get(name)) else {
        return Held::Nothing;
    };
    let file = PathBuf::from(CERTIFICATES).join(format!("{name}.toml"));
    let source = Source::new(&last_accepted(&file), text.clone());
    let mut ignored = Report::default();
    let main = main.main.as_ref();
    match certificate::read(name, &source, main, environment, &mut ignored) {
        Some(kept) if ignored.errors.is_empty() => {
            insert(settings, kept, text.clone());
            Held::LastAccepted
        }
        _ => Held::Nothing,
    }
}

fn insert(settings: &mut Settings, certificate: CertificateSettings, text: String) {
    let name = certificate.name.clone();
    settings.texts.certificates.insert(name.clone(), text);
    settings.certificates.insert(name, certificate);
}

/// Lines of a kept text must not be taken for lines of the file.
fn last_accepted(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(" (last accepted)");
    PathBuf::from(name)
}

fn collision(other: &CertificateName) -> Mismatch {
    Mismatch::of(
        ErrorKind::Conflict,
        format!("differs from {other}.toml in upper and lower case only"),
        "one certificate in one place",
        "rename one of the two",
    )
}
