//! Every change to the disk goes through here, one primitive at a time, so that a test can make any
//! of them fail, stop short, or be the last one before the power goes.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The primitives that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is named after the system call it stands for"
)]
pub enum Operation {
    CreateDirectory,
    CreateFile,
    Write,
    ChangeMode,
    ChangeOwner,
    Sync,
    SyncDirectory,
    Symlink,
    Rename,
    Remove,
}

/// What a test makes of an operation.
#[derive(Debug)]
pub enum Fault {
    /// It is carried out.
    None,
    /// It fails, and changes nothing.
    Error(io::Error),
    /// A write writes so many bytes, then fails. Anything else is carried out, and reported as failed.
    Short(usize, io::Error),
}

/// Decides, before each operation, whether it goes wrong.
pub trait Faults: Send + Sync {
    /// Called before `operation` touches `path`.
    fn before(&self, operation: Operation, path: &Path) -> Fault;
    /// Called after it was carried out.
    fn after(&self, _operation: Operation, _path: &Path) {}
}

/// The owner that a file is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The disk, with or without planted faults.
#[derive(Clone, Default)]
pub struct Disk {
    faults: Option<std::sync::Arc<dyn Faults>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("faults", &self.faults.is_some())
            .finish()
    }
}

impl Disk {
    /// A disk whose operations go wrong when `faults` says so.
    pub fn with_faults(faults: std::sync::Arc<dyn Faults>) -> Self {
        Self {
            faults: Some(faults),
        }
    }

    fn carry_out<T>(
        &self,
        operation: Operation,
        path: &Path,
        action: impl FnOnce(Option<usize>) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(faults) = &self.faults else {
            return action(None);
        };
        match faults.before(operation, path) {
            Fault::None => {
                let result = action(None)?;
                faults.after(operation, path);
                Ok(result)
            }
            Fault::Error(error) => Err(error),
            Fault::Short(length, error) => action(Some(length)).and(Err(error)),
        }
    }

    /// Creates a directory with exactly `mode`, whatever the umask; one that exists is left alone.
    /// So that none is ever found with another mode, it is made aside and renamed. Returns whether it
    /// was made: then the directory above is still to be synced.
    pub(crate) fn create_directory(&self, path: &Path, mode: u32) -> io::Result<bool> {
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Ok(false);
        }
        let aside = aside(path)?;
        self.remove_directory(&aside)?;
        self.carry_out(Operation::CreateDirectory, &aside, |_| {
            DirBuilder::new().mode(mode).create(&aside)
        })?;
        self.carry_out(Operation::ChangeMode, &aside, |_| {
            fs::set_permissions(&aside, Permissions::from_mode(mode))
        })?;
        self.rename(&aside, path)?;
        Ok(true)
    }

    /// Creates a directory as [`Disk::create_directory`] does, durably.
    pub(crate) fn create_directory_durably(&self, path: &Path, mode: u32) -> io::Result<()> {
        if self.create_directory(path, mode)? {
            self.sync_directory(split(path)?.0)?;
        }
        Ok(())
    }

    /// Gives a directory of ours to a group, if it is not that group's already.
    pub(crate) fn give_to_group(&self, path: &Path, gid: u32) -> io::Result<()> {
        let directory = File::open(path)?;
        if directory.metadata()?.gid() == gid {
            return Ok(());
        }
        self.carry_out(Operation::ChangeOwner, path, |_| {
            std::os::unix::fs::fchown(&directory, None, Some(gid))
        })
    }

    /// Creates a file that did not exist, with its final mode, writes and syncs it, and gives it to
    /// its owner last: by then the daemon need not open it again.
    pub(crate) fn write_new(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        owner: Option<Owner>,
    ) -> io::Result<()> {
        let mut file = self.carry_out(Operation::CreateFile, path, |_| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode & 0o700)
                .open(path)
        })?;
        self.carry_out(Operation::ChangeMode, path, |_| {
            file.set_permissions(Permissions::from_mode(mode))
        })?;
        self.carry_out(Operation::Write, path, |short| {
            file.write_all(
                &content[..short.map_or(content.len(), |short| short.min(content.len()))],
            )
        })?;
        if let Some(owner) = owner {
            let found = file.metadata()?;
            if (found.uid(), found.gid()) != (owner.uid, owner.gid) {
                self.carry_out(Operation::ChangeOwner, path, |_| {
                    std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid))
                })?;
            }
        }
        self.carry_out(Operation::Sync, path, |_| file.sync_all())
    }

    /// Puts a file in the place of another, wholly or not at all: write aside, sync, rename, sync.
    /// The file aside has a name of its own per target; a leftover of it is removed first.
    pub(crate) fn replace(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let (parent, _) = split(path)?;
        let aside = aside(path)?;
        self.remove_file(&aside)?;
        self.write_new(&aside, content, mode, None)?;
        self.rename(&aside, path)?;
        self.sync_directory(parent)
    }

    pub(crate) fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.carry_out(Operation::Symlink, path, |_| {
            std::os::unix::fs::symlink(target, path)
        })
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.carry_out(Operation::Rename, to, |_| fs::rename(from, to))
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.carry_out(Operation::SyncDirectory, path, |_| {
            File::open(path)?.sync_all()
        })
    }

    /// Removes a file or link; one that is not there is fine.
    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        self.carry_out(Operation::Remove, path, |_| fs::remove_file(path))
    }

    /// Removes a flat directory of files; one that is not there is fine.
    pub(crate) fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.remove_directory(&entry.path())?;
            } else {
                self.remove_file(&entry.path())?;
            }
        }
        self.carry_out(Operation::Remove, path, |_| fs::remove_dir(path))
    }

    /// Overwrites a private file before it is removed, as far as the file system allows: that it cannot be overwritten
    /// is no reason to keep it.
    pub(crate) fn wipe(&self, path: &Path) -> io::Result<()> {
        let overwritten = match OpenOptions::new().write(true).open(path) {
            Ok(file) => self.overwrite(path, file),
            Err(_) => Ok(()),
        };
        self.remove_file(path)?;
        overwritten
    }

    fn overwrite(&self, path: &Path, mut file: File) -> io::Result<()> {
        let length = file.metadata()?.len().min(1 << 20) as usize;
        self.carry_out(Operation::Write, path, |_| file.write_all(&vec![0; length]))?;
        self.carry_out(Operation::Sync, path, |_| file.sync_all())
    }
}

/// The name under which something is made before it takes `path`'s place.
pub(crate) fn aside(path: &Path) -> io::Result<PathBuf> {
    let (parent, name) = split(path)?;
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(".new");
    Ok(parent.join(aside))
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a path without a file name",
        )),
    }
}

#[cfg(test)]
mod tests;
