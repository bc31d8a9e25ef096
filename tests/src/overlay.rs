//! Overlay mounts over cached, read-only directories.
//!
//! Owns the mounts and their end. The runner lives in a mount namespace of its own ([`enter_private_namespace`]), so the
//! kernel takes them away even when it is killed. It never writes to a lower directory.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::failure::{Failure, Result};

/// Puts this process into a mount namespace of its own. To be called before the first thread is started.
///
/// # Errors
/// When the caller is not root.
pub fn enter_private_namespace() -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, private, None::<&str>))
        .map_err(|errno| Failure::io("make private the mounts below", "/")(errno.into()))
}

/// A writable view of lower directories; unmounted when dropped.
#[derive(Debug)]
pub struct Overlay {
    root: PathBuf,
    /// The tmpfs that holds the upper directory, where there is one.
    memory: Option<PathBuf>,
}

impl Overlay {
    /// Mounts `lower` (topmost first) with all changes kept in memory, inside `scratch`, an existing empty directory.
    ///
    /// # Errors
    /// When a mount is refused.
    pub fn in_memory(lower: &[&Path], scratch: &Path) -> Result<Self> {
        let memory = scratch.join("memory");
        fs::create_dir_all(&memory).map_err(Failure::io("make", &memory))?;
        mount(
            Some("tmpfs"),
            &memory,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=0755"),
        )
        .map_err(|errno| Failure::io("mount a tmpfs on", &memory)(errno.into()))?;
        // Held before the second mount is tried, so that a refusal takes the tmpfs away again.
        let overlay = Self {
            root: memory.join("root"),
            memory: Some(memory.clone()),
        };
        mount_overlay(
            lower,
            &memory.join("upper"),
            &memory.join("work"),
            &overlay.root,
        )?;
        Ok(overlay)
    }

    /// Mounts `lower` (topmost first) with all changes kept in the directory `upper`; `scratch` is on the same file system.
    ///
    /// # Errors
    /// When the mount is refused.
    pub fn on_disk(lower: &[&Path], upper: &Path, scratch: &Path) -> Result<Self> {
        let root = scratch.join("root");
        mount_overlay(lower, upper, &scratch.join("work"), &root)?;
        Ok(Self { root, memory: None })
    }

    /// Where the merged tree is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        umount2(&self.root, MntFlags::MNT_DETACH).ok();
        if let Some(memory) = &self.memory {
            umount2(memory, MntFlags::MNT_DETACH).ok();
        }
    }
}

fn mount_overlay(lower: &[&Path], upper: &Path, work: &Path, root: &Path) -> Result<()> {
    for directory in [upper, work, root] {
        fs::create_dir_all(directory).map_err(Failure::io("make", directory))?;
    }
    let lower: Vec<String> = lower
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let (upper, work) = (upper.display(), work.display());
    let options = format!(
        "lowerdir={},upperdir={upper},workdir={work}",
        lower.join(":")
    );
    mount(
        Some("overlay"),
        root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(|errno| Failure::io("mount an overlay on", root)(errno.into()))
}
