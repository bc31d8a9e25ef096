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
}
