//! The trust bundles that are kept, each under its digest: CA certificates, and the revocation lists beside them.

use std::path::PathBuf;

use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;

use crate::error::{At, StoreError};
use crate::store::Store;

impl Store {
    fn trust_path(&self, name: &CertificateName, digest: &Fingerprint) -> PathBuf {
        self.root
            .join("trust")
            .join(name.as_str())
            .join(format!("{digest}.pem"))
    }

    /// Keeps a trust bundle under its digest.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_trust(
        &self,
        name: &CertificateName,
        digest: &Fingerprint,
        pem: &str,
    ) -> Result<(), StoreError> {
        let path = self.trust_path(name, digest);
        let parent = self.root.join("trust").join(name.as_str());
        if self
            .read(&path)?
            .is_some_and(|found| found == pem.as_bytes())
        {
            // It may be there because of a try that failed just before this.
            return self.disk.sync_directory(&parent).at("sync", &parent);
        }
        self.disk
            .create_directory_durably(&parent, 0o700)
            .at("make", &parent)?;
        self.disk
            .replace(&path, pem.as_bytes(), 0o600)
            .at("write", &path)
    }

    /// A trust bundle that was kept, PEM.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is missing or no text, and those of the file system.
    pub fn load_trust(
        &self,
        name: &CertificateName,
        digest: &Fingerprint,
    ) -> Result<String, StoreError> {
        let path = self.trust_path(name, digest);
        let damaged = |why: &str| StoreError::Damaged {
            path: path.clone(),
            why: why.into(),
        };
        let content = self.read(&path)?.ok_or_else(|| damaged("it is missing"))?;
        String::from_utf8(content).map_err(|_| damaged("it is no text"))
    }

    /// Removes the trust bundles that nothing refers to any more.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_trust(
        &self,
        name: &CertificateName,
        keep: &[Fingerprint],
    ) -> Result<(), StoreError> {
        let parent = self.root.join("trust").join(name.as_str());
        let entries = match std::fs::read_dir(&parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at("list", &parent),
        };
        for entry in entries {
            let path = entry.at("list", &parent)?.path();
            let digest = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            if digest.is_some_and(|digest: Fingerprint| !keep.contains(&digest)) {
                self.disk.remove_file(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }
}
