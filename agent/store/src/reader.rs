//! Reads a published certificate the way it was written: as one generation.
//!
//! Owns: the way from `NAME/current` to the bytes of one immutable generation directory.
//! Never does: parse PEM, decide whether a certificate is any good, follow a link out of the
//! generation. Neighbour: the writer, which swaps `current` by a rename and never edits a generation.
//!
//! A program that opens `NAME/key.pem` and `NAME/fullchain.pem` one after the other can meet a swap in
//! between and hold a key and a certificate that do not belong together. [`read`] cannot: it resolves
//! `current` once, holds that generation's directory open, and reads every file relative to the handle.
//!
//! ```no_run
//! let snapshot = renewd_store::reader::read("/var/lib/renewd/certs/api")?;
//! println!("generation {}", snapshot.generation);
//! # Ok::<(), renewd_store::reader::ReadError>(())
//! ```

use std::fmt;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// No file of a generation is larger: a key and a long chain need a few KiB, a system trust bundle half a MiB.
pub const MAX_FILE: u64 = 1024 * 1024;

/// But for revocation lists: a million serials take about 40 MiB.
pub const MAX_LISTS: u64 = 64 * 1024 * 1024;

/// How often a generation may vanish under the reader before it gives up.
///
/// The writer keeps a generation for at least ten minutes after it stopped being current, so one
/// repetition is already rare; an endless chase would be a fault elsewhere.
const ATTEMPTS: usize = 16;

/// Key, chain and trust bundle of one generation, as PEM, and what else it has.
pub struct Snapshot {
    /// The number in the directory's name, `.7` being generation 7.
    pub generation: u64,
    /// The private key.
    pub key_pem: Secret,
    /// The leaf, followed by its intermediates.
    pub fullchain_pem: Vec<u8>,
    /// The CA certificates that peers are verified against.
    pub ca_pem: Vec<u8>,
    /// `crl.pem`, the revocation lists of these CAs. None where the generation has none, which nobody takes for a moment at
    /// which it was just being removed.
    pub crl_pem: Option<Vec<u8>>,
    /// `ocsp.der`, what the issuer says of the leaf. A generation is not worth less for one that cannot be read.
    pub ocsp_der: Result<Option<Vec<u8>>, ReadError>,
}

impl Snapshot {
    /// Whether it has everything that a generation can have.
    fn is_complete(&self) -> bool {
        self.crl_pem.is_some() && !matches!(self.ocsp_der, Ok(None))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// Bytes that are overwritten when dropped, and never printed.
///
/// The standard library without `unsafe` has no write that the compiler promises to keep. Zeroes are
/// written and the buffer is then handed to [`black_box`], which in practice keeps the optimiser from
/// removing the write. The buffer never grows, so no reallocation leaves a copy behind. Copies that a
/// consumer makes, and pages that were swapped out, are beyond its reach.
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes. Whoever copies them answers for the copy.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        black_box(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads the generation that is current in `directory`, the certificate's own directory (`certs/NAME`).
///
/// # Errors
///
/// One of [`ReadError`]'s variants, each with the path it speaks of. A generation that vanished
/// because a newer one replaced it is not an error: the newer one is read.
pub fn read(directory: impl AsRef<Path>) -> Result<Snapshot, ReadError> {
    let directory = Directory::open(directory.as_ref())?;
    let mut target = directory.current()?;
    for _ in 0..ATTEMPTS {
        match directory.generation(&target) {
            Ok(snapshot) if snapshot.is_complete() => return Ok(snapshot),
            Ok(snapshot) => {
                // Only generations that are not current are removed: while this one is, what is missing was never there.
                let now = directory.current()?;
                if now == target {
                    return Ok(snapshot);
                }
                target = now;
            }
            Err(error) if error.is_not_found() => {
                // Either the swap came between readlink and open, or the link points nowhere.
                let now = directory.current()?;
                if now == target {
                    return Err(error);
                }
                target = now;
            }
            Err(error) => return Err(error),
        }
    }
    Err(ReadError::Restless {
        path: directory.path.join(CURRENT),
    })
}

/// Why nothing was read. The text says what and where; the cause is the source.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The certificate's directory, a generation or a file in it cannot be opened or read.
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no `current`: nothing was published yet, or this is not a certificate's directory.
    Unpublished {
        /// The missing link.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// `current` names a generation that is not there.
    Dangling {
        /// The generation's directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// `current` points at something that is no generation, such as a path outside of the directory.
    NotAGeneration {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// A file of the generation is a link, a directory, a pipe or another thing that is no regular file.
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// A file is larger than [`MAX_FILE`] or [`MAX_LISTS`].
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many bytes it may have.
        most: u64,
    },
    /// A file changed its length while it was read. Generations are immutable: somebody else wrote here.
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// `current` moved on at every attempt.
    Restless {
        /// The link.
        path: PathBuf,
    },
}

impl ReadError {
    /// True where a swap in the middle of reading would look the same, so looking again is worth it.
    fn is_not_found(&self) -> bool {
        match self {
            Self::Dangling { .. } => true,
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Unpublished { path, .. } => {
                write!(f, "{}: no certificate is published here", path.display())
            }
            Self::Dangling { path, .. } => {
                write!(f, "current generation {} is missing", path.display())
            }
            Self::NotAGeneration { path, target } => write!(
                f,
                "{} points at {}, which is no generation",
                path.display(),
                target.display()
            ),
            Self::NotAFile { path } => write!(f, "{} is not a regular file", path.display()),
            Self::TooLarge { path, most } => {
                write!(f, "{} is larger than {most} bytes", path.display())
            }
            Self::Changed { path } => write!(f, "{} changed while it was read", path.display()),
            Self::Restless { path } => {
                write!(
                    f,
                    "{} moved {ATTEMPTS} times while it was read",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. }
            | Self::Unpublished { source, .. }
            | Self::Dangling { source, .. } => Some(source),
            _ => None,
        }
    }
}

const CURRENT: &str = "current";

/// A directory that stays the same one, whatever happens to its path.
struct Directory {
    handle: File,
    /// For messages only.
    path: PathBuf,
}

impl Directory {
    fn open(path: &Path) -> Result<Self, ReadError> {
        let unreadable = |source| ReadError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let handle = File::open(path).map_err(unreadable)?;
        if !handle.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self {
            handle,
            path: path.to_owned(),
        })
    }

    /// A path that the kernel resolves from the open handle: the standard library has no `openat`.
    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd())).join(name)
    }

    fn current(&self) -> Result<PathBuf, ReadError> {
        fs::read_link(self.at(CURRENT)).map_err(|source| {
            let path = self.path.join(CURRENT);
            match source.kind() {
                io::ErrorKind::NotFound => ReadError::Unpublished { path, source },
                _ => ReadError::Unreadable { path, source },
            }
        })
    }

    fn generation(&self, target: &Path) -> Result<Snapshot, ReadError> {
        let generation = number(target).ok_or_else(|| ReadError::NotAGeneration {
            path: self.path.join(CURRENT),
            target: target.to_owned(),
        })?;
        let path = self.path.join(target);
        let held = match Self::open(&self.at(target)) {
            Ok(held) => Self { path, ..held },
            Err(ReadError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Err(ReadError::Dangling { path, source });
            }
            Err(ReadError::Unreadable { source, .. }) => {
                return Err(ReadError::Unreadable { path, source });
            }
            Err(error) => return Err(error),
        };
        Ok(Snapshot {
            generation,
            key_pem: Secret(held.file("key.pem", MAX_FILE)?),
            fullchain_pem: held.file("fullchain.pem", MAX_FILE)?,
            ca_pem: held.file("ca.pem", MAX_FILE)?,
            crl_pem: held.file_if_any("crl.pem", MAX_LISTS)?,
            ocsp_der: held.file_if_any("ocsp.der", MAX_FILE),
        })
    }

    fn file_if_any(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, ReadError> {
        match self.file(name, most) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file(&self, name: &str, most: u64) -> Result<Vec<u8>, ReadError> {
        let path = self.path.join(name);
        let unreadable = |source| ReadError::Unreadable {
            path: path.clone(),
            source,
        };
        // Looked at before it is opened: a link could lead into another generation, and opening a pipe
        // would wait for a writer.
        let metadata = fs::symlink_metadata(self.at(name)).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile { path });
        }
        let mut file = File::open(self.at(name)).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        if length > most {
            return Err(ReadError::TooLarge { path, most });
        }
        exactly(&mut file, length as usize).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                ReadError::Changed { path: path.clone() }
            }
            _ => unreadable(source),
        })
    }
}

/// Reads `length` bytes and the end of the file, into a buffer that never moves.
fn exactly(file: &mut File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Secret(vec![0; length]);
    file.read_exact(&mut bytes.0)?;
    if file.read(&mut [0])? != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(std::mem::take(&mut bytes.0))
}

/// `.7` is 7; anything else is no generation.
fn number(target: &Path) -> Option<u64> {
    let digits = target.to_str()?.strip_prefix('.')?;
    let canonical =
        digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
