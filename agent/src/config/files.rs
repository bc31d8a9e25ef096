//! Which files the configuration consists of, and reading them. Nothing in them is judged here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use renewd_core::names::CertificateName;

use crate::table::{ErrorKind, Location, Mismatch, Report, Source};

use super::settings::Texts;

/// The name of the main file.
pub(super) const MAIN_FILE: &str = "renewd.toml";
/// The name of the certificates' directory.
pub(super) const CERTIFICATES: &str = "certs.d";

pub(super) type Read = Result<Source, (Location, Mismatch)>;

/// The files that count.
pub(super) struct Files {
    pub(super) main: Read,
    pub(super) certificates: Vec<(CertificateName, Read)>,
    /// Whether the certificates are known; if not, those of the last time may still be there.
    pub(super) listed: bool,
    pub(super) report: Report,
}

impl Files {
    /// Reads them from a directory such as `/etc/renewd`.
    pub(super) fn read(directory: &Path) -> Self {
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

    /// The same from texts; the directory only serves to name them.
    pub(super) fn of_texts(directory: &Path, texts: &Texts) -> Self {
        let main = directory.join(MAIN_FILE);
        let certificate = |(name, text): (&CertificateName, &String)| {
            let file = directory.join(CERTIFICATES).join(format!("{name}.toml"));
            (name.clone(), Ok(Source::new(&file, text.clone())))
        };
        Self {
            main: match &texts.main {
                Some(text) => Ok(Source::new(&main, text.clone())),
                None => Err((Location::whole(&main), absent())),
            },
            certificates: texts.certificates.iter().map(certificate).collect(),
            listed: true,
            report: Report::default(),
        }
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
    pub(super) fn collisions(&self) -> BTreeMap<CertificateName, CertificateName> {
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

/// The error of a certificate whose name is nearly that of another.
pub(super) fn collision(other: &CertificateName) -> Mismatch {
    Mismatch::of(
        ErrorKind::Conflict,
        format!("differs from {other}.toml in upper and lower case only"),
        "one certificate in one place",
        "rename one of the two",
    )
}

fn absent() -> Mismatch {
    Mismatch::of(
        ErrorKind::Unreadable,
        "is missing",
        "the main file",
        "create it",
    )
}
