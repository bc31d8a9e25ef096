//! Open connections: those whose client is believed no longer end, and the others do not notice.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Response;
use hyper::body::Incoming;
use renewd_sample_api::metrics::{Handshake, Reason};
use renewd_sample_api::registry::{Admission, Registry, Seated};
use renewd_sample_api::{MutualTls, Peer, Settings};
use rustls::ClientConnection;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{BOTH, Client, Http, settings, unresumed, whole};
use crate::site::{Authority, DEADLINE, Pair, Running, Site, WEB};

const DRAIN: Duration = Duration::from_millis(600);
const OPS: &str = "spiffe://example.internal/ops";

/// Two idle connections and two streams, over both protocols.
struct Busy {
    idle: Vec<Client>,
    streams: Vec<(Client, Response<Incoming>)>,
}

impl Busy {
    async fn start(running: &Running, authority: &Authority, pair: &Pair, seconds: u32) -> Self {
        let (mut idle, mut streams) = (Vec::new(), Vec::new());
        for http in BOTH {
            let settings = settings(authority, Some(pair), http);
            let mut client = Client::connect(running.address, settings.clone())
                .await
                .unwrap();
            client.ask("/").await.unwrap();
            idle.push(client);
            let mut client = Client::connect(running.address, settings).await.unwrap();
            let response = client
                .send(&format!("/stream?seconds={seconds}"))
                .await
                .unwrap();
            streams.push((client, response));
        }
        Self { idle, streams }
    }

    async fn has_ended(self) {
        for mut client in self.idle {
            // Closed, or told no while it was on its way.
            if let Ok((head, _)) = client.ask("/").await {
                assert_eq!(head.status(), 403);
            }
        }
        for (_client, response) in self.streams {
            let ended = timeout(DEADLINE, whole(response))
                .await
                .expect("ended in time");
            assert!(ended.is_err(), "the stream came to its own end");
        }
    }

    async fn goes_on(self) {
        for mut client in self.idle {
            assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
        }
        for (_client, response) in self.streams {
            assert!(whole(response).await.unwrap().1.ends_with("end\n"));
        }
    }
}

/// A victim and a bystander; `happen` must end the one and not the other.
async fn only_the_victim_ends(
    site: &Site,
    running: &Running,
    (victim, other): (&Pair, &Pair),
    reason: Reason,
    happen: impl AsyncFnOnce(),
) {
    let victims = Busy::start(running, &site.authority, victim, 300).await;
    let others = Busy::start(running, &site.authority, other, 3).await;
    happen().await;
    running
        .until("four told", |mtls| mtls.metrics().drains(reason) == 4)
        .await;
    victims.has_ended().await;
    running
        .until("two cut", |mtls| mtls.metrics().forces(reason) == 2)
        .await;
    others.goes_on().await;
    let all: u64 = Reason::ALL
        .iter()
        .map(|one| running.mtls.metrics().drains(*one))
        .sum();
    assert_eq!(all, 4, "somebody else was told");
    // The idle HTTP/1.1 connection, and none that was busy.
    assert_eq!(running.mtls.metrics().idle_closes(), 1);
}

#[tokio::test]
async fn a_revoked_client_loses_its_connections_and_streams_and_a_bystander_does_not() {
    let site = Site::new();
    let running = Running::start_with(&site, DRAIN).await;
    let (victim, other) = (site.authority.client(&[WEB]), site.authority.client(&[OPS]));
    only_the_victim_ends(
        &site,
        &running,
        (&victim, &other),
        Reason::Revoked,
        async || {
            let lists = site.authority.lists(&[&victim]);
            site.publish_lists(2, &site.authority.server(), &lists);
            running.serves(2).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_whose_ca_is_dropped_loses_its_connections_and_one_of_the_other_ca_does_not() {
    let site = Site::empty();
    let old = Authority::named("old");
    let both = site.authority.bundle() + &old.bundle();
    site.publish_with(1, &site.authority.server(), &both);
    let running = Running::start_with(&site, DRAIN).await;
    let (victim, other) = (old.client(&[WEB]), site.authority.client(&[WEB]));
    only_the_victim_ends(
        &site,
        &running,
        (&victim, &other),
        Reason::Untrusted,
        async || {
            site.publish(2, &site.authority.server());
            running.serves(2).await;
        },
    )
    .await;
    let settings = settings(&site.authority, Some(&victim), Http::One);
    let refused = match Client::connect(running.address, settings).await {
        Err(_) => true,
        Ok(mut client) => client.ask("/").await.is_err(),
    };
    assert!(refused);
}

#[tokio::test]
async fn no_connection_outlives_its_clients_certificate() {
    let site = Site::new();
    let running = Running::start_with(&site, DRAIN).await;
    let soon = SystemTime::now() + Duration::from_secs(3);
    let (victim, other) = (
        site.authority.client_until(&[WEB], soon),
        site.authority.client(&[WEB]),
    );
    only_the_victim_ends(
        &site,
        &running,
        (&victim, &other),
        Reason::Expired,
        async || {},
    )
    .await;
    assert!(SystemTime::now() > soon);
}

#[tokio::test]
async fn a_client_that_loses_its_last_role_loses_its_connections() {
    let site = Site::new();
    let policy = site.path().join("policy.toml");
    let roles = |callers: &str| {
        format!(
            "[[role]]\nname = \"all\"\ncallers = {callers}\nmethods = [\"*\"]\npaths = [\"/**\"]\n"
        )
    };
    fs::write(&policy, roles("[\"*\"]")).unwrap();
    let running = Running::start_as(&site, |settings| {
        settings.drain = DRAIN;
        settings.policy = Some(policy.clone());
    })
    .await;
    let (victim, other) = (site.authority.client(&[WEB]), site.authority.client(&[OPS]));
    only_the_victim_ends(
        &site,
        &running,
        (&victim, &other),
        Reason::Policy,
        async || {
            fs::write(&policy, roles(&format!("[\"{OPS}\"]"))).unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn old_connections_are_sent_elsewhere_without_losing_a_request() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| {
        settings.drain = Duration::from_secs(4);
        settings.max_age = Some(Duration::from_secs(2));
    })
    .await;
    // Both are in before they ask anything; GOAWAY before the first request would be taken for a failure.
    let mut silent = Vec::new();
    for http in BOTH {
        silent.push(Client::of(running.address, &site.authority, &[WEB], http).await);
    }
    running
        .until("both are old", |mtls| {
            mtls.metrics().drains(Reason::Age) == 2
        })
        .await;
    for client in &mut silent {
        assert_eq!(client.ask("/").await.unwrap().0.status(), 200);
    }
    for http in BOTH {
        let mut client = Client::of(running.address, &site.authority, &[WEB], http).await;
        let told = loop {
            match client.ask("/").await {
                Ok((head, _)) => {
                    assert_eq!(head.status(), 200);
                    if head
                        .headers()
                        .get("connection")
                        .is_some_and(|value| value == "close")
                    {
                        break true;
                    }
                }
                // Never sent, so safe to send elsewhere: that is what GOAWAY is for.
                Err(error) => {
                    assert!(
                        http == Http::Two && (error.is_canceled() || error.is_closed()),
                        "{error:?}"
                    );
                    break false;
                }
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(told, http == Http::One);
    }
    assert_eq!(running.mtls.metrics().drains(Reason::Age), 4);
    assert_eq!(running.mtls.metrics().forces(Reason::Age), 0);
    assert_eq!(running.mtls.metrics().idle_closes(), 0);
}

#[tokio::test]
async fn what_bars_outweighs_what_does_not_and_nothing_more_is_answered() {
    let site = Site::new();
    let mtls = MutualTls::open(Settings::new(site.directory())).unwrap();
    let pair = site.authority.client(&[WEB]);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pair.chain.as_bytes())
        .map(Result::unwrap)
        .collect();
    let peer = Arc::new(Peer::of(&chain[0], false));
    let (registry, trust) = (Registry::default(), mtls.keys().served().trust.clone());
    let enter = || registry.enter(&chain, || peer.clone(), (&trust, 0), mtls.rules(), None);
    let (seated, other) = (enter().unwrap(), enter().unwrap());
    let admit = |seated: &Seated<'_>| seated.seat.admit(mtls.rules(), mtls.metrics(), "GET", "/");
    let is_allowed =
        |seated| matches!(admit(seated), Admission::Allowed(role) if role.name() == "any");
    assert!(is_allowed(&seated));
    seated.seat.leave(Reason::Age, mtls.metrics());
    assert!(is_allowed(&seated));
    for later in [Reason::Revoked, Reason::Untrusted, Reason::Age] {
        seated.seat.leave(later, mtls.metrics());
        assert_eq!(admit(&seated), Admission::Barred(Reason::Revoked));
    }
    assert!(is_allowed(&other));
    assert_eq!(registry.count(), (2, 1));
    drop(seated);
    assert_eq!(registry.count(), (1, 0));
}

#[tokio::test]
async fn trust_that_changes_during_a_handshake_is_asked_again() {
    let site = Site::new();
    let running = Running::start_with(&site, DRAIN).await;
    let victim = site.authority.client(&[WEB]);
    let config = unresumed(&site.authority, Some(&victim), Http::One);
    let mut tcp = TcpStream::connect(running.address).await.unwrap();
    let mut session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    // The server has begun, under the trust of that moment, and waits for the client's certificate.
    send(&mut session, &mut tcp).await;
    while session.is_handshaking() && !session.wants_write() {
        receive(&mut session, &mut tcp).await;
    }
    site.publish_lists(
        2,
        &site.authority.server(),
        &site.authority.lists(&[&victim]),
    );
    running.serves(2).await;
    // Nobody was open when the lists came, so this one is found by its own look at the trust, or never.
    running
        .until("judged", |mtls| mtls.metrics().drains(Reason::Revoked) == 0)
        .await;
    session
        .writer()
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    send(&mut session, &mut tcp).await;
    let mut answer = Vec::new();
    while receive(&mut session, &mut tcp).await {
        let _ = session.reader().read_to_end(&mut answer);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("200 OK"), "{answer}");
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Full), 1);
    assert_eq!(running.mtls.metrics().drains(Reason::Revoked), 1);
}

async fn send(session: &mut ClientConnection, tcp: &mut TcpStream) {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).unwrap();
    }
    tcp.write_all(&bytes).await.unwrap();
}

/// False at the end.
async fn receive(session: &mut ClientConnection, tcp: &mut TcpStream) -> bool {
    let mut bytes = [0; 16 * 1024];
    let read = timeout(DEADLINE, tcp.read(&mut bytes))
        .await
        .expect("an answer in time");
    let Ok(length @ 1..) = read else { return false };
    let mut bytes = &bytes[..length];
    while !bytes.is_empty() {
        session.read_tls(&mut bytes).unwrap();
        if session.process_new_packets().is_err() {
            return false;
        }
    }
    true
}
