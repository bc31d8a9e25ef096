//! `renewctl wait`: before there is a daemon, while there is one, and without one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use super::fake::{Fake, Server, served, unpublished};
use super::{finish, open_dir, renewctl, run};

#[test]
fn wait_survives_that_there_is_no_daemon_yet_and_ends_with_the_first_generation() {
    let dir = open_dir();
    let fake = Fake::new();
    let mut child = renewctl(dir.path(), &["wait", "web"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("does not answer"), "{line}");

    let _server = Server::start(dir.path(), &fake);
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("nothing is published yet; issuing"), "{line}");

    let mut failing = unpublished("web");
    failing.last_error = Some("the CA is down".to_owned());
    fake.becomes(vec![failing]);
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("the CA is down"), "{line}");

    fake.becomes(vec![served("web")]);
    assert_eq!(finish(child).status.code(), Some(0));
}

#[test]
fn wait_gives_up_at_its_timeout_and_says_what_was_lacking() {
    let dir = open_dir();
    let fake = Fake::new();
    let mut expired = served("api");
    expired.not_after = expired.not_before;
    fake.becomes(vec![expired]);
    let _server = Server::start(dir.path(), &fake);
    let (code, _, error) = run(renewctl(dir.path(), &["wait", "api", "--timeout", "700ms"]));
    assert_eq!(code, 75, "{error}");
    assert!(error.contains("has expired"), "{error}");
}

#[test]
fn wait_for_a_certificate_that_is_not_configured_ends_at_once() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let (code, _, error) = run(renewctl(dir.path(), &["wait", "other"]));
    assert_eq!(code, 65, "{error}");
}

#[test]
fn wait_needs_no_daemon_for_what_is_published() {
    let dir = open_dir();
    let published = dir.path().join("state/certs/api");
    fs::create_dir_all(published.join(".7")).unwrap();
    symlink(".7", published.join("current")).unwrap();
    let leaf = rcgen::generate_simple_self_signed(["api.example.org".to_owned()]).unwrap();
    fs::write(published.join(".7/fullchain.pem"), leaf.cert.pem()).unwrap();
    let (code, _, error) = run(renewctl(dir.path(), &["wait", "api"]));
    assert_eq!(code, 0, "{error}");

    fs::write(published.join(".7/fullchain.pem"), "no certificate").unwrap();
    let (code, _, error) = run(renewctl(dir.path(), &["wait", "api", "--timeout", "600ms"]));
    assert_eq!(code, 75, "{error}");
}
