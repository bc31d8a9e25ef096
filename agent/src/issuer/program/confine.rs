//! What the program may do: everything but see what this service keeps, listen, or signal others.
//!
//! Landlock knows only what is allowed, and it binds a thread and all that this thread starts. So a thread that
//! is made for one program binds itself, and allows everything beside the hidden directories and beside
//! their parents: the entries of the parents one by one, which is why a parent itself cannot be listed.
//! It does not bind chmod(2), chown(2) and connect(2), which is why capabilities are given up, too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

/// The newest that is known here; a kernel that knows less does what it can.
const KNOWN: ABI = ABI::V9;

/// What one program may see.
#[derive(Debug, Clone, Default)]
pub(super) struct Confinement {
    /// Directories that are not there for it.
    pub(super) hidden: Vec<PathBuf>,
    /// Files below them that it may read all the same.
    pub(super) shown: Vec<PathBuf>,
}

/// Why the thread could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A hidden directory cannot be found.
    #[error("{} cannot be looked at", path.display())]
    Hidden {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Capabilities stay.
    #[error("ambient capabilities cannot be given up")]
    Capabilities(#[source] io::Error),
    /// Landlock is there, and refuses.
    #[error("Landlock refuses: {0}")]
    Landlock(#[from] RulesetError),
}

impl Confinement {
    /// Binds this thread, and all that it starts, for good. `false` where the kernel has no Landlock.
    pub(super) fn bind_this_thread(&self) -> Result<bool, ConfineError> {
        rustix::thread::clear_ambient_capability_set()
            .map_err(|error| ConfineError::Capabilities(error.into()))?;
        let all = AccessFs::from_all(KNOWN);
        let status = Ruleset::default()
            .handle_access(all)?
            // No rule allows any port.
            .handle_access(AccessNet::BindTcp)?
            .scope(Scope::from_all(KNOWN))?
            .create()?
            .add_rules(path_beneath_rules(self.allowed()?, all))?
            .add_rules(path_beneath_rules(&self.shown, AccessFs::ReadFile))?
            .restrict_self()?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }

    /// The topmost places that have nothing hidden in them.
    fn allowed(&self) -> Result<Vec<PathBuf>, ConfineError> {
        let mut hidden = Vec::new();
        for path in &self.hidden {
            match fs::canonicalize(path) {
                Ok(path) => hidden.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(ConfineError::Hidden {
                        path: path.clone(),
                        source,
                    });
                }
            }
        }
        let mut allowed = Vec::new();
        beside(Path::new("/"), &hidden, &mut allowed);
        Ok(allowed)
    }
}

fn beside(place: &Path, hidden: &[PathBuf], allowed: &mut Vec<PathBuf>) {
    if hidden.iter().any(|hidden| hidden == place) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(place)) {
        allowed.push(place.to_owned());
        return;
    }
    // What cannot be listed is not allowed.
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        // A link could lead to what is hidden; what it leads to is allowed where it lies, or not.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            beside(&entry.path(), hidden, allowed);
        }
    }
}
