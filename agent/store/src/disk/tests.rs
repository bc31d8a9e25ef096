//! What is left half done by a crash is finished by the next try.

use std::os::unix::fs::chown;
use std::sync::Arc;

use super::*;

/// The first change of a mode fails, as if the power went before it.
struct NoMode;

impl Faults for NoMode {
    fn before(&self, operation: Operation, _: &Path) -> Fault {
        match operation {
            Operation::ChangeMode => Fault::Error(io::ErrorKind::Interrupted.into()),
            _ => Fault::None,
        }
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[test]
fn a_directory_is_never_there_with_another_mode_and_a_crash_is_made_up_for() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("api");
    let crashing = Disk::with_faults(Arc::new(NoMode));
    crashing.create_directory(&directory, 0o750).unwrap_err();
    assert!(!directory.exists(), "never seen with the umask's mode");

    Disk::default().create_directory(&directory, 0o750).unwrap();
    assert_eq!(mode(&directory), 0o750);
    // As it is there, it is not touched.
    crashing.create_directory(&directory, 0o750).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("foreign");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    // Only root can make one; whoever else runs this looks at one of root's.
    let foreign = match chown(&directory, Some(1), None) {
        Ok(()) => directory,
        Err(_) => Path::new("/").to_owned(),
    };
    let before = mode(&foreign);
    let crashing = Disk::with_faults(Arc::new(NoMode));
    crashing.create_directory(&foreign, 0o750).unwrap();
    assert_eq!(mode(&foreign), before);
}

#[test]
fn the_state_directory_keeps_the_mode_that_its_maker_chose() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o711)).unwrap();
    drop(crate::Store::open(place.path(), Disk::default()).unwrap());
    assert_eq!(mode(place.path()), 0o711);
    assert_eq!(mode(&place.path().join("certs")), 0o755);
    assert_eq!(mode(&place.path().join("store")), 0o700);
}
