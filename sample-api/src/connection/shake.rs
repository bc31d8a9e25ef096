//! The handshake, and what becomes of clients that cannot do one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsAcceptor};

use crate::metrics::Handshake;
use crate::mtls::MutualTls;
use crate::shared::Shared as Faces;
use crate::tickets;
use crate::tls::Served;

/// The first byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a client that speaks plain HTTP is told.
const PLAIN: &str = r#"{"title":"Bad Request","status":400,"detail":"this port speaks HTTPS with client certificates; use an https:// URL"}"#;

/// How long a client that was told why it is refused may take to close.
const LINGERS: Duration = Duration::from_secs(1);

/// Why a handshake ended that had not come to its end in time.
pub(super) const TOO_LONG: &str = "it took too long";

/// Boxed: it is more than a kilobyte, and is handed on several times.
pub(super) type Shaken = (Box<TlsStream<TcpStream>>, tickets::Handshake);

/// How a handshake failed and why; with the connection of a client that was told so, for [`hear_out`].
pub(super) type Refused<E = io::Error> = (Handshake, E, Option<TcpStream>);

/// A client from which as much was read as was needed to choose its face.
pub(super) enum Arrived {
    /// Nothing.
    Silent(TcpStream),
    /// Its first message.
    Hello(Box<StartHandshake<TcpStream>>),
}

/// Whom the client means. Where there is only one, nothing of it is read for that.
pub(super) async fn arrive(
    tcp: TcpStream,
    faces: &Faces,
    deadline: Instant,
) -> (&Arc<MutualTls>, Result<Arrived, Refused<String>>) {
    let first = faces.first();
    if faces.is_one() {
        return (first, Ok(Arrived::Silent(tcp)));
    }
    let _shaking = first.shaking();
    match timeout_at(deadline, Box::pin(hello(tcp))).await {
        Ok(Ok(hello)) => {
            let meant = faces.choose(hello.client_hello().server_name());
            (meant, Ok(Arrived::Hello(hello)))
        }
        Ok(Err((how, error, told))) => (first, Err((how, error.to_string(), told))),
        Err(_) => (first, Err((Handshake::Timeout, TOO_LONG.to_owned(), None))),
    }
}

/// Shakes hands, or says how that failed.
pub(super) async fn shake(arrived: Arrived, served: &Served) -> Result<Shaken, Refused> {
    let config = served.config.clone();
    let (tls, handshake) = match arrived {
        Arrived::Silent(tcp) => {
            let tcp = spoken_to(tcp).await?;
            let shaking = TlsAcceptor::from(config).accept(tcp).into_fallible();
            tickets::Handshake::run(shaking).await
        }
        // In a future of its own: the ticket is looked at when the configuration is handed over.
        Arrived::Hello(hello) => {
            tickets::Handshake::run(async { hello.into_stream(config).into_fallible().await }).await
        }
    };
    tls.map(|tls| (Box::new(tls), handshake))
        .map_err(|(error, tcp)| match refusal(&error) {
            Handshake::Abandoned => (Handshake::Abandoned, error, None),
            // The alert is on its way.
            how => (how, error, Some(tcp)),
        })
}

/// Reads a client's first message, which names the server that it means.
async fn hello(tcp: TcpStream) -> Result<Box<StartHandshake<TcpStream>>, Refused> {
    let tcp = spoken_to(tcp).await?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await;
    hello
        .map(Box::new)
        .map_err(|error| (refusal(&error), error, None))
}

/// A client that has begun to speak, and not plain HTTP.
async fn spoken_to(mut tcp: TcpStream) -> Result<TcpStream, Refused> {
    // Without it the first response waits 40 ms for an acknowledgement that the client delays.
    let _ = tcp.set_nodelay(true);
    let abandoned = |error| (Handshake::Abandoned, error, None);
    let mut first = [0];
    if tcp.peek(&mut first).await.map_err(abandoned)? == 0 {
        return Err(abandoned(io::ErrorKind::UnexpectedEof.into()));
    }
    if first[0] != TLS_HANDSHAKE && first[0].is_ascii_uppercase() {
        let told = timeout(LINGERS, tell_plain(&mut tcp)).await;
        let error = match told {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => io::Error::other("plain HTTP"),
        };
        return Err((Handshake::PlainHttp, error, Some(tcp)));
    }
    Ok(tcp)
}

/// Lets a client read why it was refused: says that there is nothing more to come, and takes in what the client sends
/// that has not heard so yet. Were the connection closed at once, the reset would take away what it was told; and to a
/// client of TLS 1.3 the handshake is over before its certificate is judged, so it is in the middle of its request.
pub(super) async fn hear_out(mut tcp: TcpStream) {
    let heard = async {
        tcp.shutdown().await?;
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            if tcp.read(&mut buffer).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Who does not close has been told all the same.
    let _ = timeout(LINGERS, heard).await;
}

async fn tell_plain(tcp: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let _ = tcp.read(&mut buffer).await?;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{PLAIN}",
        PLAIN.len()
    );
    tcp.write_all(answer.as_bytes()).await
}

fn refusal(error: &io::Error) -> Handshake {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        None => Handshake::Abandoned,
        Some(Error::NoCertificatesPresented) => Handshake::NoCertificate,
        Some(Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired => Handshake::Expired,
            CertificateError::NotValidYet => Handshake::NotYetValid,
            CertificateError::UnknownIssuer => Handshake::Untrusted,
            CertificateError::Revoked => Handshake::Revoked,
            CertificateError::UnknownRevocationStatus => Handshake::RevocationUnknown,
            CertificateError::InvalidPurpose => Handshake::WrongUsage,
            _ => Handshake::BadCertificate,
        },
        // What the client thinks of *our* certificate, or that it closed.
        Some(Error::AlertReceived(AlertDescription::CloseNotify)) => Handshake::Abandoned,
        Some(_) => Handshake::Protocol,
    }
}
