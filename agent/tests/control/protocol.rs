//! The sockets themselves: how they are made, who may use them, what plain Varlink gets.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::unistd::{Group, Uid};
use renewd::control::{BindError, Limits, bind};
use serde_json::{Value, json};

use super::fake::{Fake, Server};
use super::{DEADLINE, NOBODY, open_dir, renewctl, run};

/// One call in plain JSON.
fn call(socket: &Path, request: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(format!("{request}\0").as_bytes()).unwrap();
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(0, &mut answer).unwrap();
    assert_eq!(answer.pop(), Some(0), "a whole message");
    serde_json::from_slice(&answer).unwrap()
}

fn require_root() {
    assert!(
        Uid::effective().is_root(),
        "this test acts as two users: run it as root"
    );
}

#[test]
fn both_sockets_describe_themselves_to_any_varlink_client() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    for (socket, interface, methods) in [
        (
            "status.sock",
            "io.renewd.Status",
            vec!["Status(", "Show(", "Watch(", "CaRoot(", "Version("],
        ),
        (
            "control.sock",
            "io.renewd.Control",
            vec!["Renew(", "Reload(", "Forget("],
        ),
    ] {
        let socket = dir.path().join("run").join(socket);
        let info = call(&socket, &json!({"method": "org.varlink.service.GetInfo"}));
        assert_eq!(info["parameters"]["product"], "renewd");
        assert_eq!(info["parameters"]["interfaces"][0], interface);
        let request = json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": interface},
        });
        let answer = call(&socket, &request);
        let description = answer["parameters"]["description"].as_str().unwrap();
        for method in methods {
            assert!(
                description.contains(&format!("method {method}")),
                "{description}"
            );
        }
        let unknown = call(&socket, &json!({"method": format!("{interface}.Nonsense")}));
        assert_eq!(unknown["error"], "org.varlink.service.MethodNotFound");
    }
}

#[test]
fn the_status_socket_takes_no_orders() {
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let answer = call(
        &dir.path().join("run/status.sock"),
        &json!({"method": "io.renewd.Control.Reload"}),
    );
    assert_eq!(answer["error"], "org.varlink.service.MethodNotFound");
    assert!(fake.asked.lock().unwrap().is_empty());
}

#[test]
fn the_sockets_have_their_modes_when_they_begin_to_listen() {
    let dir = open_dir();
    let _server = Server::start(dir.path(), &Fake::new());
    let mode = |name: &str| {
        let metadata = fs::metadata(dir.path().join("run").join(name)).unwrap();
        metadata.mode() & 0o777
    };
    assert_eq!(mode("status.sock"), 0o666);
    let admins = Group::from_name("renewd-admin").unwrap();
    assert_eq!(
        mode("control.sock"),
        if admins.is_some() { 0o660 } else { 0o600 }
    );
}

#[test]
fn another_user_may_read_status_and_give_no_orders() {
    require_root();
    let dir = open_dir();
    let fake = Fake::new();
    let _server = Server::start(dir.path(), &fake);
    let as_nobody = |arguments: &[&str]| {
        let mut command = renewctl(dir.path(), arguments);
        command.uid(NOBODY).gid(NOBODY);
        run(command)
    };
    assert_eq!(as_nobody(&["status", "--json"]).0, 0);
    assert_eq!(as_nobody(&["issuer", "list"]).0, 0);
    let (code, _, error) = as_nobody(&["reload"]);
    assert_eq!(code, 77, "{error}");
    assert!(error.contains("renewd-admin"), "{error}");

    // The socket's mode is the first lock; who is calling is the second.
    let socket = dir.path().join("run/control.sock");
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    for order in [
        &["reload"][..],
        &["forget", "old"],
        &["renew", "api"],
        &["renew", "api", "--wait"],
        &["revoke", "api"],
        &["issuer", "check", "internal"],
        &["issuer", "rollover", "internal"],
    ] {
        let (code, _, error) = as_nobody(order);
        assert_eq!(code, 77, "{order:?}: {error}");
    }
    assert!(fake.asked.lock().unwrap().is_empty());
    assert_eq!(run(renewctl(dir.path(), &["reload"])).0, 0, "root may");
}

#[test]
fn a_member_of_the_administrators_group_may_give_orders() {
    require_root();
    // Any group that exists everywhere stands in for renewd-admin.
    let games = Group::from_name("games")
        .unwrap()
        .expect("a group named games");
    let dir = open_dir();
    let _server = Server::start_with(dir.path(), &Fake::new(), "games", Limits::default());
    let socket = fs::metadata(dir.path().join("run/control.sock")).unwrap();
    assert_eq!(
        (socket.mode() & 0o777, socket.gid()),
        (0o660, games.gid.as_raw())
    );
    let mut command = renewctl(dir.path(), &["reload"]);
    command.uid(NOBODY).gid(games.gid.as_raw());
    let (code, _, error) = run(command);
    assert_eq!(code, 0, "{error}");
}

#[tokio::test]
async fn a_socket_left_by_a_dead_daemon_is_replaced() {
    let dir = open_dir();
    for name in ["status.sock", "control.sock"] {
        drop(UnixListener::bind(dir.path().join(name)).unwrap());
    }
    bind(dir.path()).unwrap();
}

#[tokio::test]
async fn a_socket_of_a_living_daemon_is_left_alone() {
    let dir = open_dir();
    let first = bind(dir.path()).unwrap();
    let error = bind(dir.path()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    drop(first);
}

#[tokio::test]
async fn what_is_no_socket_is_never_removed() {
    let dir = open_dir();
    let path = dir.path().join("control.sock");
    fs::write(&path, "precious").unwrap();
    let error = bind(dir.path()).unwrap_err();
    assert!(matches!(error, BindError::InTheWay { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_refused_with_its_name() {
    let dir = open_dir();
    let error = bind(&dir.path().join("d".repeat(120))).unwrap_err();
    assert!(error.to_string().contains("status.sock"), "{error}");
}
