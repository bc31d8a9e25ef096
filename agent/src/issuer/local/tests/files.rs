//! What is on disk: private, whole, and never overwritten when it is not as it should be.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

#[test]
fn files_are_private_and_one_line_is_logged_per_certificate() {
    let world = World::new();
    let first = world.issue(&api()).unwrap();
    world.issue(&api()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&world.directory()), 0o700);
    let names: Vec<_> = world.snapshot().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [LOG, ISSUING, ROOT]);
    for name in &names {
        assert_eq!(mode(&world.file(name)), 0o600, "{name}");
    }
    let log = fs::read_to_string(world.file(LOG)).unwrap();
    assert_eq!(log.lines().count(), 2);
    let expected = format!(
        "2027-01-15T08:00:00Z {} 2027-01-15T09:00:00Z *.api.test 127.0.0.1 ::1 api.test spiffe://td/api",
        first.facts.serial
    );
    assert_eq!(log.lines().next(), Some(expected.as_str()));
}

#[test]
fn a_log_line_that_a_crash_cut_short_does_not_swallow_the_next() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let log = world.file(LOG);
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, &whole[..30]).unwrap();
    world.issue(&api()).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().nth(1).unwrap().starts_with("2027-"));
}

#[test]
fn a_restart_finds_the_same_root_and_intermediate() {
    let mut world = World::new();
    let before = (world.issue(&api()).unwrap().chain, world.anchors());
    world.restart();
    assert_eq!(
        (world.issue(&api()).unwrap().chain, world.anchors()),
        before
    );
}

#[test]
fn truncated_and_garbled_files_are_refused_and_nothing_is_overwritten() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    for name in [ROOT, ISSUING] {
        let path = world.file(name);
        let whole = fs::read(&path).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..whole.len() - 1)
            .step_by(7)
            .map(|length| whole[..length].to_vec())
            .collect();
        damages.push(whole.iter().map(|byte| !byte).collect());
        damages.push(vec![b'x'; 100 * 1024]);
        damages.push([&whole[..], &whole[..]].concat());
        for damage in damages {
            fs::write(&path, &damage).unwrap();
            world.restart();
            let before = world.snapshot();
            let error = world.issue(&api()).unwrap_err();
            assert_eq!(
                (error.label(), error.retry()),
                ("ca-damaged", Retry::Operator)
            );
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(world.snapshot(), before);
        }
        fs::write(&path, &whole).unwrap();
    }
    world.restart();
    world.issue(&api()).unwrap();
}

#[test]
fn pairs_that_do_not_belong_together_are_refused() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    let stranger = World::new();
    stranger.issue(&api()).unwrap();
    let read = |world: &World, name| fs::read_to_string(world.file(name)).unwrap();
    let (key, certificate) = ("-----BEGIN PRIVATE KEY", "-----BEGIN CERTIFICATE");
    let part = |text: &str, from: &str| text[text.find(from).unwrap()..].to_owned();
    let own = read(&world, ISSUING);
    let foreign = read(&stranger, ISSUING);
    let own_key = own[..own.find(certificate).unwrap()].to_owned();
    let cases = [
        (ISSUING, foreign.clone(), "not signed by the root"),
        (
            ISSUING,
            own_key.clone() + &part(&foreign, certificate),
            "its key",
        ),
        (ISSUING, own_key.clone(), "found 0"),
        (ISSUING, part(&own, certificate), "private key"),
        (ROOT, part(&own, key), "not signed by the root"),
        (ROOT, read(&stranger, ROOT), "not signed by the root"),
    ];
    for (name, text, why) in cases {
        let path = world.file(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        assert_eq!(error.label(), "ca-damaged", "{why}");
        assert!(error.to_string().contains(why), "{error}");
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_missing_root_is_never_replaced_silently() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    let root = fs::read(world.file(ROOT)).unwrap();
    fs::remove_file(world.file(ROOT)).unwrap();
    for evidence in [ISSUING, LOG] {
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        assert_eq!(
            (error.label(), error.retry()),
            ("ca-root-missing", Retry::Operator)
        );
        assert!(error.to_string().contains(evidence), "{error}");
        assert!(!world.file(ROOT).exists());
        let _ = fs::remove_file(world.file(ISSUING));
    }
    // A missing intermediate is no harm: the root makes another.
    fs::write(world.file(ROOT), root).unwrap();
    fs::set_permissions(world.file(ROOT), Permissions::from_mode(0o600)).unwrap();
    world.restart();
    world.issue(&api()).unwrap();
}

#[test]
fn a_root_replaced_under_a_running_daemon_signs_nothing() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let stranger = World::new();
    stranger.issue(&api()).unwrap();
    fs::copy(stranger.file(ROOT), world.file(ROOT)).unwrap();
    world.set_clock(350 * DAY);
    let error = world.issue(&api()).unwrap_err();
    assert!(
        error.to_string().contains("replaced while in use"),
        "{error}"
    );
}

#[test]
fn files_that_others_own_or_could_read_are_refused() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    for (path, good) in [
        (world.directory(), 0o700),
        (world.file(ROOT), 0o600),
        (world.file(ISSUING), 0o600),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(good | 0o040)).unwrap();
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        assert_eq!((error.label(), error.retry()), ("ca-mode", Retry::Operator));
        fs::set_permissions(&path, Permissions::from_mode(good)).unwrap();
    }
    // As seen by a daemon of another user.
    let ca = Arc::into_inner(std::mem::replace(
        &mut world.issuer.ca,
        Arc::clone(&World::new().issuer.ca),
    ))
    .unwrap();
    let owner = ca.owner + 1;
    let state = Mutex::new(None);
    world.issuer.ca = Arc::new(Ca { owner, state, ..ca });
    let error = world.issue(&api()).unwrap_err();
    assert_eq!(
        (error.label(), error.retry()),
        ("ca-owner", Retry::Operator)
    );
    assert!(error.remedy().contains("chown"));
}

#[test]
fn links_and_other_things_in_a_files_place_are_refused() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    for name in [ROOT, ISSUING] {
        let path = world.file(name);
        let elsewhere = world.temporary.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        world.restart();
        assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-damaged");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        world.restart();
        assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-damaged");
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        world.restart();
        assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-damaged");
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
}

#[test]
fn what_a_crash_left_aside_is_replaced() {
    let world = World::new();
    fs::create_dir(world.directory()).unwrap();
    fs::set_permissions(world.directory(), Permissions::from_mode(0o700)).unwrap();
    fs::write(world.file(".root.pem.aside"), "half a k").unwrap();
    world.issue(&api()).unwrap();
    assert!(!world.file(".root.pem.aside").exists());
}

#[test]
fn errors_never_quote_a_key() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    let text = fs::read_to_string(world.file(ROOT)).unwrap();
    let secret = text.lines().nth(1).unwrap().to_owned();
    for damaged in [
        text.replacen(&secret, &format!("!{secret}"), 1),
        text.replacen(&secret, &format!("-----BEGIN {secret}"), 1),
        text.replace("-----END PRIVATE KEY-----", ""),
    ] {
        fs::write(world.file(ROOT), damaged).unwrap();
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        let shown = format!("{error} {error:?}");
        let shown = shown + &IssueError::from(error).operator_text();
        assert!(!shown.contains(&secret[10..30]), "{shown}");
    }
}

#[test]
fn an_unwritable_directory_is_an_error_to_be_tried_again() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("file"), "").unwrap();
    let now = Arc::new(AtomicI64::new(START));
    let issuer = make(
        &temporary.path().join("file"),
        LocalSettings::default(),
        &now,
    );
    let error = issuer.ca.with_state(|_, _| Ok(())).unwrap_err();
    assert_eq!((error.label(), error.retry()), ("ca-io", Retry::BackOff));
    let operator = IssueError::from(error).operator_text();
    assert!(operator.contains("Not a directory"), "{operator}");
}

#[test]
fn what_the_operator_mended_is_seen_without_a_restart() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let old = world.anchors();
    let away = world.temporary.path().join("away");
    fs::rename(world.directory(), &away).unwrap();
    assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-io");
    // The whole directory was moved away: that is how one asks for a new CA.
    world.issue(&api()).unwrap();
    assert_ne!(world.anchors(), old);
}
