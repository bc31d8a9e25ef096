//! An issuer's directory: who may own it, how a file in it comes to be, how it is read.
//!
//! Files are written aside, synced, renamed, and the directory is synced; nothing is edited in place
//! except the log, which only grows. A file of another owner, a link, or one that others could read is
//! refused and left alone. The store's lock keeps a second daemon out.

mod error;

use std::fs::{DirBuilder, File, OpenOptions, remove_file, rename, symlink_metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use zeroize::Zeroizing;

pub(super) use error::KeptError;

/// No file that was written here is longer.
pub(in crate::issuer) const MAX_BYTES: u64 = 64 * 1024;

/// The directory, checked.
pub(in crate::issuer) struct Directory {
    path: PathBuf,
    owner: u32,
}

impl Directory {
    /// Opens the directory for its owner, making it if it is not there.
    pub(in crate::issuer) fn open(path: &Path, owner: u32) -> Result<Self, KeptError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
                made.map_err(|source| failed("making", path, source))?;
            }
            Err(source) => return Err(failed("making", path, source)),
            Ok(()) => {}
        }
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync_directory(parent)?;
        }
        let metadata = symlink_metadata(path).map_err(|source| failed("reading", path, source))?;
        if !metadata.is_dir() {
            return Err(KeptError::Damaged {
                path: path.to_owned(),
                why: "expected a directory".into(),
            });
        }
        check(path, metadata.uid(), metadata.mode(), owner)?;
        Ok(Self {
            path: path.to_owned(),
            owner,
        })
    }

    pub(in crate::issuer) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether anything of this name is there, even a link to nowhere.
    pub(in crate::issuer) fn has(&self, name: &str) -> bool {
        symlink_metadata(self.file(name)).is_ok()
    }

    /// The file's text, or nothing if there is no such file.
    pub(in crate::issuer) fn read(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<String>>, KeptError> {
        read(&self.file(name), Some(self.owner))
    }

    /// Makes a file that must not exist yet.
    pub(in crate::issuer) fn create(&self, name: &str, text: &str) -> Result<(), KeptError> {
        let path = self.file(name);
        let aside = self.write_aside(name, text)?;
        // A link, unlike a rename, never replaces what came there meanwhile.
        let linked = std::fs::hard_link(&aside, &path);
        let removed = remove_file(&aside);
        linked.map_err(|source| failed("making", &path, source))?;
        removed.map_err(|source| failed("removing", &aside, source))?;
        sync_directory(&self.path)
    }

    /// Makes or replaces a file: readers see the old or the new one, whole.
    pub(in crate::issuer) fn replace(&self, name: &str, text: &str) -> Result<(), KeptError> {
        let path = self.file(name);
        let aside = self.write_aside(name, text)?;
        rename(&aside, &path).map_err(|source| failed("replacing", &path, source))?;
        sync_directory(&self.path)
    }

    /// Removes a file, if it is there.
    pub(in crate::issuer) fn remove(&self, name: &str) -> Result<(), KeptError> {
        let path = self.file(name);
        match remove_file(&path) {
            Ok(()) => sync_directory(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("removing", &path, source)),
        }
    }

    /// Adds one line to a file, and waits until it is on the disk.
    pub(in crate::issuer) fn append(&self, name: &str, line: &str) -> Result<(), KeptError> {
        let path = self.file(name);
        let io = |source| failed("appending to", &path, source);
        let new = !self.has(name);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(O_NOFOLLOW | O_NONBLOCK)
            .open(&path)
            .map_err(io)?;
        check_file(&path, &file, Some(self.owner))?;
        // A line that a crash cut short stays a line of its own.
        let mut text = String::with_capacity(line.len() + 2);
        if ends_within_a_line(&mut file).map_err(io)? {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(io)?;
        file.sync_data().map_err(io)?;
        if new {
            sync_directory(&self.path)?;
        }
        Ok(())
    }

    fn write_aside(&self, name: &str, text: &str) -> Result<PathBuf, KeptError> {
        let aside = self.path.join(format!(".{name}.aside"));
        match remove_file(&aside) {
            // What a crash left: it was never in use.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed("removing", &aside, source)),
        }
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| {
            // On a full disk, do not keep what little there is.
            let _ = remove_file(&aside);
            failed("writing", &aside, source)
        })?;
        Ok(aside)
    }
}

/// Reads a file of limited size, following no link; its owner and mode are checked when `owner` is given.
pub(in crate::issuer) fn read(
    path: &Path,
    owner: Option<u32>,
) -> Result<Option<Zeroizing<String>>, KeptError> {
    let damaged = |why: &str| KeptError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let opened = OpenOptions::new()
        .read(true)
        // A fifo put in the file's place must not hold us up.
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err(damaged("expected a file, found a link"));
        }
        Err(source) => return Err(failed("opening", path, source)),
    };
    check_file(path, &file, owner)?;
    let io = |source| failed("reading", path, source);
    let length = file.metadata().map_err(io)?.len();
    if length > MAX_BYTES {
        return Err(damaged("it is larger than anything that was written here"));
    }
    // The whole file fits without growing, so no copy of a key is left behind.
    let capacity = usize::try_from(length).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(length).read_to_end(&mut bytes).map_err(io)?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(damaged("it is not text"))
        }
    }
}

fn check_file(path: &Path, file: &File, owner: Option<u32>) -> Result<(), KeptError> {
    let metadata = file
        .metadata()
        .map_err(|source| failed("reading", path, source))?;
    if !metadata.is_file() {
        return Err(KeptError::Damaged {
            path: path.to_owned(),
            why: "expected a file".into(),
        });
    }
    match owner {
        Some(owner) => check(path, metadata.uid(), metadata.mode(), owner),
        None => Ok(()),
    }
}

fn check(path: &Path, owner: u32, mode: u32, expected: u32) -> Result<(), KeptError> {
    let path = || path.to_owned();
    if owner != expected {
        return Err(KeptError::Owner {
            path: path(),
            owner,
            expected,
        });
    }
    match mode & 0o7777 {
        mode if mode & 0o077 != 0 => Err(KeptError::Mode { path: path(), mode }),
        _ => Ok(()),
    }
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn sync_directory(path: &Path) -> Result<(), KeptError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| failed("syncing", path, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> KeptError {
    KeptError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
