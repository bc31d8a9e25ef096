//! `renewctl` as a person or a script meets it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use renewd::control::report::{ReloadReport, StatusReport};
use serde_json::Value;

use super::fake::{Fake, Server, served, step};
use super::{finish, open_dir, renewctl, run};

#[test]
fn status_as_json_is_what_the_daemon_said() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let (code, text, error) = run(renewctl(dir.path(), &["status", "--json"]));
    assert_eq!(code, 0, "{error}");
    let report: StatusReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report, *fake.status.lock().unwrap());

    let json: Value = serde_json::from_str(&text).unwrap();
    let api = &json["certificates"][0];
    let keys: Vec<&str> = api
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for key in [
        "name",
        "state",
        "generation",
        "serial",
        "not_before",
        "not_after",
        "next_renewal",
        "last_error",
        "units",
    ] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    assert_eq!(api["last_error"], Value::Null);
    assert!(
        api["not_after"].as_str().unwrap().ends_with('Z'),
        "RFC 3339, UTC: {api}"
    );
    assert_eq!(api["units"][0]["reason"], "wrong leaf");
}

#[test]
fn status_for_people_has_one_complete_row_for_each_unit_and_no_colour_in_a_pipe() {
    let dir = open_dir();
    let fake = Fake::new();
    let mut two = served("api");
    two.units.push(two.units[0].clone());
    two.units[1].unit = "postgresql@15-main.service".to_owned();
    two.last_error = Some("the CA said \x1b[2J".to_owned());
    fake.becomes(vec![two, super::fake::unpublished("web")]);
    let _server = Server::start(dir.path(), &fake);
    let (code, text, error) = run(renewctl(dir.path(), &["status"]));
    assert_eq!(code, 0, "{error}");
    assert!(!text.contains('\x1b'), "{text:?}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("CERTIFICATE"), "{text}");
    for (line, unit) in lines[1..3]
        .iter()
        .zip(["nginx.service", "postgresql@15-main.service"])
    {
        assert!(line.starts_with("api ") && line.contains(unit), "{text}");
        assert!(
            line.contains("in 22 h 59 min") || line.contains("in 23 h"),
            "{text}"
        );
        assert!(line.ends_with("failed: wrong leaf"), "{text}");
    }
    assert!(
        lines[3].starts_with("web ") && lines[3].ends_with('-'),
        "{text}"
    );
    assert!(lines[4].starts_with("api: the CA said"), "{text}");
}

#[test]
fn show_tells_everything_and_refuses_a_name_that_is_not_there() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let (code, text, error) = run(renewctl(dir.path(), &["show", "api"]));
    assert_eq!(code, 0, "{error}");
    for part in [
        "nginx.service",
        "two thirds of its life",
        "blamed",
        "127.0.0.1:443 still shows 09",
        "https://ca.example.org/why",
        "root:www-data",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let (code, text, _) = run(renewctl(dir.path(), &["show", "api", "--json"]));
    assert_eq!(code, 0);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["issuances"],
        8
    );
    for name in ["nothing", "../etc", ""] {
        let (code, _, error) = run(renewctl(dir.path(), &["show", name]));
        assert_eq!(code, 65, "{error}");
        assert!(error.contains("there is no certificate named"), "{error}");
    }
}

#[test]
fn renew_with_wait_tells_each_step_when_it_happens() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let steps = fake.script();
    let mut child = renewctl(dir.path(), &["renew", "api", "web", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (name, word, finished) in [
        ("api", "issuing", None),
        ("api", "probe", None),
        ("web", "proven", Some(true)),
        ("api", "proven", Some(true)),
    ] {
        // The next step is not even known before this one was printed.
        steps.send(step(name, word, finished)).unwrap();
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with(name) && line.contains(word), "{line}");
        assert!(line.contains("1.2 s"), "{line}");
    }
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(*fake.asked.lock().unwrap(), ["renew api", "renew web"]);
}

#[test]
fn renew_with_wait_fails_unless_all_are_proven() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let steps = fake.script();
    steps.send(step("api", "proven", Some(true))).unwrap();
    steps.send(step("web", "reverted", Some(false))).unwrap();
    let (code, text, error) = run(renewctl(dir.path(), &["renew", "--all", "--wait"]));
    assert_eq!(code, 1, "{error}");
    assert!(text.contains("reverted"), "{text}");
    assert!(error.contains("not proven: web"), "{error}");
}

#[test]
fn renew_with_wait_fails_when_the_daemon_stops_half_way() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let steps = fake.script();
    steps.send(step("api", "issuing", None)).unwrap();
    drop(steps);
    let (code, _, error) = run(renewctl(dir.path(), &["renew", "api", "--wait"]));
    assert_eq!(code, 75, "{error}");
}

#[test]
fn renew_without_wait_returns_when_it_has_begun() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let steps = fake.script();
    steps.send(step("api", "issuing", None)).unwrap();
    let (code, text, error) = run(renewctl(dir.path(), &["renew", "api"]));
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("Renewing api"), "{text}");
    let (code, _, error) = run(renewctl(dir.path(), &["renew", "api", "nothing"]));
    assert_eq!(code, 65, "{error}");
}

#[test]
fn a_refused_reload_prints_every_fault_and_a_good_one_what_changed() {
    let dir = open_dir();
    let fake = Fake::new();
    *fake.reload.lock().unwrap() = Err(vec![
        "a.toml:1: first".to_owned(),
        "b.toml:2: second".to_owned(),
    ]);
    let _server = Server::start(dir.path(), &fake);
    let (code, _, error) = run(renewctl(dir.path(), &["reload"]));
    assert_eq!(code, 78, "{error}");
    assert!(
        error.contains("a.toml:1: first") && error.contains("b.toml:2: second"),
        "{error}"
    );
    assert!(error.contains("stays in force"), "{error}");

    *fake.reload.lock().unwrap() = Ok(ReloadReport {
        added: vec!["web".to_owned()],
        ..ReloadReport::default()
    });
    let (code, text, error) = run(renewctl(dir.path(), &["reload"]));
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("new: web"), "{text}");
}

#[test]
fn forget_refuses_what_is_configured_and_ca_root_prints_pem() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    assert_eq!(run(renewctl(dir.path(), &["forget", "old"])).0, 0);
    let (code, _, error) = run(renewctl(dir.path(), &["forget", "api"]));
    assert_eq!(code, 65, "{error}");
    assert!(error.contains("still configured"), "{error}");
    let (code, text, _) = run(renewctl(dir.path(), &["ca", "root"]));
    assert_eq!((code, text.as_str()), (0, "-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(run(renewctl(dir.path(), &["ca", "root", "other"])).0, 65);
}

#[test]
fn a_revocation_says_what_was_revoked_and_what_comes_of_it() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let (code, text, error) = run(renewctl(dir.path(), &["revoke", "api"]));
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("generation 7 of api, serial 0a1b"), "{text}");
    assert!(text.contains("another one is asked for"), "{text}");
    let older = [
        "revoke",
        "api",
        "--generation",
        "5",
        "--reason",
        "key-compromise",
    ];
    let (code, text, error) = run(renewctl(dir.path(), &older));
    assert_eq!(code, 0, "{error}");
    assert!(!text.contains("another one"), "{text}");
    let (code, _, error) = run(renewctl(dir.path(), &["revoke", "web"]));
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("the CA refused"), "{error}");
    assert_eq!(
        *fake.asked.lock().unwrap(),
        [
            "revoke api None unspecified",
            "revoke api Some(5) key-compromise",
            "revoke web None unspecified"
        ]
    );
    // What is no reason is no order.
    let (code, _, error) = run(renewctl(
        dir.path(),
        &["revoke", "api", "--reason", "boredom"],
    ));
    assert_eq!(code, 64, "{error}");
    assert!(error.contains("cessation-of-operation"), "{error}");
}

#[test]
fn issuers_are_listed_and_looked_at() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let (code, text, error) = run(renewctl(dir.path(), &["issuer", "list"]));
    assert_eq!(code, 0, "{error}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("ISSUER"), "{text}");
    assert!(lines[1].contains("api, web"), "{text}");
    assert!(
        text.contains("internal: web: the CA said") && !text.contains('\x1b'),
        "{text}"
    );
    let (code, text, _) = run(renewctl(dir.path(), &["issuer", "list", "--json"]));
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["issuers"][1]["name"], "spare");

    let (code, text, error) = run(renewctl(dir.path(), &["issuer", "check", "internal"]));
    assert_eq!(code, 0, "what is unknown is no failure: {error}");
    assert!(
        text.contains("may-issue") && text.contains("unknown"),
        "{text}"
    );
    let (code, text, error) = run(renewctl(
        dir.path(),
        &["issuer", "check", "spare", "--json"],
    ));
    assert_eq!((code, error.as_str()), (1, ""));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["findings"][1]["is"], "no");
    let (code, _, error) = run(renewctl(dir.path(), &["issuer", "check", "other"]));
    assert_eq!(code, 65, "{error}");

    let (code, text, error) = run(renewctl(dir.path(), &["issuer", "rollover", "internal"]));
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("another key"), "{text}");
    let (code, _, error) = run(renewctl(dir.path(), &["issuer", "rollover", "spare"]));
    assert_eq!(code, 1);
    assert!(error.contains("no account"), "{error}");
}

#[test]
fn without_a_daemon_commands_say_how_to_start_it() {
    let dir = open_dir();
    for command in [
        &["status"][..],
        &["show", "api"],
        &["renew", "api"],
        &["reload"],
        &["ca", "root"],
    ] {
        let (code, _, error) = run(renewctl(dir.path(), command));
        assert_eq!(code, 69, "{command:?}: {error}");
        assert!(error.contains("systemctl start renewd"), "{error}");
    }
    let (code, text, _) = run(renewctl(dir.path(), &["version"]));
    assert_eq!(code, 0);
    assert!(
        text.starts_with("renewctl ") && text.contains("renewd unknown"),
        "{text}"
    );
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_0() {
    let dir = open_dir();
    for wrong in [
        &["nonsense"][..],
        &["renew"],
        &["renew", "a", "--all"],
        &["show"],
        &["wait", "../x"],
        &[],
    ] {
        assert_eq!(run(renewctl(dir.path(), wrong)).0, 64, "{wrong:?}");
    }
    let (code, text, _) = run(renewctl(dir.path(), &["--help"]));
    assert_eq!(code, 0);
    assert!(text.contains("Exit codes:"), "{text}");
}

#[test]
fn a_reader_that_has_gone_ends_the_command_quietly() {
    let dir = open_dir();
    let fake = Fake::new();
    fake.becomes(
        (0..500)
            .map(|number| served(&format!("c{number}")))
            .collect(),
    );
    let _server = Server::start(dir.path(), &fake);
    let mut command = renewctl(dir.path(), &["status"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = finish(child);
    assert_eq!(output.status.code(), Some(141));
    assert!(
        output.stderr.is_empty(),
        "{:?}",
        String::from_utf8(output.stderr)
    );
}
