//! The private part of the store: records, identities, bundles and accepted configuration. Mode 0700,
//! the daemon's own. It records intent; what is current is only what [`crate::publish`] published.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;
use renewd_core::record::{GenerationNumber, Record, SCHEMA};
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::error::{At, StoreError};

/// No file of the store is larger than this.
const LARGEST: u64 = 4 << 20;

/// The form of the store as a whole.
const FORM: u32 = 1;

/// Key, leaf and chain: the identity part of a generation.
pub struct Identity {
    /// PKCS#8, PEM. Wiped when dropped.
    pub key_pem: Zeroizing<String>,
    /// The leaf, PEM.
    pub leaf_pem: String,
    /// The intermediates, PEM, the leaf's issuer first; may be empty.
    pub chain_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("leaf_pem", &self.leaf_pem)
            .finish_non_exhaustive()
    }
}

/// The store of one daemon; holds its lock.
#[derive(Debug)]
pub struct Store {
    state: PathBuf,
    root: PathBuf,
    pub(crate) disk: Disk,
    uid: u32,
    _lock: File,
}

impl Store {
    /// Opens or makes the store below `state` (`/var/lib/renewd`).
    ///
    /// # Errors
    /// When it belongs to somebody else, was written by a newer version, is in use by another
    /// daemon, or the file system refuses.
    pub fn open(state: &Path, disk: Disk) -> Result<Self, StoreError> {
        let uid = nix::unistd::geteuid().as_raw();
        let root = state.join("store");
        for (path, mode) in [
            (state.to_owned(), 0o755),
            (state.join("certs"), 0o755),
            (root.clone(), 0o700),
        ] {
            disk.create_directory_durably(&path, mode)
                .at("make", &path)?;
        }
        let found = root.symlink_metadata().at("look at", &root)?;
        if found.uid() != uid {
            return Err(StoreError::ForeignOwner {
                path: root,
                found: found.uid(),
                expected: uid,
            });
        }
        if found.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700))
                .at("close to others", &root)?;
        }
        let lock_path = root.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .at("open", &lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Locked { path: root }),
            Err(fs::TryLockError::Error(source)) => {
                return Err(StoreError::Io {
                    what: "lock",
                    path: lock_path,
                    source,
                });
            }
        }
        let store = Self {
            state: state.to_owned(),
            root,
            disk,
            uid,
            _lock: lock,
        };
        store.check_form()?;
        for part in ["records", "identities", "trust", "issuer", "config"] {
            let path = store.root.join(part);
            store
                .disk
                .create_directory_durably(&path, 0o700)
                .at("make", &path)?;
        }
        Ok(store)
    }

    fn check_form(&self) -> Result<(), StoreError> {
        let path = self.root.join("form");
        match self.read(&path)? {
            None => self
                .disk
                .replace(&path, format!("{FORM}\n").as_bytes(), 0o600)
                .at("write", &path),
            Some(text) => match String::from_utf8_lossy(&text).trim().parse::<u32>() {
                Ok(found) if found > FORM => Err(StoreError::Newer {
                    path,
                    found,
                    known: FORM,
                }),
                Ok(_) => Ok(()),
                Err(_) => Err(StoreError::Damaged {
                    path,
                    why: "expected a number".into(),
                }),
            },
        }
    }

    /// The directory that services read certificates from.
    pub fn certificates(&self) -> PathBuf {
        self.state.join("certs")
    }

    /// The directory in which an issuer keeps its state.
    pub fn issuer_directory(&self, issuer: &str) -> PathBuf {
        self.root.join("issuer").join(issuer)
    }

    /// Reads a file of ours; `None` when there is none.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                // Whoever owns a file that we may not even open is named as well.
                if let Ok(found) = path.symlink_metadata() {
                    self.expect_ours(path, &found)?;
                }
                return Err(StoreError::Io {
                    what: "open",
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let found = file.metadata().at("look at", path)?;
        self.expect_ours(path, &found)?;
        if found.len() > LARGEST {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                why: format!("{} bytes long", found.len()),
            });
        }
        let mut content = Vec::with_capacity(found.len() as usize);
        file.by_ref()
            .take(LARGEST)
            .read_to_end(&mut content)
            .at("read", path)?;
        Ok(Some(content))
    }

    fn expect_ours(&self, path: &Path, found: &fs::Metadata) -> Result<(), StoreError> {
        if found.uid() == self.uid {
            return Ok(());
        }
        Err(StoreError::ForeignOwner {
            path: path.to_owned(),
            found: found.uid(),
            expected: self.uid,
        })
    }

    fn record_path(&self, name: &CertificateName) -> PathBuf {
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

    fn identity_directory(&self, name: &CertificateName) -> PathBuf {
        self.root.join("identities").join(name.as_str())
    }

    /// Keeps an identity under the number of the generation that it first comes in. Whatever an
    /// interrupted try left under that number is replaced.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_identity(
        &self,
        name: &CertificateName,
        number: GenerationNumber,
        identity: &Identity,
    ) -> Result<(), StoreError> {
        let parent = self.identity_directory(name);
        let directory = parent.join(number.to_string());
        let save = || {
            self.disk.create_directory_durably(&parent, 0o700)?;
            self.disk.wipe(&directory.join("key.pem"))?;
            self.disk.remove_directory(&directory)?;
            self.disk.create_directory(&directory, 0o700)?;
            self.disk.write_new(
                &directory.join("key.pem"),
                identity.key_pem.as_bytes(),
                0o600,
                None,
            )?;
            self.disk.write_new(
                &directory.join("cert.pem"),
                identity.leaf_pem.as_bytes(),
                0o600,
                None,
            )?;
            self.disk.write_new(
                &directory.join("chain.pem"),
                identity.chain_pem.as_bytes(),
                0o600,
                None,
            )?;
            self.disk.sync_directory(&directory)?;
            self.disk.sync_directory(&parent)
        };
        save().at("write", &directory)
    }

    /// An identity that was kept.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a part is missing or no text, and those of the file system.
    pub fn load_identity(
        &self,
        name: &CertificateName,
        number: GenerationNumber,
    ) -> Result<Identity, StoreError> {
        let directory = self.identity_directory(name).join(number.to_string());
        let part = |file: &str| -> Result<String, StoreError> {
            let path = directory.join(file);
            let damaged = |why: &str| StoreError::Damaged {
                path: path.clone(),
                why: why.into(),
            };
            let content = self.read(&path)?.ok_or_else(|| damaged("it is missing"))?;
            String::from_utf8(content).map_err(|_| damaged("it is no text"))
        };
        Ok(Identity {
            key_pem: Zeroizing::new(part("key.pem")?),
            leaf_pem: part("cert.pem")?,
            chain_pem: part("chain.pem")?,
        })
    }

    /// Wipes the identities that nothing refers to any more.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_identities(
        &self,
        name: &CertificateName,
        keep: &[GenerationNumber],
    ) -> Result<(), StoreError> {
        let parent = self.identity_directory(name);
        for number in numbers(&parent, "")? {
            if !keep.contains(&number) {
                let directory = parent.join(number.to_string());
                self.disk
                    .wipe(&directory.join("key.pem"))
                    .at("wipe", &directory)?;
                self.disk
                    .remove_directory(&directory)
                    .at("remove", &directory)?;
            }
        }
        Ok(())
    }

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

    /// Keeps the text of a configuration file that was accepted.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_accepted(&self, file: &str, text: &str) -> Result<(), StoreError> {
        let path = self.root.join("config").join(file);
        if self
            .read(&path)?
            .is_some_and(|found| found == text.as_bytes())
        {
            return Ok(());
        }
        self.disk
            .replace(&path, text.as_bytes(), 0o600)
            .at("write", &path)
    }

    /// The text of a configuration file as it was accepted last.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn load_accepted(&self, file: &str) -> Result<Option<String>, StoreError> {
        let path = self.root.join("config").join(file);
        Ok(self
            .read(&path)?
            .map(|content| String::from_utf8_lossy(&content).into_owned()))
    }

    /// Forgets the accepted text of a configuration file that is gone; one that is not kept is fine.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_accepted(&self, file: &str) -> Result<(), StoreError> {
        let directory = self.root.join("config");
        let path = directory.join(file);
        self.disk.remove_file(&path).at("remove", &path)?;
        self.disk.sync_directory(&directory).at("sync", &directory)
    }

    /// The configuration files whose accepted text is kept.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn accepted_names(&self) -> Result<Vec<String>, StoreError> {
        let path = self.root.join("config");
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).at("list", &path)? {
            names.extend(entry.at("list", &path)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Forgets everything about a certificate: record, identities, bundles, and what is published.
    ///
    /// # Errors
    /// Those of the file system; it can be called again.
    pub fn forget(&self, name: &CertificateName) -> Result<(), StoreError> {
        self.forget_identities(name, &[])?;
        for path in [
            self.certificates().join(name.as_str()),
            self.identity_directory(name),
            self.root.join("trust").join(name.as_str()),
        ] {
            self.disk.remove_directory(&path).at("remove", &path)?;
        }
        for path in [
            self.root
                .join("config")
                .join(format!("{name}.certificate.toml")),
            self.record_path(name),
        ] {
            self.disk.remove_file(&path).at("remove", &path)?;
        }
        Ok(())
    }
}

/// The numbers among a directory's entries that are `prefix` and a number.
pub(crate) fn numbers(directory: &Path, prefix: &str) -> Result<Vec<GenerationNumber>, StoreError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(StoreError::Io {
                what: "list",
                path: directory.to_owned(),
                source,
            });
        }
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.at("list", directory)?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
        numbers.extend(digits.and_then(|digits| digits.parse::<GenerationNumber>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
