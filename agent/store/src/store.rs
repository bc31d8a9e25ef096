//! The private part of the store: mode 0700, the daemon's own. Here it is opened, read from and forgotten
//! in; what is in it is `records.rs` and `kept.rs`. It records intent; what is current is only what
//! [`crate::publish`] published.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use renewd_core::names::CertificateName;
use renewd_core::record::GenerationNumber;

use crate::disk::Disk;
use crate::error::{At, StoreError};

/// No file of the store is larger than this.
const LARGEST: u64 = 4 << 20;

/// The form of the store as a whole.
const FORM: u32 = 1;

/// The store of one daemon; holds its lock.
#[derive(Debug)]
pub struct Store {
    state: PathBuf,
    pub(crate) root: PathBuf,
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

    /// Forgets everything about a certificate: record, identities, bundles, and what is published.
    ///
    /// # Errors
    /// Those of the file system; it can be called again.
    pub fn forget(&self, name: &CertificateName) -> Result<(), StoreError> {
        self.forget_identities(name, &[])?;
        self.forget_all_asked(name)?;
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
