//! One fresh handshake, from connecting to the goodbye. Must never resume a session, and never send a byte
//! of any protocol behind TLS; what was seen is judged by `judge`.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use renewd_core::leaf::LeafFacts;
use renewd_core::names::San;
use renewd_core::proof::Reason;
use rustls::client::Resumption;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Limits;
use super::connect::{FirstBytes, connect};
use super::judge::{Ended, Failure, Prepared, in_words, judge};
use super::starttls::Dialogue;
use super::target::{Address, ProbeTarget};
use super::witness::{Offer, Witness};

/// How long a server may take to answer our goodbye, so that it logs an end and no reset.
const GOODBYE: Duration = Duration::from_millis(50);

/// Makes one handshake, and at most one more: a server that finds nothing to show for the key type of the
/// published leaf is offered everything, for a stale leaf of another type is to be called by its name.
pub(super) async fn handshake(
    target: &ProbeTarget,
    prepared: &Prepared<'_>,
    limits: &Limits,
    end: Instant,
) -> Result<(), Failure> {
    match attempt(target, prepared, &prepared.offer, limits, end).await {
        Err(failure) if failure.nothing_to_show => {
            attempt(target, prepared, &Offer::everything(), limits, end).await
        }
        other => other,
    }
}

async fn attempt(
    target: &ProbeTarget,
    prepared: &Prepared<'_>,
    offer: &Offer,
    limits: &Limits,
    end: Instant,
) -> Result<(), Failure> {
    let expected = prepared.expected;
    let mut stream = open(target, end).await?;
    let witness = Arc::new(Witness::new(offer, limits.client.clone()));
    let config = client_config(offer, &witness)
        .map_err(|error| Failure::new(Reason::Handshake, error.to_string()))?;
    let name = server_name(target, &expected.leaf);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name.clone(), &mut stream);
    let ended = match timeout_at(end, connecting).await {
        Err(_) => Ended::Silent,
        Ok(Err(error)) => Ended::Broken(error),
        Ok(Ok(mut tls)) => {
            let asked = witness.seen().asked;
            let refusal = match &limits.client {
                Some(_) if asked => refusal(&mut tls, limits.quiet, end).await,
                _ => None,
            };
            goodbye(tls).await;
            Ended::Complete(refusal)
        }
    };
    let seen = std::mem::take(&mut *witness.seen());
    judge(&seen, ended, prepared, limits, &stream, &name)
}

/// Connects, and leads the protocol to the point where TLS starts.
async fn open(target: &ProbeTarget, end: Instant) -> Result<FirstBytes, Failure> {
    let mut stream = match timeout_at(end, connect(target.address())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_connected(&error)),
        Err(_) => return Err(Failure::new(Reason::Timeout, "could not connect in time")),
    };
    let mut dialogue = Dialogue::new(&mut *stream);
    match timeout_at(end, dialogue.hold(target.protocol())).await {
        Ok(Ok(())) => Ok(FirstBytes::new(stream)),
        Ok(Err(what)) => {
            let what = format!("{}: {what}", dialogue.step());
            Err(Failure::new(Reason::Handshake, what))
        }
        Err(_) => {
            let what = format!("{}: connected, but no answer in time", dialogue.step());
            Err(Failure::new(Reason::Timeout, what))
        }
    }
}

fn not_connected(error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::TimedOut => {
            return Failure::new(Reason::Timeout, "could not connect in time");
        }
        io::ErrorKind::ConnectionRefused => "connection refused: nobody listens".into(),
        io::ErrorKind::NotFound => "there is no such socket".into(),
        io::ErrorKind::PermissionDenied => "permission denied: renewd may not connect".into(),
        _ => format!("could not connect: {error}"),
    };
    Failure::new(Reason::Refused, what)
}

fn client_config(offer: &Offer, witness: &Arc<Witness>) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(offer.provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_client_cert_resolver(witness.clone());
    // A resumed session shows no certificate at all.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Whom to ask for: the target's name, else the leaf's, else the host. An address asks for nobody in
/// particular (RFC 6066, section 3).
fn server_name(target: &ProbeTarget, leaf: &LeafFacts) -> ServerName<'static> {
    let host = || match target.address() {
        Address::Tcp { host, .. } => host.parse().ok(),
        Address::Unix(_) => None,
    };
    let nobody = ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into());
    match target
        .name()
        .cloned()
        .or_else(|| leaf.server_name())
        .or_else(host)
    {
        Some(San::Dns(name)) => ServerName::try_from(name).unwrap_or(nobody),
        Some(San::Ip(address)) => ServerName::IpAddress(address.into()),
        Some(San::Uri(_)) | None => nobody,
    }
}

/// Reads on after a handshake in which our certificate was asked for: in TLS 1.3 a refusal comes with the
/// first read. Data, an end by close_notify and silence are no refusal.
async fn refusal(
    tls: &mut TlsStream<&mut FirstBytes>,
    quiet: Duration,
    end: Instant,
) -> Option<String> {
    // In TLS 1.2 the handshake ends only when the server has accepted.
    if tls.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let until = end.min(Instant::now() + quiet);
    match timeout_at(until, tls.read(&mut [0; 16])).await {
        Ok(Err(error)) => Some(in_words(&error)),
        Ok(Ok(_)) | Err(_) => None,
    }
}

/// Ends the connection in order. How the server takes it proves nothing.
async fn goodbye(mut tls: TlsStream<&mut FirstBytes>) {
    let exchange = async {
        tls.shutdown().await?;
        let mut rest = [0; 512];
        while tls.read(&mut rest).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    let _: Result<_, _> = timeout(GOODBYE, exchange).await;
}
