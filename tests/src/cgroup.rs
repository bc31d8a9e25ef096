//! A control group for each machine.
//!
//! `systemd-nspawn --keep-unit` makes its `payload` and `supervisor` groups below the group that it is started in, so two
//! machines started from one group would share one. Owns those groups, in the unified hierarchy and, on a host that
//! still mounts it, in the `name=systemd` one. It never touches a group outside of `renewd-tests`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Result, expect};
use crate::wait::wait_until;

/// The parent of all machines' groups.
const PARENT: &str = "renewd-tests";

/// One machine's groups, removed with all that runs in them when dropped.
#[derive(Debug)]
pub struct ControlGroup {
    directories: Vec<PathBuf>,
}

impl ControlGroup {
    /// The groups that are there already, by the names of their machines.
    #[must_use]
    pub fn existing() -> Vec<String> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let parents = hierarchies(&mountinfo)
            .into_iter()
            .map(|top| top.join(PARENT));
        let entries =
            parents.flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten());
        let groups = entries.filter(|entry| entry.path().is_dir());
        groups
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// Makes the groups of the machine with this name, in every hierarchy that systemd looks at.
    ///
    /// # Errors
    /// When no cgroup v2 hierarchy is mounted, or it cannot be written to.
    pub fn create(machine: &str) -> Result<Self> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")
            .map_err(Failure::io("read", "/proc/self/mountinfo"))?;
        let hierarchies = hierarchies(&mountinfo);
        if hierarchies.is_empty() {
            return Err(Failure::Missing {
                what: "a mounted cgroup v2 hierarchy".to_owned(),
                remedy: "mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned(),
            });
        }
        let directories: Vec<PathBuf> = hierarchies
            .iter()
            .map(|top| top.join(PARENT).join(machine))
            .collect();
        for directory in &directories {
            fs::create_dir_all(directory)
                .map_err(Failure::io("make the control group", directory))?;
        }
        Ok(Self { directories })
    }

    /// The files to which a process writes its id in order to enter.
    pub fn doors(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.directories
            .iter()
            .map(|directory| directory.join("cgroup.procs"))
    }

    /// Kills whatever still runs inside.
    pub fn kill(&self) {
        for directory in &self.directories {
            // Only the unified hierarchy has this file.
            fs::write(directory.join("cgroup.kill"), "1").ok();
        }
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.kill();
        // A group can be removed only once the kernel has reaped the last process in it.
        let removed = wait_until(
            "the machine's control group is empty",
            Duration::from_secs(10),
            || {
                self.directories
                    .iter()
                    .try_for_each(|directory| remove_tree(directory))
            },
        );
        if let Err(failure) = removed {
            eprintln!("{failure}");
        }
    }
}

fn remove_tree(directory: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_tree(&entry.path())?;
    }
    fs::remove_dir(directory).or_else(|error| {
        expect(
            error.kind() == std::io::ErrorKind::NotFound,
            format_args!("{} removed", directory.display()),
            error,
        )
    })
}

/// The mount points of the unified hierarchy and of `name=systemd`, from the text of `/proc/self/mountinfo`.
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, origin)) = line.split_once(" - ") else {
            continue;
        };
        let origin: Vec<&str> = origin.split(' ').collect();
        let wanted = match origin.first() {
            Some(&"cgroup2") => true,
            Some(&"cgroup") => origin
                .last()
                .is_some_and(|options| options.split(',').any(|word| word == "name=systemd")),
            _ => false,
        };
        if let (true, Some(point)) = (wanted, place.split(' ').nth(4)) {
            let point = PathBuf::from(point);
            if !found.contains(&point) {
                found.push(point);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hierarchies_of_a_hybrid_host_are_found_and_no_other() {
        let mountinfo = "\
            30 20 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            31 30 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            32 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            33 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let expected = [
            PathBuf::from("/sys/fs/cgroup/systemd"),
            PathBuf::from("/sys/fs/cgroup/unified"),
        ];
        assert_eq!(hierarchies(mountinfo), expected);
    }

    #[test]
    fn a_unified_host_has_one_hierarchy() {
        let mountinfo = "25 20 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(hierarchies(mountinfo), [PathBuf::from("/sys/fs/cgroup")]);
    }
}
