//! Faults that are planted outside the programs, each of which must turn the verdict red.
//!
//! It must never touch a program or what renewd publishes: it puts something in between. Its
//! neighbour is [`super::verdict`], whose checks these faults are for.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::error::DemoError;
use super::place::{Place, io};
use super::verdict::Check;

/// The rotation during which connections are cut.
const DROP_AT: usize = 3;
/// Between two looks at the published link.
const LOOK: Duration = Duration::from_millis(2);

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The server reads a copy of the directory that nobody updates.
    Stale,
    /// The server is killed and started again under load.
    Drop,
    /// The server reads a copy in which every new certificate meets the key before it.
    Mismatch,
}

impl Sabotage {
    /// The check that must turn red.
    #[must_use]
    pub fn must_redden(self) -> Check {
        match self {
            Self::Stale | Self::Mismatch => Check::Proven,
            Self::Drop => Check::Dropped,
        }
    }
}

impl FromStr for Sabotage {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "stale" => Ok(Self::Stale),
            "drop" => Ok(Self::Drop),
            "mismatch" => Ok(Self::Mismatch),
            _ => Err(format!("SABOTAGE is stale, drop or mismatch, not {name:?}")),
        }
    }
}

/// A fault in place, and where the server has to read because of it.
pub(super) struct Planted {
    sabotage: Option<Sabotage>,
    certificate: PathBuf,
    mixer: Option<JoinHandle<()>>,
}

impl Planted {
    /// Puts the fault in place, after the first publication and before the server starts.
    pub(super) fn before_start(
        sabotage: Option<Sabotage>,
        place: &Place,
    ) -> Result<Self, DemoError> {
        let published = place.published("api");
        let mut planted = Self {
            sabotage,
            certificate: published.clone(),
            mixer: None,
        };
        match sabotage {
            None | Some(Sabotage::Drop) => {}
            Some(Sabotage::Stale) => {
                planted.certificate = place.path("stale/api");
                copy(&published, &planted.certificate)?;
            }
            Some(Sabotage::Mismatch) => {
                planted.certificate = place.path("mismatch/api");
                copy(&published, &planted.certificate)?;
                let mixed = planted.certificate.clone();
                planted.mixer = Some(tokio::spawn(mix_every_swap(published, mixed)));
            }
        }
        Ok(planted)
    }

    /// The directory that the server is to read its certificate from.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    pub(super) fn drops_at(&self, rotation: usize) -> bool {
        self.sabotage == Some(Sabotage::Drop) && rotation == DROP_AT
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        if let Some(mixer) = &self.mixer {
            mixer.abort();
        }
    }
}

/// Follows each swap of the published directory with one of the copy: new leaf, previous key.
async fn mix_every_swap(published: PathBuf, mixed: PathBuf) {
    let link = |directory: &Path| std::fs::read_link(directory.join("current")).ok();
    loop {
        if let Some(current) = link(&published)
            && link(&mixed).is_some_and(|copied| copied != current)
            && let Err(error) = mix(&published, &mixed, &current)
        {
            eprintln!("the sabotage itself failed: {error}");
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn mix(published: &Path, mixed: &Path, generation: &Path) -> Result<(), DemoError> {
    let key = read(&mixed.join("current/key.pem"))?;
    let new = mixed.join(generation);
    copy(&published.join(generation), &new)?;
    let mut combined = key.clone();
    combined.extend(read(&new.join("fullchain.pem"))?);
    for (name, content) in [("key.pem", key), ("combined.pem", combined)] {
        let path = new.join(name);
        std::fs::write(&path, content).map_err(|source| io("write", &path, source))?;
    }
    let aside = mixed.join(".current.new");
    symlink(generation, &aside).map_err(|source| io("link", &aside, source))?;
    std::fs::rename(&aside, mixed.join("current")).map_err(|source| io("swap", mixed, source))
}

/// Copies a directory with its links as they are.
fn copy(from: &Path, to: &Path) -> Result<(), DemoError> {
    std::fs::create_dir_all(to).map_err(|source| io("make", to, source))?;
    let entries = std::fs::read_dir(from).map_err(|source| io("read", from, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| io("read", from, source))?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        let kind = entry
            .file_type()
            .map_err(|source| io("read", &old, source))?;
        if kind.is_dir() {
            copy(&old, &new)?;
            continue;
        }
        let copied = if kind.is_symlink() {
            std::fs::read_link(&old).and_then(|target| symlink(target, &new))
        } else {
            std::fs::copy(&old, &new).map(|_| ())
        };
        copied.map_err(|source| io("copy to", &new, source))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, DemoError> {
    std::fs::read(path).map_err(|source| io("read", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(directory: &Path, generation: &str) {
        let new = directory.join(generation);
        std::fs::create_dir_all(&new).expect("directory");
        for name in ["key.pem", "cert.pem", "fullchain.pem", "combined.pem"] {
            std::fs::write(new.join(name), format!("{name} of {generation}\n")).expect("file");
        }
        let aside = directory.join("aside");
        symlink(generation, &aside).expect("link");
        std::fs::rename(aside, directory.join("current")).expect("swap");
    }

    #[test]
    fn the_mixed_directory_has_a_new_leaf_and_the_key_before_it() {
        let directory = tempfile::tempdir().expect("directory");
        let (published, mixed) = (directory.path().join("api"), directory.path().join("mixed"));
        publish(&published, ".1");
        symlink("current/key.pem", published.join("key.pem")).expect("link");
        copy(&published, &mixed).expect("copy");
        publish(&published, ".2");
        mix(&published, &mixed, Path::new(".2")).expect("mix");
        let content = |name| std::fs::read_to_string(mixed.join(name)).expect("file");
        assert_eq!(content("key.pem"), "key.pem of .1\n");
        assert_eq!(content("current/cert.pem"), "cert.pem of .2\n");
        assert_eq!(
            content("current/combined.pem"),
            "key.pem of .1\nfullchain.pem of .2\n"
        );
        assert_eq!(
            std::fs::read_link(mixed.join("current")).expect("link"),
            Path::new(".2")
        );
    }
}
