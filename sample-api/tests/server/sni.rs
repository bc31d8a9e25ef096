//! Several faces at one address: which one a client meets, and what it may not carry over to another.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;

use renewd_sample_api::Settings;
use renewd_sample_api::config::{Config, FaceConfig};
use renewd_sample_api::metrics::Handshake;
use renewd_sample_api::sockets::Passed;
use rustls::{ClientConfig, HandshakeKind};
use tokio::time::timeout;

use crate::client::{BOTH, Client, Http, plain, settings, unresumed, whole};
use crate::command::{Ended, Program, Said};
use crate::site::{DEADLINE, Running, Site, WEB, own_address};

/// A site of the same CA with a certificate for these names.
fn beside(site: &Site, names: &[&str]) -> Site {
    let other = Site::of(site.authority.clone());
    other.publish(1, &other.authority.server_for(names));
    other
}

fn for_names(names: &[&str]) -> Site {
    let site = Site::empty();
    site.publish(1, &site.authority.server_for(names));
    site
}

fn face(name: &str, listen: SocketAddr, site: &Site) -> FaceConfig {
    FaceConfig {
        name: name.to_owned(),
        listen,
        mtls: Settings::new(site.directory()),
    }
}

/// Both at one address.
async fn start(main: &Site, inside: &Site, set: impl FnOnce(&mut Config)) -> Running {
    Running::start_from(main, |config| {
        config.listen = own_address();
        config.faces.push(face("inside", config.listen, inside));
        set(config);
    })
    .await
}

fn client(site: &Site, http: Http) -> Arc<ClientConfig> {
    unresumed(&site.authority, Some(&site.authority.client(&[WEB])), http)
}

fn leaf(site: &Site) -> Vec<u8> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    let file = site.directory().join("current/fullchain.pem");
    CertificateDer::from_pem_file(file).unwrap().to_vec()
}

/// The leaf that `openssl s_client` is shown, with whatever name.
fn shown(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-showcerts"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = said.find("-----BEGIN").unwrap_or_else(|| panic!("{said}"));
    let end = begin + said[begin..].find("-----END").unwrap();
    said[begin..end].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_is_chosen_by_the_server_name_and_the_first_is_for_everybody_else() {
    let main = for_names(&["a.example", "*.b.example"]);
    let inside = beside(&main, &["b.example", "*.c.example", "api.b.example"]);
    let running = start(&main, &inside, |_| {}).await;
    for (name, of) in [
        ("a.example", &main),
        ("b.example", &inside),
        ("B.Example", &inside),
        ("x.c.example", &inside),
        ("x.b.example", &main),
        // As it is goes before a wildcard.
        ("api.b.example", &inside),
    ] {
        let client = Client::connect_to(running.address, client(&main, Http::Two), name).await;
        assert_eq!(client.unwrap().leaf.as_ref(), leaf(of), "{name}");
    }
    let mains = main.directory().join("current/fullchain.pem");
    let pem = fs::read_to_string(mains).unwrap();
    for arguments in [
        &["-noservername"][..],
        &["-servername", "elsewhere.example"],
        &["-servername", "x.y.c.example"],
    ] {
        let shown = tokio::task::block_in_place(|| shown(running.address, arguments));
        assert!(pem.starts_with(&shown), "{arguments:?}");
    }
}

#[tokio::test]
async fn each_face_keeps_its_trust_policy_and_metrics_and_they_drain_together() {
    let main = for_names(&["a.example"]);
    let inside = for_names(&["b.example"]);
    let policy = inside.path().join("policy.toml");
    fs::write(
        &policy,
        "[[role]]\nname = \"in\"\ncallers = [\"*\"]\nmethods = [\"*\"]\npaths = [\"/stream\"]\n",
    )
    .unwrap();
    let running = start(&main, &inside, |config| {
        config.faces[0].mtls.policy = Some(policy);
    })
    .await;
    let address = running.address;
    let mut out = Client::connect_to(address, client(&main, Http::Two), "a.example")
        .await
        .unwrap();
    let mut inn = Client::connect_to(address, client(&inside, Http::Two), "b.example")
        .await
        .unwrap();
    assert_eq!(
        out.ask_host("a.example", "/").await.unwrap().0.status(),
        200
    );
    assert_eq!(
        inn.ask_host("b.example", "/").await.unwrap().0.status(),
        403
    );
    // The other's certificate is worth nothing here.
    let mixed = settings(
        &inside.authority,
        Some(&main.authority.client(&[WEB])),
        Http::One,
    );
    let refused = match Client::connect_to(address, mixed, "b.example").await {
        Err(_) => true,
        Ok(mut client) => client.ask_host("b.example", "/stream").await.is_err(),
    };
    assert!(refused);
    let of_inside = plain(running.health, "/metrics/inside").await.1;
    for line in [
        "handshakes_total{result=\"full\"} 1",
        "handshakes_total{result=\"untrusted\"} 1",
        "connections{state=\"open\"} 1",
    ] {
        assert!(of_inside.contains(line), "{line}: {of_inside}");
    }
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Full), 1);
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Untrusted), 0);

    let stream = inn.send("/stream?seconds=1").await.unwrap();
    let ended = running.stop();
    assert!(whole(stream).await.unwrap().1.ends_with("end\n"));
    let drained = timeout(DEADLINE, ended).await.unwrap().unwrap();
    assert_eq!((drained.open, drained.forced), (2, 0));
}

#[tokio::test]
async fn a_rotation_that_moves_a_name_moves_its_clients_and_no_ticket_goes_with_them() {
    let main = for_names(&["a.example", "moving.example"]);
    let inside = beside(&main, &["b.example"]);
    let running = start(&main, &inside, |_| {}).await;
    let config = settings(
        &main.authority,
        Some(&main.authority.client(&[WEB])),
        Http::One,
    );
    let once = async |of: &Site| {
        let connected = Client::connect_to(running.address, config.clone(), "moving.example").await;
        let mut client = connected.unwrap();
        let (head, _) = client.ask_host("moving.example", "/").await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(client.leaf.as_ref(), leaf(of));
        client.kind
    };
    assert_eq!(once(&main).await, HandshakeKind::Full);
    assert_eq!(once(&main).await, HandshakeKind::Resumed);

    main.publish(2, &main.authority.server_for(&["a.example"]));
    inside.publish(
        2,
        &main.authority.server_for(&["b.example", "moving.example"]),
    );
    running.serves(2).await;
    let deadline = std::time::Instant::now() + DEADLINE;
    while !plain(running.health, "/metrics/inside")
        .await
        .1
        .contains("generation=\"2\"")
    {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(once(&inside).await, HandshakeKind::Full);
    assert_eq!(once(&inside).await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn a_request_for_another_face_is_misdirected_and_one_for_nobody_is_not() {
    let main = for_names(&["a.example", "*.b.example"]);
    let inside = beside(&main, &["b.example", "api.b.example"]);
    let running = start(&main, &inside, |_| {}).await;
    let port = running.address.port();
    for http in BOTH {
        let ask = async |name: &str, host: &str| {
            let config = client(&main, http);
            let connected = Client::connect_to(running.address, config, name).await;
            let asked = connected.unwrap().ask_host(host, "/").await;
            asked.unwrap().0.status().as_u16()
        };
        for (name, host, code) in [
            ("a.example", "a.example", 200),
            ("a.example", "x.b.example", 200),
            ("a.example", "localhost", 200),
            ("a.example", "127.0.0.1", 200),
            ("a.example", "[::1]", 200),
            ("a.example", "b.example", 421),
            ("a.example", "B.EXAMPLE.", 421),
            // Its certificate would be good for it, so a client may try; its rules are not.
            ("a.example", "api.b.example", 421),
            ("b.example", "a.example", 421),
            ("b.example", "b.example", 200),
        ] {
            assert_eq!(ask(name, host).await, code, "{http:?} {name} {host}");
            let host = format!("{host}:{port}");
            assert_eq!(ask(name, &host).await, code, "{http:?} {name} {host}");
        }
    }
    // The header counts, too, whatever the target says: nobody knows whom the application believes.
    let config = client(&main, Http::Two);
    let mut two = Client::connect_to(running.address, config, "a.example")
        .await
        .unwrap();
    let (head, _) = two.ask_as("/", &[("host", "b.example")]).await.unwrap();
    assert_eq!(head.status(), 421);
}

#[tokio::test]
async fn a_listener_of_one_face_takes_requests_for_any_host() {
    let main = for_names(&["a.example"]);
    let inside = beside(&main, &["b.example"]);
    let running = Running::start_from(&main, |config| {
        config
            .faces
            .push(face("inside", "127.0.0.1:0".parse().unwrap(), &inside));
    })
    .await;
    assert_ne!(running.second, Some(running.address));
    let config = client(&main, Http::Two);
    let mut client = Client::connect_to(running.address, config, "a.example")
        .await
        .unwrap();
    assert_eq!(
        client.ask_host("b.example", "/").await.unwrap().0.status(),
        200
    );
}

#[tokio::test]
async fn a_face_with_a_socket_of_its_own_shares_no_other() {
    let main = for_names(&["a.example"]);
    let inside = beside(&main, &["b.example"]);
    let third = beside(&main, &["c.example"]);
    let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, elsewhere) = (bound(), bound());
    let addresses = [&elsewhere, &own].map(|socket| socket.local_addr().unwrap());
    let mut config = main.config(DEADLINE);
    config.listen = own_address();
    config.faces = vec![
        face("inside", config.listen, &inside),
        face("third", config.listen, &third),
    ];
    // What a unit has for the one that listens is for those that share with it, wherever it is.
    let passed = Passed::of(vec![
        ("listen-inside".to_owned(), own),
        ("listen".to_owned(), elsewhere),
    ]);
    let running = Running::start_passed(config, passed).await;
    assert_eq!([running.address, running.second.unwrap()], addresses);
    for (address, name, of) in [
        (addresses[0], "a.example", &main),
        (addresses[0], "c.example", &third),
        (addresses[1], "b.example", &inside),
    ] {
        let connected = Client::connect_to(address, client(&main, Http::One), name).await;
        assert_eq!(connected.unwrap().leaf.as_ref(), leaf(of), "{name}");
    }
}

#[tokio::test]
async fn what_was_kept_for_a_face_that_now_shares_is_let_go() {
    let main = for_names(&["a.example"]);
    let inside = beside(&main, &["b.example"]);
    // Both move to where only one of them was.
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = main.config(DEADLINE);
    config.listen = kept.local_addr().unwrap();
    config.faces = vec![face("inside", config.listen, &inside)];
    let passed = Passed::of(vec![("kept-listen-inside".to_owned(), kept)]);
    let running = Running::start_passed(config, passed).await;
    let config = client(&main, Http::One);
    let connected = Client::connect_to(running.address, config, "b.example").await;
    assert_eq!(connected.unwrap().leaf.as_ref(), leaf(&inside));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_faces_with_the_same_name_the_first_wins_and_the_log_says_so() {
    let main = for_names(&["a.example"]);
    let inside = beside(&main, &["A.example"]);
    let address = own_address();
    let more = format!(
        "[[face]]\nname = \"inside\"\nlisten = \"{address}\"\ncertificate = {:?}\n",
        inside.directory()
    );
    let program = Program::new(&main, &more);
    let text = fs::read_to_string(main.path().join("config.toml")).unwrap();
    let text = text.replacen(
        "listen = \"127.0.0.1:0\"",
        &format!("listen = \"{address}\""),
        1,
    );
    fs::write(main.path().join("config.toml"), text).unwrap();
    let said = Said(main.path().join("stderr"));
    let serve = program
        .command("serve")
        .stderr(fs::File::create(&said.0).unwrap())
        .spawn();
    let _ended = Ended(serve.unwrap());
    let (line, _) = tokio::task::block_in_place(|| {
        (
            said.line("no server name leads to this face"),
            said.line(" ready"),
        )
    });
    assert!(
        line.contains("WARN") && line.contains("face=\"inside\""),
        "{line}"
    );
    let connected = Client::connect_to(address, client(&main, Http::One), "a.example").await;
    assert_eq!(connected.unwrap().leaf.as_ref(), leaf(&main));

    inside.publish(2, &main.authority.server_for(&["b.example"]));
    tokio::task::block_in_place(|| said.line("a server name leads to this face again"));
    let connected = Client::connect_to(address, client(&main, Http::One), "b.example").await;
    assert_eq!(connected.unwrap().leaf.as_ref(), leaf(&inside));
}

/// Whoever says nothing, or trickles, is nobody's client yet.
#[tokio::test]
async fn who_never_says_whom_it_means_is_hung_up_on_and_counted_by_the_first_face() {
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let main = for_names(&["a.example"]);
    let inside = beside(&main, &["b.example"]);
    let running = start(&main, &inside, |config| {
        config.mtls.handshake = Duration::from_millis(300);
    })
    .await;
    for (begin, how) in [
        (&[][..], Handshake::Timeout),
        (&[0x16, 3, 1, 2], Handshake::Timeout),
        (&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], Handshake::Protocol),
        (b"GET / HTTP/1.1\r\n\r\n", Handshake::PlainHttp),
    ] {
        let before = running.mtls.metrics().handshakes(how);
        let mut tcp = tokio::net::TcpStream::connect(running.address)
            .await
            .unwrap();
        tcp.write_all(begin).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(DEADLINE, tcp.read_to_end(&mut answer))
            .await
            .expect("hung up on");
        assert_eq!(
            answer.starts_with(b"HTTP/1.1 400 "),
            how == Handshake::PlainHttp
        );
        drop(tcp);
        running
            .until(how.word(), |mtls| {
                mtls.metrics().handshakes(how) == before + 1
            })
            .await;
    }
}
