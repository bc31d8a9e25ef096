//! The reader against a real directory, with a writer that swaps under it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;

struct Published(tempfile::TempDir);

impl Published {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Every file says which generation it belongs to.
    fn generation(&self, n: u64) -> PathBuf {
        let directory = self.path().join(format!(".{n}"));
        fs::create_dir(&directory).unwrap();
        for name in ["key.pem", "fullchain.pem", "ca.pem"] {
            fs::write(directory.join(name), n.to_string()).unwrap();
        }
        directory
    }

    fn point(&self, target: &str) {
        let aside = self.path().join("current.new");
        symlink(target, &aside).unwrap();
        fs::rename(aside, self.path().join(CURRENT)).unwrap();
    }

    fn publish(&self, n: u64) -> PathBuf {
        let directory = self.generation(n);
        self.point(&format!(".{n}"));
        directory
    }
}

#[test]
fn one_generation_is_read_whole() {
    let published = Published::new();
    published.publish(7);
    let snapshot = read(published.path()).unwrap();
    assert_eq!(snapshot.generation, 7);
    assert_eq!(snapshot.key_pem.bytes(), b"7");
    assert_eq!(snapshot.fullchain_pem, b"7");
    assert_eq!(snapshot.ca_pem, b"7");
}

#[test]
fn a_writer_that_swaps_and_deletes_never_yields_a_mix() {
    let published = Published::new();
    published.publish(1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when an assertion below fails: the writer must not keep the scope from ending.
        let _stop = Stop(&done);
        scope.spawn(|| {
            // Harsher than the real writer, which keeps the previous generation for minutes.
            let mut n = 1;
            while !done.load(Ordering::Relaxed) {
                published.publish(n + 1);
                fs::remove_dir_all(published.path().join(format!(".{n}"))).unwrap();
                n += 1;
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut whole, mut seen) = (0, std::collections::BTreeSet::new());
        while (whole < 2_000 || seen.len() < 20) && Instant::now() < deadline {
            match read(published.path()) {
                Ok(snapshot) => {
                    let n = snapshot.generation.to_string().into_bytes();
                    assert_eq!(snapshot.key_pem.bytes(), n);
                    assert_eq!(snapshot.fullchain_pem, n);
                    assert_eq!(snapshot.ca_pem, n);
                    seen.insert(snapshot.generation);
                    whole += 1;
                }
                // Losing every race is honest; a mix is not.
                Err(ReadError::Restless { .. }) => {}
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            }
        }
        assert!(whole >= 2_000 && seen.len() >= 20, "{whole} {}", seen.len());
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_generation_may_have_lists_and_a_staple_of_its_own() {
    let published = Published::new();
    let directory = published.publish(7);
    let snapshot = read(published.path()).unwrap();
    assert!(snapshot.crl_pem.is_none() && matches!(snapshot.ocsp_der, Ok(None)));
    fs::write(directory.join("crl.pem"), vec![b'x'; MAX_FILE as usize + 1]).unwrap();
    fs::write(directory.join("ocsp.der"), "7").unwrap();
    let snapshot = read(published.path()).unwrap();
    assert_eq!(snapshot.crl_pem.unwrap().len(), MAX_FILE as usize + 1);
    assert_eq!(snapshot.ocsp_der.unwrap().unwrap(), b"7");
}

#[test]
fn lists_that_cannot_be_read_are_refused_and_a_staple_is_not_worth_that() {
    let published = Published::new();
    let directory = published.publish(7);
    symlink("../.6/ocsp.der", directory.join("ocsp.der")).unwrap();
    let snapshot = read(published.path()).unwrap();
    let error = snapshot.ocsp_der.unwrap_err();
    assert!(matches!(&error, ReadError::NotAFile { path } if path.ends_with(".7/ocsp.der")));
    fs::create_dir(directory.join("crl.pem")).unwrap();
    let error = read(published.path()).unwrap_err();
    assert!(matches!(&error, ReadError::NotAFile { path } if path.ends_with(".7/crl.pem")));
}

#[test]
fn a_generation_that_is_being_removed_is_never_read_without_its_lists() {
    let published = Published::new();
    let generation = |n: u64| {
        let directory = published.generation(n);
        fs::write(directory.join("crl.pem"), n.to_string()).unwrap();
        published.point(&format!(".{n}"));
    };
    generation(1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&done);
        scope.spawn(|| {
            let mut n = 1;
            while !done.load(Ordering::Relaxed) {
                generation(n + 1);
                fs::remove_dir_all(published.path().join(format!(".{n}"))).unwrap();
                n += 1;
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut whole = 0;
        while whole < 2_000 && Instant::now() < deadline {
            match read(published.path()) {
                Ok(snapshot) => {
                    let n = snapshot.generation.to_string().into_bytes();
                    assert_eq!(snapshot.crl_pem, Some(n));
                    whole += 1;
                }
                Err(ReadError::Restless { .. }) => {}
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            }
        }
        assert!(whole >= 2_000, "{whole}");
    });
}

#[test]
fn a_missing_directory_is_named() {
    let error = read("/nonexistent/certs/api").unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent/certs/api");
}

#[test]
fn a_directory_without_current_says_that_nothing_is_published() {
    let published = Published::new();
    let error = read(published.path()).unwrap_err();
    assert!(matches!(&error, ReadError::Unpublished { path, .. } if path.ends_with(CURRENT)));
}

#[test]
fn a_current_that_points_nowhere_names_the_missing_generation() {
    let published = Published::new();
    published.point(".9");
    let error = read(published.path()).unwrap_err();
    assert!(matches!(&error, ReadError::Dangling { path, .. } if path.ends_with(".9")));
}

#[test]
fn a_current_that_points_elsewhere_is_refused() {
    for target in [
        "..",
        "/etc",
        ".7/../.8",
        ".07",
        ".",
        ".x",
        "7",
        ".18446744073709551616",
    ] {
        let published = Published::new();
        published.point(target);
        let error = read(published.path()).unwrap_err();
        assert!(
            matches!(error, ReadError::NotAGeneration { .. }),
            "{target}"
        );
    }
}

#[test]
fn a_current_that_is_no_link_is_refused() {
    let published = Published::new();
    fs::create_dir(published.path().join(CURRENT)).unwrap();
    let error = read(published.path()).unwrap_err();
    assert!(matches!(&error, ReadError::Unreadable { path, .. } if path.ends_with(CURRENT)));
}

#[test]
fn a_missing_file_is_named() {
    let published = Published::new();
    fs::remove_file(published.publish(3).join("ca.pem")).unwrap();
    let error = read(published.path()).unwrap_err();
    assert!(error.to_string().ends_with(".3/ca.pem"), "{error}");
}

#[test]
fn an_unreadable_file_is_named() {
    let published = Published::new();
    let key = published.publish(3).join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&key).is_ok() {
        // root reads everything: an ordinary user has to look.
        return as_nobody("reader::tests::an_unreadable_file_is_named");
    }
    let error = read(published.path()).unwrap_err();
    assert!(error.to_string().ends_with(".3/key.pem"), "{error}");
    assert!(matches!(
        &error,
        ReadError::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied
    ));
}

/// Runs one of these tests again, as a user that may do nothing. It has to run, and to pass.
fn as_nobody(test: &str) {
    const NOBODY: u32 = 65534;
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // cargo's directory may be closed to others.
    let program = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(&program)
        .args(["--exact", test])
        .env("TMPDIR", place.path())
        .current_dir(place.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_file_of_the_largest_size_is_read_and_one_byte_more_is_refused() {
    let published = Published::new();
    let chain = published.publish(3).join("fullchain.pem");
    fs::write(&chain, vec![b'x'; MAX_FILE as usize]).unwrap();
    assert_eq!(
        read(published.path()).unwrap().fullchain_pem.len() as u64,
        MAX_FILE
    );
    fs::write(&chain, vec![b'x'; MAX_FILE as usize + 1]).unwrap();
    let error = read(published.path()).unwrap_err();
    assert!(
        matches!(&error, ReadError::TooLarge { path, .. } if path.ends_with(".3/fullchain.pem"))
    );
}

#[test]
fn a_link_out_of_the_generation_is_not_followed() {
    let published = Published::new();
    published.generation(2);
    let key = published.publish(3).join("key.pem");
    fs::remove_file(&key).unwrap();
    symlink("../.2/key.pem", &key).unwrap();
    let error = read(published.path()).unwrap_err();
    assert!(matches!(&error, ReadError::NotAFile { path } if path.ends_with(".3/key.pem")));
}

#[test]
fn a_pipe_in_place_of_a_file_does_not_hang_the_reader() {
    let published = Published::new();
    let ca = published.publish(3).join("ca.pem");
    fs::remove_file(&ca).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&ca)
        .status()
        .unwrap();
    assert!(made.success());
    let error = read(published.path()).unwrap_err();
    assert!(matches!(&error, ReadError::NotAFile { path } if path.ends_with(".3/ca.pem")));
}

#[test]
fn an_empty_file_is_left_for_the_consumer_to_judge() {
    let published = Published::new();
    fs::write(published.publish(3).join("ca.pem"), "").unwrap();
    assert!(read(published.path()).unwrap().ca_pem.is_empty());
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let published = Published::new();
    fs::write(published.publish(3).join("key.pem"), "sesame").unwrap();
    let snapshot = read(published.path()).unwrap();
    assert!(!format!("{snapshot:?} {:?}", snapshot.key_pem).contains("sesame"));
}
