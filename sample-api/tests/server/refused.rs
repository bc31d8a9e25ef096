//! Who is not let in, or not any more: that it hears why, that nobody vouches for itself, and that nobody slips through.

use std::fs;
use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use renewd_sample_api::metrics::Handshake;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::{BOTH, Client, Http, unresumed};
use crate::site::{DEADLINE, Pair, Running, Site, WEB};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_hears_why_in_the_middle_of_its_request() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let connector = TlsConnector::from(unresumed(&site.authority, None, Http::Two));
    for _ in 0..20 {
        let tcp = TcpStream::connect(running.address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut tls = connector.connect(name, tcp).await.unwrap();
        // To the client the handshake is over, so it speaks.
        for _ in 0..16 {
            tls.write_all(&[0; 1000]).await.expect("heard to the end");
            tokio::task::yield_now().await;
        }
        let refusal = tls.read(&mut [0; 100]).await.expect_err("refused");
        assert!(
            refusal.to_string().contains("CertificateRequired"),
            "{refusal}"
        );
    }
}

/// A certificate that is signed with its own key, for a client. `ca root` is what the authority is called.
fn self_signed(common_name: &str, ca: bool) -> Pair {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.subject_alt_names = vec![SanType::URI(WEB.try_into().unwrap())];
    params.extended_key_usages = vec![ClientAuth];
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(60)).into();
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    Pair {
        serial: 0,
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

#[tokio::test]
async fn nobody_vouches_for_itself() {
    let site = Site::new();
    let running = Running::start(&site).await;
    for (common_name, ca, how) in [
        ("me", false, Handshake::Untrusted),
        ("me", true, Handshake::WrongUsage),
        ("ca root", false, Handshake::Untrusted),
    ] {
        let before = running.mtls.metrics().handshakes(how);
        let pair = self_signed(common_name, ca);
        let config = unresumed(&site.authority, Some(&pair), Http::One);
        if let Ok(mut client) = Client::connect(running.address, config).await {
            assert!(client.ask("/").await.is_err(), "{common_name}, {ca}");
        }
        running
            .until(how.word(), |mtls| {
                mtls.metrics().handshakes(how) == before + 1
            })
            .await;
    }
    assert_eq!(running.mtls.metrics().handshakes(Handshake::Full), 0);
}

#[tokio::test]
async fn who_asks_while_the_policy_changes_is_sent_away_too() {
    let site = Site::new();
    let file = site.path().join("policy.toml");
    let only = |caller| {
        format!(
            "[[role]]\nname = \"all\"\ncallers = [\"{caller}\"]\nmethods = [\"*\"]\npaths = [\"/**\"]\n"
        )
    };
    fs::write(&file, only(WEB)).unwrap();
    let running = Running::start_as(&site, |settings| settings.policy = Some(file.clone())).await;
    let pair = site.authority.client(&[WEB]);
    let config = unresumed(&site.authority, Some(&pair), Http::One);
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(Client::raw(running.address, config.clone()).await);
    }
    running
        .until("all are in", |mtls| {
            mtls.metrics().handshakes(Handshake::Full) == 100
        })
        .await;
    for client in &mut clients {
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        client.flush().await.unwrap();
    }
    // Nothing that waits comes in between, so the requests are judged while the connections are.
    fs::write(&file, only("spiffe://example.internal/ops")).unwrap();
    running.mtls.rules().reload().await.unwrap();
    for mut client in clients {
        let mut answer = Vec::new();
        let ended = timeout(DEADLINE, client.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{}", String::from_utf8_lossy(&answer));
    }
}

/// A connection on which nothing is ever said after the handshake.
async fn silent(
    site: &Site,
    running: &Running,
    http: Http,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let pair = site.authority.client(&[WEB]);
    let config = unresumed(&site.authority, Some(&pair), http);
    Client::raw(running.address, config).await
}

#[tokio::test]
async fn who_has_shaken_hands_and_says_nothing_is_hung_up_on() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| {
        settings.next_request = Duration::from_millis(300);
        settings.stall = Duration::from_millis(300);
    })
    .await;
    for http in BOTH {
        let mut tls = silent(&site, &running, http).await;
        let end = timeout(DEADLINE, tls.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok());
    }
}

#[tokio::test]
async fn who_never_asked_is_bidden_farewell_when_the_server_stops() {
    let site = Site::new();
    let running = Running::start_with(&site, Duration::from_secs(2)).await;
    let mut all = Vec::new();
    for http in BOTH {
        all.push(silent(&site, &running, http).await);
    }
    running
        .until("in", |mtls| mtls.metrics().handshakes(Handshake::Full) == 2)
        .await;
    let drained = running.stop();
    for mut tls in all {
        // An end without the farewell of TLS is an error.
        tls.read_to_end(&mut Vec::new()).await.unwrap();
    }
    assert_eq!(drained.await.unwrap().forced, 0);
}
