//! What killed runners left behind.
//!
//! A runner that ends by itself removes everything; the kernel ends the machines and mounts of one that was killed. The
//! empty groups and directories that then remain go at the next start. Never touches what a living runner owns.

use std::fs;
use std::path::Path;

use crate::cgroup::ControlGroup;

/// Removes what machines of killed runners left on the host: empty groups and empty directories. The machines
/// themselves and their mounts ended with their runner.
pub fn sweep() {
    for group in ControlGroup::existing()
        .into_iter()
        .filter(|name| orphaned(name))
    {
        ControlGroup::create(&group).ok();
    }
    let directories = fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    for entry in directories.filter(|entry| orphaned(&entry.file_name().to_string_lossy())) {
        fs::remove_dir_all(entry.path()).ok();
    }
}

/// Whether this is the name of a machine (`renewd-PROCESS-NUMBER…`) whose runner is gone.
fn orphaned(name: &str) -> bool {
    let runner = name
        .strip_prefix("renewd-")
        .and_then(|rest| rest.split_once('-'));
    runner.is_some_and(|(process, _)| {
        process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_gone_runner_left_is_swept() {
        assert!(orphaned(&format!("renewd-{}-0", u32::MAX)));
        assert!(!orphaned(&format!("renewd-{}-0AbCdEf", std::process::id())));
        assert!(!orphaned("renewd-demo-1"));
        assert!(!orphaned("unrelated"));
    }
}
