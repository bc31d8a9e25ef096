//! The script for cfssl, against what cfssl 1.6.5 was seen to answer, and what an ailing one might.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use super::*;

/// Runs the script with a server that answers so; returns what it was asked, too.
fn run(answer: &str) -> (String, Output) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    let world = World::new("");
    fs::write(world.path("ca.pem"), "above\n").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/issuers/exec/cfssl");
    let mut child = Command::new("/bin/sh")
        .arg(script)
        .args([
            address.as_str(),
            world.path("ca.pem").to_str().unwrap(),
            "short",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = "{\"version\":1,\"csr\":\"-----BEGIN\\nMII+/=\\n\"}\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(request.as_bytes())
        .unwrap();
    let (mut client, _) = server.accept().unwrap();
    let (mut asked, mut buffer) = (String::new(), [0; 4096]);
    while !asked.ends_with('}') {
        let read = client.read(&mut buffer).unwrap();
        assert!(read > 0, "{asked}");
        asked += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    client.write_all(answer.as_bytes()).unwrap();
    drop((client, server));
    (asked, child.wait_with_output().unwrap())
}

#[test]
fn the_script_for_cfssl_asks_for_the_csr_and_answers_with_the_chain() {
    let body = r#"{"success":true,"result":{"certificate":"-----BEGIN CERTIFICATE-----\nMII+/=\n-----END CERTIFICATE-----\n"},"errors":[],"messages":[]}"#;
    let length = body.len();
    let (asked, output) = run(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    assert!(asked.starts_with("POST /api/v1/cfssl/sign "), "{asked}");
    let sent = r#"{"certificate_request":"-----BEGIN\nMII+/=\n","profile":"short"}"#;
    assert!(asked.ends_with(sent), "{asked}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer = String::from_utf8(output.stdout).unwrap();
    let leaf = "-----BEGIN CERTIFICATE-----\nMII+/=\n-----END CERTIFICATE-----\n";
    assert!(
        answer.starts_with(leaf) && answer.ends_with("above\n"),
        "{answer}"
    );
}

#[test]
fn the_script_for_cfssl_tells_a_refusal_from_an_ailing_server() {
    let refusal = "{\"success\":false,\"errors\":[{\"message\":\"authentication required\"}]}";
    for (status, body, code) in [
        ("400 Bad Request", refusal, 77),
        ("401 Unauthorized", refusal, 77),
        ("429 Too Many Requests", "", 75),
        ("502 Bad Gateway", "<html>", 75),
    ] {
        let length = body.len();
        let (_, output) = run(&format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert_eq!(output.status.code(), Some(code), "{status}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            code == 75 || said.contains("authentication required"),
            "{said}"
        );
    }
    for broken_off in [
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let (_, output) = run(broken_off);
        assert_eq!(output.status.code(), Some(75), "{broken_off}: {output:?}");
    }
}
