//! The `.deb`s under test.
//!
//! Owns where they are and what they are called. It never builds them: `make packages` does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::rootfs::fingerprint;

/// Where a machine sees the directory of the packages.
pub const IN_MACHINE: &str = "/packages";

/// A directory with exactly the two `.deb`s of one build.
#[derive(Debug)]
pub struct Packages {
    directory: PathBuf,
    files: Vec<String>,
}

impl Packages {
    /// Finds the packages in a directory.
    ///
    /// # Errors
    /// [`Failure::Missing`] unless there is exactly one of each.
    pub fn find(directory: &Path) -> Result<Self> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut files: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        files.retain(|name| name.ends_with(".deb"));
        files.sort();
        let names: Vec<&str> = files
            .iter()
            .filter_map(|file| file.split('_').next())
            .collect();
        if names != ["renewd-sample-api", "renewd"] && names != ["renewd", "renewd-sample-api"] {
            return Err(Failure::Missing {
                what: format!(
                    "one .deb each of renewd and renewd-sample-api in {}",
                    directory.display()
                ),
                remedy: "make packages".to_owned(),
            });
        }
        let directory = directory
            .canonicalize()
            .map_err(Failure::io("find", directory))?;
        Ok(Self { directory, files })
    }

    /// The directory on the host.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The paths of both inside a machine, as `apt` wants them.
    #[must_use]
    pub fn in_machine(&self) -> Vec<String> {
        self.files
            .iter()
            .map(|file| format!("{IN_MACHINE}/{file}"))
            .collect()
    }

    /// Names the content of both.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn fingerprint(&self) -> Result<u64> {
        let mut bytes = Vec::new();
        for file in &self.files {
            let path = self.directory.join(file);
            bytes.extend(fs::read(&path).map_err(Failure::io("read", &path))?);
        }
        Ok(fingerprint(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_both_packages_names_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("renewd_0.1.0-1_amd64.deb"), "").unwrap();
        let failure = Packages::find(directory.path()).unwrap_err();
        assert!(failure.to_string().ends_with("is missing: make packages"));
    }

    #[test]
    fn both_packages_are_named_by_their_place_in_the_machine() {
        let directory = tempfile::tempdir().unwrap();
        for file in [
            "renewd_0.1.0-1_amd64.deb",
            "renewd-sample-api_0.1.0-1_amd64.deb",
        ] {
            fs::write(directory.path().join(file), file).unwrap();
        }
        let packages = Packages::find(directory.path()).unwrap();
        assert!(
            packages
                .in_machine()
                .contains(&"/packages/renewd_0.1.0-1_amd64.deb".to_owned())
        );
        assert_eq!(packages.in_machine().len(), 2);
    }

    #[test]
    fn every_unit_that_can_be_enabled_is_known_to_the_preset_and_to_every_script() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: String| fs::read_to_string(top.join(&path)).expect(&path);
        let mut looked_at = 0;
        for entry in fs::read_dir(top.join("systemd")).unwrap() {
            let unit = entry.unwrap().file_name().into_string().unwrap();
            if unit.contains('@') || !read(format!("systemd/{unit}")).contains("\n[Install]\n") {
                continue;
            }
            let package = match unit.starts_with("renewd-sample-api.") {
                true => "renewd-sample-api",
                false => "renewd",
            };
            let preset = read(format!("systemd/{package}.preset"));
            let verdicts = [format!("enable {unit}"), format!("disable {unit}")];
            assert!(
                preset
                    .lines()
                    .any(|line| verdicts.contains(&line.to_owned())),
                "{package}.preset without {unit}"
            );
            for script in ["postinst", "prerm", "postrm", "rpm/post", "rpm/preun"] {
                let text = read(format!("packaging/{package}/{script}"));
                let mut words = text.split_whitespace();
                assert!(
                    words.any(|word| word.trim_matches([';', '"']) == unit),
                    "{package}/{script} without {unit}"
                );
            }
            looked_at += 1;
        }
        assert!(looked_at >= 4);
    }
}
