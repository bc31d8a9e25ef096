//! Secrets that the operator provides: where they are, and reading them.
//!
//! A setting names the place, never the secret: `credential:NAME` is what systemd decrypted or copied for this
//! service (`LoadCredential=`, `LoadCredentialEncrypted=`, systemd.exec(5)), `file:/PATH` is a file that nobody else
//! may read. It is read when it is used and wiped after: so a file that was replaced is taken up by the next
//! use, and what is in memory for hours is no secret.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::libc::O_NONBLOCK;
use nix::unistd::{Gid, Uid, getegid, geteuid};
use renewd_core::names::CredentialName;
use zeroize::Zeroizing;

const MAX_BYTES: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A systemd credential of this service.
    Credential(CredentialName),
    /// A file, by its absolute path.
    File(PathBuf),
}

/// Not the place of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected \"credential:NAME\" or \"file:/PATH\"")]
pub struct NoSecret;

impl FromStr for Secret {
    type Err = NoSecret;

    fn from_str(text: &str) -> Result<Self, NoSecret> {
        match text.split_once(':') {
            Some(("credential", name)) => name.parse().map(Self::Credential).map_err(|_| NoSecret),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            _ => Err(NoSecret),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Why a secret cannot be used. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// systemd gave this service no such credential.
    #[error("{0} is not there: systemd gave this service no credential of that name")]
    NotGiven(CredentialName),
    /// There is no such file.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// Others could read it, or put another in its place.
    #[error("{} belongs to user {owner} and has mode {mode:04o}: others may read or change it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no file, too long, or no text.
    #[error("{} is no text file of at most {MAX_BYTES} bytes", .0.display())]
    Unreadable(PathBuf),
    /// The operating system refused.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl SecretError {
    /// The operator's next step.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotGiven(name) => format!(
                "\"systemctl edit renewd\", and below [Service] write LoadCredentialEncrypted={name}:/PATH or \
                 LoadCredential={name}:/PATH; then \"systemctl restart renewd\""
            ),
            Self::Missing(_) => "put it there, then \"systemctl reload renewd\"".to_owned(),
            Self::Open { path, .. } => format!(
                "if nobody has seen it: chown root:renewd and chmod 0640 {}; else replace what it holds",
                path.display()
            ),
            Self::Unreadable(_) => "put the right file there".to_owned(),
            Self::Io { .. } => {
                "let the user renewd read it (root:renewd, 0640, in a directory that it may enter)"
                    .to_owned()
            }
        }
    }
}

/// Where this service finds its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// `$CREDENTIALS_DIRECTORY`, where systemd gave it any.
    pub credentials: Option<PathBuf>,
}

impl Secrets {
    /// Reads a secret.
    ///
    /// # Errors
    /// When it is not there, or is one that others could know.
    pub fn read(&self, secret: &Secret) -> Result<Zeroizing<String>, SecretError> {
        match secret {
            Secret::Credential(name) => {
                let directory = self.credentials.as_deref();
                let path = directory.map(|directory| directory.join(name.as_str()));
                // What is there, systemd made for this service alone.
                match path.map(|path| read(&path, |_, _| Ok(()))) {
                    None | Some(Err(SecretError::Missing(_))) => {
                        Err(SecretError::NotGiven(name.clone()))
                    }
                    Some(result) => result,
                }
            }
            Secret::File(path) => read(path, closed),
        }
    }
}

fn closed(path: &Path, file: &File) -> Result<(), SecretError> {
    let found = file.metadata().map_err(|source| failed(path, source))?;
    closed_for(path, &found, geteuid(), getegid())
}

/// Looks at a file's owner and mode only.
///
/// # Errors
/// Unless only root and the service of this user and group may read it, and only they may change it.
pub fn closed_for(path: &Path, found: &Metadata, user: Uid, group: Gid) -> Result<(), SecretError> {
    let owner_trusted = found.uid() == 0 || found.uid() == user.as_raw();
    let group_trusted = found.gid() == 0 || found.gid() == group.as_raw();
    let open_to = if group_trusted { 0o027 } else { 0o077 };
    if owner_trusted && found.mode() & open_to == 0 {
        return Ok(());
    }
    Err(SecretError::Open {
        path: path.to_owned(),
        owner: found.uid(),
        mode: found.mode() & 0o7777,
    })
}

fn read(
    path: &Path,
    check: impl FnOnce(&Path, &File) -> Result<(), SecretError>,
) -> Result<Zeroizing<String>, SecretError> {
    let unreadable = || SecretError::Unreadable(path.to_owned());
    let opened = OpenOptions::new()
        .read(true)
        // A fifo put in the file's place must not hold us up.
        .custom_flags(O_NONBLOCK)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SecretError::Missing(path.to_owned()));
        }
        opened => opened.map_err(|source| failed(path, source))?,
    };
    let found = file.metadata().map_err(|source| failed(path, source))?;
    if !found.is_file() || found.len() > MAX_BYTES {
        return Err(unreadable());
    }
    check(path, &file)?;
    // The whole file fits without growing, so no copy of the secret is left behind.
    let capacity = usize::try_from(found.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(found.len())
        .read_to_end(&mut bytes)
        .map_err(|source| failed(path, source))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(unreadable())
        }
    }
}

fn failed(path: &Path, source: io::Error) -> SecretError {
    SecretError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_a_credential_or_a_file_with_an_absolute_path() {
        for text in ["credential:ca.pem", "file:/etc/renewd/ca.pem"] {
            assert_eq!(text.parse::<Secret>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "ca.pem",
            "/etc/ca.pem",
            "file:ca.pem",
            "credential:../x",
            "credential:",
            "env:CA",
        ] {
            assert_eq!(text.parse::<Secret>(), Err(NoSecret), "{text}");
        }
    }

    #[test]
    fn a_credential_is_read_where_systemd_put_it_and_else_the_error_says_how() {
        let directory = tempfile::tempdir().unwrap();
        let secret: Secret = "credential:ca.pem".parse().unwrap();
        let given = Secrets {
            credentials: Some(directory.path().to_owned()),
        };
        for secrets in [Secrets::default(), given.clone()] {
            let error = secrets.read(&secret).unwrap_err();
            assert!(matches!(error, SecretError::NotGiven(_)), "{error}");
            assert!(error.remedy().contains("LoadCredentialEncrypted=ca.pem:"));
        }
        write(directory.path().join("ca.pem"), "secret").unwrap();
        assert_eq!(given.read(&secret).unwrap().as_str(), "secret");
    }

    #[test]
    fn a_file_that_others_could_read_or_change_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let secret = Secret::File(path.clone());
        let read = || Secrets::default().read(&secret);
        assert!(matches!(read(), Err(SecretError::Missing(_))));
        write(&path, "secret").unwrap();
        for (mode, accepted) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o660, false),
            (0o604, false),
            (0o602, false),
        ] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let found = read();
            assert_eq!(found.is_ok(), accepted, "{mode:o}: {found:?}");
        }
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write(&path, vec![b'a'; 70_000]).unwrap();
        assert!(matches!(read(), Err(SecretError::Unreadable(_))));
        write(&path, [0xff]).unwrap();
        assert!(matches!(read(), Err(SecretError::Unreadable(_))));
    }
}
