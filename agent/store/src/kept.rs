//! What is kept beside the records: identities, what issuers were asked with, and the configuration as it was accepted.

use std::fs;
use std::path::PathBuf;

use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::record::GenerationNumber;
use zeroize::Zeroizing;

use crate::disk::aside;
use crate::error::{At, StoreError};
use crate::store::{Store, numbers};

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

/// What an issuer was asked with stands in a file of this name, with the issuer's.
const ASKED: &str = "asked-";

impl Store {
    pub(crate) fn identity_directory(&self, name: &CertificateName) -> PathBuf {
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
        let part = |file| self.part_of_identity(name, number, file);
        Ok(Identity {
            key_pem: Zeroizing::new(part("key.pem")?),
            leaf_pem: part("cert.pem")?,
            chain_pem: part("chain.pem")?,
        })
    }

    /// The chain of an identity that was kept; its key is not read.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is missing or no text, and those of the file system.
    pub fn load_chain(
        &self,
        name: &CertificateName,
        number: GenerationNumber,
    ) -> Result<String, StoreError> {
        self.part_of_identity(name, number, "chain.pem")
    }

    fn part_of_identity(
        &self,
        name: &CertificateName,
        number: GenerationNumber,
        file: &str,
    ) -> Result<String, StoreError> {
        let directory = self.identity_directory(name).join(number.to_string());
        let path = directory.join(file);
        let damaged = |why: &str| StoreError::Damaged {
            path: path.clone(),
            why: why.into(),
        };
        let content = self.read(&path)?.ok_or_else(|| damaged("it is missing"))?;
        String::from_utf8(content).map_err(|_| damaged("it is no text"))
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

    fn asked_path(&self, name: &CertificateName, issuer: &IssuerName) -> PathBuf {
        let file = format!("{ASKED}{issuer}");
        self.identity_directory(name).join(file)
    }

    /// Keeps what an issuer was asked with, until what it answered is kept: it may hold a key.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_asked(
        &self,
        name: &CertificateName,
        issuer: &IssuerName,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let (parent, path) = (self.identity_directory(name), self.asked_path(name, issuer));
        // What it takes the place of, or was left half way, may hold a key that is in use.
        self.forget_asked(name, issuer)?;
        self.disk
            .create_directory_durably(&parent, 0o700)
            .at("make", &parent)?;
        self.disk.replace(&path, content, 0o600).at("write", &path)
    }

    /// What an issuer was asked with, and nothing was kept of it; `None` when there is nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn load_asked(
        &self,
        name: &CertificateName,
        issuer: &IssuerName,
    ) -> Result<Option<Zeroizing<String>>, StoreError> {
        let content = self.read(&self.asked_path(name, issuer))?;
        Ok(content
            .and_then(|content| String::from_utf8(content).ok())
            .map(Zeroizing::new))
    }

    /// Wipes what an issuer was asked with; nothing there is fine.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_asked(
        &self,
        name: &CertificateName,
        issuer: &IssuerName,
    ) -> Result<(), StoreError> {
        let path = self.asked_path(name, issuer);
        let aside = aside(&path).at("wipe", &path)?;
        self.disk.wipe(&aside).at("wipe", &aside)?;
        self.disk.wipe(&path).at("wipe", &path)
    }

    /// The issuers that were asked with something that is still there, or that a write left half way.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn asked_issuers(&self, name: &CertificateName) -> Result<Vec<IssuerName>, StoreError> {
        let directory = self.identity_directory(name);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).at("list", &directory),
        };
        let mut issuers = Vec::new();
        for entry in entries {
            let file = entry.at("list", &directory)?.file_name();
            let file = file.to_string_lossy();
            let issuer = file.strip_prefix(ASKED).or_else(|| {
                let aside = file.strip_prefix('.')?.strip_suffix(".new")?;
                aside.strip_prefix(ASKED)
            });
            issuers.extend(issuer.and_then(|issuer| issuer.parse().ok()));
        }
        Ok(issuers)
    }

    /// Wipes what any issuer was asked with.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_all_asked(&self, name: &CertificateName) -> Result<(), StoreError> {
        // One that cannot be wiped keeps no other.
        let issuers = self.asked_issuers(name)?.into_iter();
        let wiped = issuers.map(|issuer| self.forget_asked(name, &issuer));
        wiped.fold(Ok(()), Result::and)
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
}
