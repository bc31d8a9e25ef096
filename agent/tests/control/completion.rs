//! What `renewctl` offers a shell for TAB.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::fake::{Fake, Server, served};
use super::{NOBODY, open_dir, reachable_renewctl, run};

/// Asks as bash's script does, for the last of these words.
fn ask(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(reachable_renewctl());
    let places = [("--runtime", "run"), ("--state", "state")];
    let places = places.map(|(option, name)| format!("{option}={}", dir.join(name).display()));
    command
        .arg("--")
        .arg("renewctl")
        .args(&places)
        .args(words)
        .env("RENEWCTL_COMPLETE", "bash")
        .env(
            "_CLAP_COMPLETE_INDEX",
            (places.len() + words.len()).to_string(),
        )
        .env("_CLAP_IFS", "\n");
    command
}

/// What is offered, and nothing else is said.
fn offered(command: Command) -> Vec<String> {
    let (code, text, error) = run(command);
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    text.lines()
        .filter(|word| !word.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_daemons_certificates_are_offered_where_a_name_belongs() {
    let dir = open_dir();
    let fake = Fake::new();
    fake.becomes(vec![served("api"), served("apex"), served("web")]);
    let _server = Server::start(dir.path(), &fake);
    assert_eq!(offered(ask(dir.path(), &["show", "a"])), ["api", "apex"]);
    assert_eq!(offered(ask(dir.path(), &["wait", "w"])), ["web"]);
    assert_eq!(offered(ask(dir.path(), &["renew", "api", "w"])), ["web"]);
    assert_eq!(offered(ask(dir.path(), &["status", ""])), [""; 0]);
    assert_eq!(offered(ask(dir.path(), &["ren"])), ["renew"]);
}

#[test]
fn only_what_is_published_and_not_configured_is_offered_to_be_forgotten() {
    let dir = open_dir();
    let fake = Fake::new();
    fake.becomes(vec![served("api")]);
    let _server = Server::start(dir.path(), &fake);
    for name in ["api", "old"] {
        std::fs::create_dir_all(dir.path().join("state/certs").join(name)).unwrap();
    }
    assert_eq!(offered(ask(dir.path(), &["forget", ""])), ["old"]);
}

#[test]
fn without_a_daemon_or_the_right_to_ask_it_nothing_is_offered_at_once_and_in_silence() {
    let dir = open_dir();
    let start = Instant::now();
    assert_eq!(offered(ask(dir.path(), &["show", ""])), [""; 0]);
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let closed = dir.path().join("run");
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = ask(dir.path(), &["show", ""]);
    command.uid(NOBODY).gid(NOBODY);
    assert_eq!(offered(command), [""; 0]);
    assert!(start.elapsed() < Duration::from_secs(5));
}
