//! The fault layer: makes the N-th operation on the disk fail, or lets the daemon die there, with or
//! without the power. For tests only.
//!
//! The power-loss model is the strictest that POSIX allows: after a loss, a file holds what it held
//! when it was synced last (nothing, if never), and a directory has the entries that it had when *it*
//! was synced last. File systems keep more than that, and not always the same more; [`Loss`] names
//! what is kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, Fault, Faults, Operation};

/// What becomes of the N-th operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It fails, and the daemon goes on.
    Fails,
    /// A write stops short; anything else is done, but reported as failed. The daemon goes on.
    HalfDone,
    /// The daemon dies before it: every later operation fails, too.
    Dies,
    /// The daemon dies in the middle of it.
    DiesHalfway,
}

/// What a loss of power keeps, beyond what was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Everything,
    /// Names, but not content: files that were not synced are empty.
    Content,
    /// The names in some directories, drawn by this seed.
    Some(u64),
}

/// Plans a fault, counts operations, and remembers what is durable.
#[derive(Debug)]
pub struct Plan {
    root: PathBuf,
    deaf_to_syncs: bool,
    state: Mutex<State>,
}

/// A file or directory, whatever its name. Numbers of inodes are used again, these are not.
type Id = u64;

#[derive(Debug, Default)]
struct State {
    armed: Option<(Kind, u64)>,
    operations: u64,
    struck: bool,
    dead: bool,
    last_id: Id,
    ids: BTreeMap<u64, Id>,
    files: BTreeMap<Id, DurableFile>,
    directories: BTreeMap<Id, DurableDirectory>,
}

#[derive(Debug, Clone)]
struct DurableFile {
    content: Vec<u8>,
    access: Access,
}

#[derive(Debug, Clone)]
struct DurableDirectory {
    entries: BTreeMap<OsString, Entry>,
    access: Access,
}

#[derive(Debug, Clone, Copy)]
struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Access {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            mode: found.permissions().mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
        }
    }

    fn give(self, path: &Path) -> io::Result<()> {
        let found = path.symlink_metadata()?;
        if (found.uid(), found.gid()) != (self.uid, self.gid) {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
    }
}

#[derive(Debug, Clone)]
enum Entry {
    File(Id),
    Directory(Id),
    Link(PathBuf),
}

impl Plan {
    /// A plan without a fault. What is below `root` now is taken to be durable.
    ///
    /// # Errors
    /// When `root` cannot be read.
    pub fn new(root: &Path) -> io::Result<Arc<Self>> {
        Self::build(root, false)
    }

    /// A plan to which syncs mean nothing: what a forgotten one would come to. A test that stays
    /// green with it proves nothing.
    ///
    /// # Errors
    /// When `root` cannot be read.
    pub fn deaf_to_syncs(root: &Path) -> io::Result<Arc<Self>> {
        Self::build(root, true)
    }

    fn build(root: &Path, deaf_to_syncs: bool) -> io::Result<Arc<Self>> {
        let mut state = State::default();
        state.take_as_durable(root)?;
        Ok(Arc::new(Self {
            root: root.to_owned(),
            deaf_to_syncs,
            state: Mutex::new(state),
        }))
    }

    /// A disk that follows the plan.
    pub fn disk(self: &Arc<Self>) -> Disk {
        Disk::with_faults(self.clone())
    }

    /// Has the operation with this number (the next one is 0) go wrong.
    pub fn arm(&self, kind: Kind, number: u64) {
        let mut state = self.state();
        state.operations = 0;
        state.armed = Some((kind, number));
        state.struck = false;
    }

    /// Operations asked for since the plan was made or armed.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the fault came.
    pub fn struck(&self) -> bool {
        self.state().struck
    }

    /// Whether the daemon would be dead by now.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes the power away: what is below the root becomes what a start would find. Whatever has
    /// files open there must be gone.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lose_power(&self, loss: Loss) -> io::Result<()> {
        let state = self.state();
        let present = state.present(&self.root)?;
        let found = fs::symlink_metadata(&self.root)?;
        let id = state.ids.get(&found.ino()).copied();
        let mut tree = Vec::new();
        state.survivors(id, Path::new(""), loss, &present, &mut tree);
        clear(&self.root)?;
        for (path, survivor) in tree {
            let path = self.root.join(path);
            match survivor {
                Survivor::Directory(access) => {
                    fs::create_dir(&path)?;
                    access.give(&path)?;
                }
                Survivor::File(file) => {
                    fs::write(&path, &file.content)?;
                    file.access.give(&path)?;
                }
                Survivor::Link(target) => symlink(target, &path)?,
            }
        }
        Ok(())
    }
}

impl Faults for Plan {
    fn before(&self, _operation: Operation, _path: &Path) -> Fault {
        let mut state = self.state();
        let number = state.operations;
        state.operations += 1;
        let error = || io::Error::other("a planted fault");
        if state.dead {
            return Fault::Error(error());
        }
        let Some((kind, at)) = state.armed else {
            return Fault::None;
        };
        if number != at {
            return Fault::None;
        }
        state.struck = true;
        state.dead = matches!(kind, Kind::Dies | Kind::DiesHalfway);
        match kind {
            Kind::Fails | Kind::Dies => Fault::Error(error()),
            Kind::HalfDone | Kind::DiesHalfway => Fault::Short(7, error()),
        }
    }

    fn after(&self, operation: Operation, path: &Path) {
        let mut state = self.state();
        let noted = match operation {
            Operation::CreateFile | Operation::CreateDirectory => state.note_new(path),
            Operation::Sync if !self.deaf_to_syncs => state.note_file(path),
            Operation::SyncDirectory if !self.deaf_to_syncs => state.note_directory(path),
            _ => Ok(()),
        };
        if let Err(error) = noted {
            panic!("the fault layer cannot look at {}: {error}", path.display());
        }
    }
}

enum Survivor {
    Directory(Access),
    File(DurableFile),
    Link(PathBuf),
}

impl State {
    fn id(&mut self, inode: u64) -> Id {
        let State { ids, last_id, .. } = self;
        *ids.entry(inode).or_insert_with(|| {
            *last_id += 1;
            *last_id
        })
    }

    fn note_new(&mut self, path: &Path) -> io::Result<()> {
        let inode = path.symlink_metadata()?.ino();
        self.ids.remove(&inode);
        self.id(inode);
        Ok(())
    }

    fn note_file(&mut self, path: &Path) -> io::Result<()> {
        let found = path.symlink_metadata()?;
        let file = DurableFile {
            content: fs::read(path)?,
            access: Access::of(&found),
        };
        let id = self.id(found.ino());
        self.files.insert(id, file);
        Ok(())
    }

    fn note_directory(&mut self, path: &Path) -> io::Result<()> {
        let found = fs::metadata(path)?;
        let directory = DurableDirectory {
            entries: self.entries(path)?,
            access: Access::of(&found),
        };
        let id = self.id(found.ino());
        self.directories.insert(id, directory);
        Ok(())
    }

    fn entries(&mut self, path: &Path) -> io::Result<BTreeMap<OsString, Entry>> {
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let found = entry.path().symlink_metadata()?;
            let kind = if found.is_symlink() {
                Entry::Link(fs::read_link(entry.path())?)
            } else if found.is_dir() {
                Entry::Directory(self.id(found.ino()))
            } else {
                Entry::File(self.id(found.ino()))
            };
            entries.insert(entry.file_name(), kind);
        }
        Ok(entries)
    }

    fn take_as_durable(&mut self, path: &Path) -> io::Result<()> {
        self.note_directory(path)?;
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let found = path.symlink_metadata()?;
            if found.is_dir() {
                self.take_as_durable(&path)?;
            } else if found.is_file() {
                self.note_file(&path)?;
            }
        }
        Ok(())
    }

    /// The directories as they are now, whether or not that is durable.
    fn present(&self, root: &Path) -> io::Result<BTreeMap<Id, DurableDirectory>> {
        let mut looker = State {
            ids: self.ids.clone(),
            last_id: self.last_id,
            ..State::default()
        };
        looker.take_as_durable(root)?;
        Ok(looker.directories)
    }

    fn survivors(
        &self,
        id: Option<Id>,
        path: &Path,
        loss: Loss,
        present: &BTreeMap<Id, DurableDirectory>,
        tree: &mut Vec<(PathBuf, Survivor)>,
    ) {
        let Some(id) = id else {
            return;
        };
        let names_are_kept = match loss {
            Loss::Everything => false,
            Loss::Content => true,
            // splitmix64, one draw per directory.
            Loss::Some(seed) => {
                let mut draw = (seed ^ id).wrapping_add(0x9e37_79b9_7f4a_7c15);
                draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (draw ^ (draw >> 31)) & 1 == 1
            }
        };
        let durable = self.directories.get(&id);
        let directory = match present.get(&id) {
            Some(present) if names_are_kept => Some(present),
            _ => durable,
        };
        let Some(directory) = directory else {
            return;
        };
        let unknown = Access {
            mode: 0o600,
            ..directory.access
        };
        for (name, entry) in &directory.entries {
            let path = path.join(name);
            match entry {
                Entry::Link(target) => tree.push((path, Survivor::Link(target.clone()))),
                Entry::File(id) => {
                    let file = self.files.get(id).cloned().unwrap_or(DurableFile {
                        content: Vec::new(),
                        access: unknown,
                    });
                    tree.push((path, Survivor::File(file)));
                }
                Entry::Directory(id) => {
                    let access = present.get(id).or_else(|| self.directories.get(id)).map_or(
                        Access {
                            mode: 0o700,
                            ..directory.access
                        },
                        |directory| directory.access,
                    );
                    tree.push((path.clone(), Survivor::Directory(access)));
                    self.survivors(Some(*id), &path, loss, present, tree);
                }
            }
        }
    }
}

fn clear(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
