//! The records: one file per certificate, replaced wholly or not at all.

use std::fs;
use std::path::PathBuf;

use renewd_core::names::CertificateName;
use renewd_core::record::{Record, SCHEMA};

use crate::error::{At, StoreError};
use crate::store::Store;

impl Store {
    pub(crate) fn record_path(&self, name: &CertificateName) -> PathBuf {
        self.root.join("records").join(format!("{name}.json"))
    }

    /// The record of a certificate; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is no record of this certificate, [`StoreError::Newer`] when a
    /// newer version wrote it, and those of the file system.
    pub fn load_record(&self, name: &CertificateName) -> Result<Option<Record>, StoreError> {
        #[derive(serde::Deserialize)]
        struct Form {
            schema: u32,
        }
        let path = self.record_path(name);
        let Some(content) = self.read(&path)? else {
            return Ok(None);
        };
        let damaged = |why: String| StoreError::Damaged {
            path: path.clone(),
            why,
        };
        let form: Form =
            serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        if form.schema > SCHEMA {
            return Err(StoreError::Newer {
                path,
                found: form.schema,
                known: SCHEMA,
            });
        }
        let record: Record =
            serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        if record.certificate != *name {
            return Err(damaged(format!(
                "it is the record of {}",
                record.certificate
            )));
        }
        Ok(Some(record))
    }

    /// Saves a record durably, wholly or not at all.
    ///
    /// # Errors
    /// Those of the file system; the record before stays.
    pub fn save_record(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(&record.certificate);
        let content = serde_json::to_vec_pretty(record).map_err(|error| StoreError::Damaged {
            path: path.clone(),
            why: error.to_string(),
        })?;
        self.disk.replace(&path, &content, 0o600).at("write", &path)
    }

    /// Puts a damaged record out of the way, so that it can be looked at later.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn set_record_aside(&self, name: &CertificateName) -> Result<PathBuf, StoreError> {
        let path = self.record_path(name);
        let aside = self.root.join("records").join(format!("{name}.damaged"));
        self.disk.rename(&path, &aside).at("rename", &path)?;
        Ok(aside)
    }

    /// The certificates that have a record.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn record_names(&self) -> Result<Vec<CertificateName>, StoreError> {
        let path = self.root.join("records");
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).at("list", &path)? {
            let name = entry.at("list", &path)?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".json"));
            names.extend(stem.and_then(|stem| stem.parse().ok()));
        }
        names.sort();
        Ok(names)
    }
}
