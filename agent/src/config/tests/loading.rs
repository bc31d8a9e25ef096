//! Which files count, what a bad one costs, and what is kept for the next start.

use std::fs;
use std::path::Path;

use super::super::load::load_at_start;
use super::super::{ErrorKind, Held, Texts, check, load};
use super::{MAIN, environment, lines, load_certificate};

pub(super) fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("certs.d")).unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

pub(super) const GOOD: &str = "names = [\"a.test\"]\n";
const BAD: &str = "names = [\"a b\"]\n";

#[test]
fn a_bad_file_holds_its_certificate_alone_on_its_last_accepted_text() {
    let directory = directory(&[
        ("renewd.toml", MAIN),
        ("certs.d/one.toml", GOOD),
        ("certs.d/two.toml", GOOD),
    ]);
    let first = load(directory.path(), &environment());
    assert_eq!(lines(&first.errors), Vec::<String>::new());
    let accepted = first.settings.accepted_texts().clone();

    fs::write(directory.path().join("certs.d/one.toml"), BAD).unwrap();
    fs::write(directory.path().join("certs.d/new.toml"), BAD).unwrap();
    let reload = load(directory.path(), &environment());
    assert_eq!(reload.errors.len(), 2);

    let start = load_at_start(directory.path(), &accepted, &environment());
    assert_eq!(start.errors.len(), 2);
    assert_eq!(start.held[&"one".parse().unwrap()], Held::LastAccepted);
    assert_eq!(start.held[&"new".parse().unwrap()], Held::Nothing);
    assert!(!start.main_held);
    assert_eq!(start.settings, first.settings);
    assert_eq!(start.settings.accepted_texts(), &accepted);
    let held = &start.settings.certificates[&"one".parse().unwrap()];
    assert!(
        held.location
            .to_string()
            .ends_with("one.toml (last accepted):1")
    );
}

#[test]
fn a_bad_main_file_is_held_on_its_last_accepted_text_and_else_nothing_is_in_force() {
    let directory = directory(&[("renewd.toml", MAIN), ("certs.d/one.toml", GOOD)]);
    let first = load(directory.path(), &environment());
    fs::write(
        directory.path().join("renewd.toml"),
        format!("{MAIN}[defaults]\ngroup = 7\n"),
    )
    .unwrap();
    let accepted = first.settings.accepted_texts();
    let start = load_at_start(directory.path(), accepted, &environment());
    assert_eq!(start.errors.len(), 1);
    assert!(start.main_held && start.held.is_empty());
    assert_eq!(start.settings, first.settings);
    assert_eq!(start.settings.accepted_texts(), accepted);

    // Its issuer is gone: it is held on nothing, and its text is kept for when the issuer is back.
    fs::write(directory.path().join("renewd.toml"), "").unwrap();
    let start = load_at_start(directory.path(), accepted, &environment());
    assert_eq!(start.held[&"one".parse().unwrap()], Held::Nothing);
    assert_eq!(
        start.settings.accepted_texts().certificates,
        accepted.certificates
    );

    fs::write(directory.path().join("renewd.toml"), "=").unwrap();
    let fresh = load_at_start(directory.path(), &Texts::default(), &environment());
    assert!(fresh.settings.certificates.is_empty() && fresh.settings.issuers.is_empty());
    assert_eq!(fresh.held[&"one".parse().unwrap()], Held::Nothing);
}

#[test]
fn errors_are_told_of_the_certificate_whose_file_they_are_in() {
    let directory = directory(&[
        (
            "renewd.toml",
            "[issuer.internal]\ntype = \"local\"\nkind = 1\n",
        ),
        ("certs.d/api.toml", BAD),
        ("certs.d/web-api.toml", "names = []\n"),
        ("certs.d/sound.toml", GOOD),
    ]);
    let loaded = load(directory.path(), &environment());
    assert_eq!(loaded.errors.len(), 3);
    for (name, part) in [("api", "a b"), ("web-api", "is empty")] {
        let found: Vec<_> = loaded.errors_of(&name.parse().unwrap()).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].to_string().contains(part), "{name}: {found:?}");
    }
    // Held, for the main file's sake.
    let sound = "sound".parse().unwrap();
    assert!(loaded.held.contains_key(&sound));
    assert_eq!(loaded.errors_of(&sound).count(), 0);
}

#[test]
fn the_kept_text_of_a_certificate_that_left_is_gone_and_no_other_file() {
    let directory = directory(&[
        ("renewd.toml", MAIN),
        ("certs.d/one.toml", GOOD),
        ("certs.d/two.toml", GOOD),
    ]);
    let before = load(directory.path(), &environment()).settings;
    let kept: Vec<String> = before
        .accepted_texts()
        .files()
        .map(|(file, _)| file)
        .chain(["notes.txt".to_owned()])
        .collect();
    assert_eq!(before.accepted_texts().gone(&kept).count(), 0);

    fs::remove_file(directory.path().join("certs.d/one.toml")).unwrap();
    // Bad, so held: not gone.
    fs::write(directory.path().join("certs.d/two.toml"), BAD).unwrap();
    let last = before.accepted_texts();
    let after = load_at_start(directory.path(), last, &environment()).settings;
    let gone: Vec<&str> = after.accepted_texts().gone(&kept).collect();
    assert_eq!(gone, ["one.certificate.toml"]);
    assert_eq!(
        Texts::default().gone(&kept).count(),
        2,
        "the main file stays"
    );
}

#[test]
fn texts_are_kept_in_files_and_come_back_from_them() {
    let directory = directory(&[("renewd.toml", MAIN), ("certs.d/one.toml", GOOD)]);
    let settings = load(directory.path(), &environment()).settings;
    let mut back = Texts::default();
    for (file, text) in settings.accepted_texts().files() {
        back.take_in(&file, text.to_owned());
    }
    back.take_in("notes.txt", "none of ours".to_owned());
    assert_eq!(&back, settings.accepted_texts());
}

#[test]
fn an_unlistable_directory_is_not_an_empty_one() {
    let directory = directory(&[("renewd.toml", MAIN), ("certs.d/one.toml", GOOD)]);
    let first = load(directory.path(), &environment());
    fs::remove_dir_all(directory.path().join("certs.d")).unwrap();
    fs::write(directory.path().join("certs.d"), "").unwrap();
    let start = load_at_start(
        directory.path(),
        first.settings.accepted_texts(),
        &environment(),
    );
    assert_eq!(start.errors[0].kind, ErrorKind::Unreadable);
    assert_eq!(start.settings, first.settings);
}

#[test]
fn what_systemd_finds_out_later_is_told_at_the_units_line() {
    let text = "names = [\"a.test\"]\n\n[unit.\"a.service\"]\norder = 2\n[unit.\"b.service\"]\n";
    let settings = load_certificate(text).settings;
    let told: Vec<String> = settings
        .units()
        .map(|(_, unit)| {
            let error = unit.error("on_change", "the unit cannot reload", "", "use restart");
            error.to_string()
        })
        .collect();
    assert_eq!(
        told,
        [
            "/etc/renewd/certs.d/api.toml:5: unit.\"b.service\".on_change: the unit cannot reload; use restart",
            "/etc/renewd/certs.d/api.toml:3: unit.\"a.service\".on_change: the unit cannot reload; use restart",
        ]
    );
}

#[test]
fn comments_and_moved_lines_are_no_change_and_values_are() {
    let base = load_certificate("names = [\"a.test\"]\n[unit.\"a.service\"]\n").settings;
    for same in [
        "# why\n\nnames = [\"a.test\"]\n[unit.\"a.service\"]\n",
        "names = [\"a.test\"]\nlifetime = \"1d\"\nowner = \"root\"\n[unit.\"a.service\"]\non_change = \"reload\"\n",
    ] {
        assert_eq!(load_certificate(same).settings, base);
    }
    for other in [
        "names = [\"b.test\"]\n[unit.\"a.service\"]\n",
        "names = [\"a.test\"]\ngroup = \"33\"\n[unit.\"a.service\"]\n",
        "names = [\"a.test\"]\n[unit.\"a.service\"]\norder = 1\n",
        "names = [\"a.test\"]\n",
    ] {
        assert_ne!(load_certificate(other).settings, base);
    }
}

#[test]
fn left_over_files_are_passed_over_and_strange_ones_are_told() {
    let directory = directory(&[
        ("renewd.toml", MAIN),
        ("certs.d/one.toml", GOOD),
        ("certs.d/.hidden.toml", BAD),
        ("certs.d/one.toml~", BAD),
        ("certs.d/one.toml.dpkg-old", BAD),
        ("certs.d/README", BAD),
    ]);
    let loaded = load(directory.path(), &environment());
    assert_eq!(lines(&loaded.errors), Vec::<String>::new());
    assert_eq!(loaded.settings.certificates.len(), 1);
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].to_string().contains("README"));
}

#[test]
fn unreadable_files_are_errors_of_their_own() {
    let directory = directory(&[("renewd.toml", MAIN), ("certs.d/bad name.toml", GOOD)]);
    let certificates = directory.path().join("certs.d");
    fs::create_dir(certificates.join("folder.toml")).unwrap();
    fs::write(certificates.join("latin.toml"), b"# ok\nnames = [\"\xe4\"]").unwrap();
    fs::write(certificates.join("large.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    std::os::unix::fs::symlink("nowhere", certificates.join("lost.toml")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(certificates.join("pipe.toml")).unwrap();
    let loaded = load(directory.path(), &environment());
    let found: Vec<_> = loaded
        .errors
        .iter()
        .map(|error| {
            let file = error.location.file.file_name().unwrap().to_str().unwrap();
            (file.to_owned(), error.location.line, error.found.clone())
        })
        .collect();
    for (file, line, part) in [
        ("bad name.toml", None, "no name of a certificate"),
        ("folder.toml", None, "is a directory"),
        ("latin.toml", Some(2), "not UTF-8"),
        ("large.toml", None, "larger than 1 MiB"),
        ("lost.toml", None, "cannot be read"),
        ("pipe.toml", None, "no regular file"),
    ] {
        assert!(
            found
                .iter()
                .any(|error| error.0 == file && error.1 == line && error.2.contains(part)),
            "{file}: {found:?}"
        );
    }
    assert_eq!(loaded.errors.len(), 6);
    let missing = load(Path::new("/nonexistent"), &environment());
    assert_eq!(missing.errors.len(), 1);
    assert_eq!(missing.errors[0].kind, ErrorKind::Unreadable);
}

#[test]
fn two_certificates_in_one_place_are_both_refused() {
    let directory = directory(&[
        ("renewd.toml", MAIN),
        ("certs.d/api.toml", GOOD),
        ("certs.d/API.toml", GOOD),
        ("certs.d/other.toml", GOOD),
    ]);
    let loaded = load(directory.path(), &environment());
    assert_eq!(loaded.errors.len(), 2);
    assert!(
        loaded
            .errors
            .iter()
            .all(|error| error.kind == ErrorKind::Conflict)
    );
    assert_eq!(loaded.settings.certificates.len(), 1);
}

#[test]
fn check_takes_a_directory_a_main_file_or_a_certificate() {
    let directory = directory(&[
        ("renewd.toml", MAIN),
        ("certs.d/one.toml", GOOD),
        ("certs.d/two.toml", BAD),
    ]);
    let root = directory.path();
    let none = Path::new("/nonexistent");
    let checked = |files: &[&str]| {
        let files: Vec<_> = files.iter().map(|file| root.join(file)).collect();
        let checked = check(none, &files, &environment());
        (
            checked.errors.len(),
            checked.warnings.len(),
            checked.certificates,
        )
    };
    assert_eq!(checked(&[""]), (1, 0, 1));
    assert_eq!(checked(&["renewd.toml"]), (0, 0, 0));
    assert_eq!(checked(&["certs.d/one.toml"]), (0, 0, 1));
    assert_eq!(
        checked(&["certs.d/one.toml", "certs.d/two.toml"]),
        (1, 0, 1)
    );
    // Without a main file a certificate is judged as far as it goes.
    fs::remove_file(root.join("renewd.toml")).unwrap();
    assert_eq!(checked(&["certs.d/two.toml"]), (1, 1, 0));
}
