//! What services read: one immutable directory per generation, and one link that a rename swaps.
//!
//! ```text
//! certs/NAME/.7/            key.pem cert.pem chain.pem fullchain.pem combined.pem ca.pem [crl.pem] manifest.json
//! certs/NAME/current -> .7
//! certs/NAME/key.pem -> current/key.pem    and so on
//! ```
//!
//! Order (docs/architecture.md, "What survives power loss"): files are written, given away and synced,
//! then their directory, then the directory above; only then is `current` swapped and synced.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;
use renewd_core::record::GenerationNumber;
use renewd_core::trust::PublishedTrust;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::disk::{Disk, Owner};
use crate::error::{At, StoreError};
use crate::kept::Identity;
use crate::store::{Store, numbers};

/// A generation that is neither current nor previous is kept for this long after it was written.
pub const LINGER: Duration = Duration::from_secs(600);

/// Who may read what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// The files' owner; `None`: the daemon's own user and group.
    pub owner: Option<Owner>,
    /// The mode of the private files: 0600, or 0640 for a group.
    pub private_mode: u32,
}

/// The files of a generation that hold a key.
const PRIVATE: [&str; 2] = ["key.pem", "combined.pem"];

/// The files that every generation has. Each has a fixed link in the certificate's directory.
const FILES: [&str; 6] = [
    "key.pem",
    "cert.pem",
    "chain.pem",
    "fullchain.pem",
    "combined.pem",
    "ca.pem",
];

/// A file of those generations whose CAs publish revocation lists, and its link is there as long as it is: one that leads
/// nowhere would fail a service's start, as a missing one does, but later and less clearly. `ocsp.der` is read by
/// [`crate::reader`] where there is one.
const CRL: &str = "crl.pem";

/// What was written into a generation, to compare with what is found.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    form: u32,
    generation: GenerationNumber,
    files: BTreeMap<String, ManifestFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ManifestFile {
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Of public files only.
    sha256: Option<Fingerprint>,
}

/// What is published for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// Nothing was published yet.
    Nothing,
    /// This generation is current, and as it was written.
    Intact(GenerationNumber),
    /// `current` points nowhere, or to something that is not as it was written.
    Damaged(String),
}

impl Store {
    fn published_directory(&self, name: &CertificateName) -> PathBuf {
        self.certificates().join(name.as_str())
    }

    /// Publishes a generation: afterwards it is current, durably. Before the swap nothing changes for
    /// a reader; calling it again after a failure is safe.
    ///
    /// # Errors
    /// Those of the file system. The generation before stays current.
    pub fn publish(
        &self,
        name: &CertificateName,
        number: GenerationNumber,
        identity: &Identity,
        trust: &PublishedTrust,
        ownership: &Ownership,
    ) -> Result<(), StoreError> {
        let directory = self.published_directory(name);
        let generation = directory.join(format!(".{number}"));
        let (disk, gid) = (&self.disk, ownership.owner.map(|owner| owner.gid));
        let make = |path: &Path| {
            disk.create_directory(path, 0o750)?;
            gid.map_or(Ok(()), |gid| disk.give_to_group(path, gid))
        };
        make(&directory).at("make", &directory)?;
        if self.current_number(name) != Some(number) {
            // An interrupted try's leftover: no reader ever saw it.
            disk.remove_directory(&generation)
                .at("remove", &generation)?;
            make(&generation).at("make", &generation)?;
            let written = self.write_generation(&generation, number, identity, trust, ownership);
            if written.is_err() {
                // On a full disk the part that was written would keep even the record out.
                let _ = disk.remove_directory(&generation);
            }
            written?;
            disk.sync_directory(&generation).at("sync", &generation)?;
        }
        let has_crl = trust.crl_pem.is_some();
        self.fix_links(&directory, has_crl)?;
        disk.sync_directory(&directory).at("sync", &directory)?;
        swap(
            disk,
            Path::new(&format!(".{number}")),
            &directory.join("current"),
        )
        .at("swap", &directory)?;
        if !has_crl {
            let link = directory.join(CRL);
            disk.remove_file(&link).at("remove", &link)?;
        }
        disk.sync_directory(&directory).at("sync", &directory)?;
        let above = self.certificates();
        disk.sync_directory(&above).at("sync", &above)
    }

    fn write_generation(
        &self,
        generation: &Path,
        number: GenerationNumber,
        identity: &Identity,
        trust: &PublishedTrust,
        ownership: &Ownership,
    ) -> Result<(), StoreError> {
        let fullchain = format!("{}{}", identity.leaf_pem, identity.chain_pem);
        let combined = Zeroizing::new(format!("{}{fullchain}", identity.key_pem.as_str()));
        let files: [(&str, &[u8]); FILES.len()] = [
            ("key.pem", identity.key_pem.as_bytes()),
            ("cert.pem", identity.leaf_pem.as_bytes()),
            ("chain.pem", identity.chain_pem.as_bytes()),
            ("fullchain.pem", fullchain.as_bytes()),
            ("combined.pem", combined.as_bytes()),
            ("ca.pem", trust.ca_pem.as_bytes()),
        ];
        let crl = trust.crl_pem.as_ref().map(|crl| (CRL, crl.as_bytes()));
        let mut manifest = Manifest {
            form: 1,
            generation: number,
            files: BTreeMap::new(),
        };
        for (file, content) in files.into_iter().chain(crl) {
            let path = generation.join(file);
            let private = PRIVATE.contains(&file);
            let mode = if private {
                ownership.private_mode
            } else {
                0o644
            };
            self.disk
                .write_new(&path, content, mode, ownership.owner)
                .at("write", &path)?;
            let found = path.symlink_metadata().at("look at", &path)?;
            let entry = ManifestFile {
                size: content.len() as u64,
                mode,
                uid: found.uid(),
                gid: found.gid(),
                sha256: (!private).then(|| Fingerprint::of(content)),
            };
            manifest.files.insert(file.to_owned(), entry);
        }
        let path = generation.join("manifest.json");
        let content =
            serde_json::to_vec_pretty(&manifest).map_err(|error| StoreError::Damaged {
                path: path.clone(),
                why: error.to_string(),
            })?;
        self.disk
            .write_new(&path, &content, 0o644, None)
            .at("write", &path)
    }

    fn fix_links(&self, directory: &Path, has_crl: bool) -> Result<(), StoreError> {
        for file in FILES.into_iter().chain(has_crl.then_some(CRL)) {
            let (link, target) = (directory.join(file), Path::new("current").join(file));
            if fs::read_link(&link).is_ok_and(|found| found == target) {
                continue;
            }
            swap(&self.disk, &target, &link).at("link", &link)?;
        }
        Ok(())
    }

    /// The generation that `current` names, whether or not it is there.
    pub fn current_number(&self, name: &CertificateName) -> Option<GenerationNumber> {
        let target = fs::read_link(self.published_directory(name).join("current")).ok()?;
        target.to_str()?.strip_prefix('.')?.parse().ok()
    }

    /// What is published, compared with what was written: hashes of what the daemon can read,
    /// otherwise size, owner and mode.
    pub fn current(&self, name: &CertificateName) -> Current {
        let directory = self.published_directory(name);
        if directory.join("current").symlink_metadata().is_err() {
            return Current::Nothing;
        }
        let Some(number) = self.current_number(name) else {
            return Current::Damaged("`current` is not a link to a generation".into());
        };
        match compare(&directory.join(format!(".{number}")), number) {
            Ok(()) => Current::Intact(number),
            Err(why) => Current::Damaged(why),
        }
    }

    /// Whether what is published belongs to whom it should, as its manifest says.
    pub fn ownership_differs(&self, name: &CertificateName, ownership: &Ownership) -> bool {
        let Some(number) = self.current_number(name) else {
            return false;
        };
        let generation = self.published_directory(name).join(format!(".{number}"));
        let Some(owner) = ownership.owner else {
            return false;
        };
        read_manifest(&generation).is_ok_and(|manifest| {
            manifest.files.get("key.pem").is_some_and(|key| {
                (key.uid, key.gid, key.mode) != (owner.uid, owner.gid, ownership.private_mode)
            })
        })
    }

    /// The highest number ever used for a certificate, as far as the disk tells.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn highest_number(&self, name: &CertificateName) -> Result<GenerationNumber, StoreError> {
        Ok(numbers(&self.published_directory(name), ".")?
            .last()
            .copied()
            .unwrap_or(0))
    }

    /// Whether generations are still there that are not in `keep`.
    pub fn has_leftovers(&self, name: &CertificateName, keep: &[GenerationNumber]) -> bool {
        numbers(&self.published_directory(name), ".")
            .is_ok_and(|numbers| numbers.iter().any(|number| !keep.contains(number)))
    }

    /// Removes the generations that are not in `keep` and were written more than [`LINGER`] ago.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove_generations(
        &self,
        name: &CertificateName,
        keep: &[GenerationNumber],
        now: SystemTime,
    ) -> Result<(), StoreError> {
        let directory = self.published_directory(name);
        let current = self.current_number(name);
        for number in numbers(&directory, ".")? {
            let path = directory.join(format!(".{number}"));
            let written = path
                .symlink_metadata()
                .and_then(|found| found.modified())
                .at("look at", &path)?;
            let old = now.duration_since(written).is_ok_and(|age| age >= LINGER);
            if old && Some(number) != current && !keep.contains(&number) {
                self.disk.remove_directory(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }
}

/// Puts a link in the place of another by a rename, so that there is always one.
fn swap(disk: &Disk, target: &Path, link: &Path) -> std::io::Result<()> {
    let aside = link.with_extension("link.new");
    disk.remove_file(&aside)?;
    disk.symlink(target, &aside)?;
    disk.rename(&aside, link)
}

fn read_manifest(generation: &Path) -> Result<Manifest, String> {
    let path = generation.join("manifest.json");
    let content = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&content).map_err(|error| format!("{}: {error}", path.display()))
}

fn compare(generation: &Path, number: GenerationNumber) -> Result<(), String> {
    let manifest = read_manifest(generation)?;
    if manifest.generation != number {
        return Err(format!(
            "{} holds generation {}",
            generation.display(),
            manifest.generation
        ));
    }
    if let Some(file) = FILES
        .iter()
        .find(|file| !manifest.files.contains_key(**file))
    {
        let path = generation.join(file);
        return Err(format!("{}: not in the manifest", path.display()));
    }
    for (file, expected) in &manifest.files {
        let path = generation.join(file);
        let wrong = |why: &str| Err(format!("{}: {why}", path.display()));
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) => return wrong(&error.to_string()),
        };
        if !found.is_file() || found.len() != expected.size {
            return wrong("its size is not what was written");
        }
        if (found.uid(), found.gid()) != (expected.uid, expected.gid) {
            return wrong("its owner was changed");
        }
        if found.permissions().mode() & 0o7777 != expected.mode {
            return wrong("its mode was changed");
        }
        if let Some(sha256) = expected.sha256 {
            match fs::read(&path) {
                Ok(content) if Fingerprint::of(&content) != sha256 => {
                    return wrong("its content was changed");
                }
                _ => {}
            }
        }
    }
    Ok(())
}
