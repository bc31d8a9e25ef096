//! The one HTTPS client of all issuers that talk to a server.
//!
//! Owns what every such conversation needs and no protocol library brings: deadlines, a limit on what is read,
//! the anchors that the server is verified against, a proxy, what is shown of ourselves, and failures as sentences that
//! name the host, the status and when to come back. It must never follow a redirect to another host, and never send
//! anything without TLS. Made anew for each order: so a replaced CA file is taken up by the next one, and no connection
//! is ever used under two identities.

mod error;
mod identity;
mod roots;
#[cfg(test)]
pub(crate) mod tests;
mod unverified;
mod withheld;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{DATE, HeaderMap, RETRY_AFTER};
use hyper::{Request, Response};
use jiff::Timestamp;
use reqwest::redirect::{Attempt, Policy};
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, SupportedProtocolVersion, WantsVerifier};
use rustls_pki_types::CertificateDer;

pub use error::HttpsError;
pub use identity::ClientIdentity;
pub use roots::anchors;
pub use withheld::repeats;

/// How long a connection, its TLS handshake included, may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one request may take, to the last byte of its answer.
const WHOLE: Duration = Duration::from_secs(30);
const DEADLINES: Deadlines = Deadlines {
    connect: CONNECT,
    whole: WHOLE,
};
/// The most bytes of an answer: a chain of certificates has a few thousand.
const MOST_BYTES: usize = 1024 * 1024;
/// The most redirects within a host.
const MOST_REDIRECTS: usize = 3;
/// No server is believed that we should stay away for longer.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// Which certificates are anchors: of the server, or of what it issues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those that the host trusts.
    #[default]
    System,
    /// Those in this file (PEM), and no other.
    File(PathBuf),
    /// These, and no other.
    Certificates(Vec<CertificateDer<'static>>),
}

/// A server, and how it is talked to.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// What it is verified against.
    pub trust: &'a Trust,
    /// Anchors beside those.
    pub also: &'a [CertificateDer<'static>],
    /// The way to it, where it is not direct.
    pub proxy: Option<&'a str>,
    /// What is shown of ourselves.
    pub identity: Option<&'a ClientIdentity>,
    /// Whether TLS 1.2 will do. Where client certificates are shown, it tells them to whoever listens.
    pub tls12: bool,
}

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    connect: Duration,
    whole: Duration,
}

/// An HTTPS client.
#[derive(Debug, Clone)]
pub struct Https {
    client: reqwest::Client,
}

impl Https {
    /// A client that verifies servers against `trust`, and reaches them through `proxy` if there is one. Reads
    /// files.
    ///
    /// # Errors
    /// When there are no anchors, or the proxy's address is none.
    pub fn new(trust: &Trust, proxy: Option<&str>) -> Result<Self, HttpsError> {
        Self::of(Peer {
            trust,
            also: &[],
            proxy,
            identity: None,
            tls12: false,
        })
    }

    /// A client for one server, with connections of its own. Reads files.
    ///
    /// # Errors
    /// When there are no anchors, or the proxy's address is none.
    pub fn of(peer: Peer<'_>) -> Result<Self, HttpsError> {
        Self::with(peer, DEADLINES)
    }

    /// A client that takes any server for the right one: for what is public, and is compared with a pinned digest
    /// before anything comes of it.
    ///
    /// # Errors
    /// When the proxy's address is none.
    pub fn unverified(proxy: Option<&str>) -> Result<Self, HttpsError> {
        let tls = offering(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(unverified::AnyServer::default()))
            .with_no_client_auth();
        Self::made(tls, proxy, DEADLINES)
    }

    fn with(peer: Peer<'_>, deadlines: Deadlines) -> Result<Self, HttpsError> {
        let versions: &[&SupportedProtocolVersion] = match peer.tls12 {
            true => &[&TLS13, &TLS12],
            false => &[&TLS13],
        };
        let tls = offering(versions)?.with_root_certificates(roots::store(peer.trust, peer.also)?);
        let tls = match peer.identity {
            Some(identity) => tls.with_client_cert_resolver(identity.resolver()),
            None => tls.with_no_client_auth(),
        };
        Self::made(tls, peer.proxy, deadlines)
    }

    fn made(
        tls: ClientConfig,
        proxy: Option<&str>,
        deadlines: Deadlines,
    ) -> Result<Self, HttpsError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .user_agent(concat!("renewd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(deadlines.connect)
            .timeout(deadlines.whole)
            .pool_max_idle_per_host(1)
            .redirect(Policy::custom(within_the_host))
            // Where the environment names one, nobody sees in the configuration where requests go.
            .no_proxy();
        if let Some(proxy) = proxy {
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|error| HttpsError::Client(error::deepest(&error)))?;
            builder = builder.proxy(proxy);
        }
        let client = builder
            .build()
            .map_err(|error| HttpsError::Client(error::deepest(&error)))?;
        Ok(Self { client })
    }

    /// Sends a request, and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When no whole answer came, or it was too long.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpsError> {
        self.send_for(request, MOST_BYTES).await
    }

    /// The same, for an answer of at most so many bytes.
    ///
    /// # Errors
    /// When no whole answer came, or it was too long.
    pub async fn send_for(
        &self,
        request: Request<Bytes>,
        most: usize,
    ) -> Result<Response<Bytes>, HttpsError> {
        let (parts, body) = request.into_parts();
        let host = parts
            .uri
            .authority()
            .map_or_else(|| parts.uri.to_string(), ToString::to_string);
        let failed = |error: reqwest::Error| HttpsError::of(&host, &error);
        let mut answer = self
            .client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let mut read = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if read.len() + piece.len() > most {
                return Err(HttpsError::TooLong { host, most });
            }
            read.extend_from_slice(&piece);
        }
        let mut response = Response::new(Bytes::from(read));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// Speaks these versions of TLS.
fn offering(
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, HttpsError> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| HttpsError::Client(error.to_string()))
}

/// A server that sends us elsewhere is not the one that was configured.
fn within_the_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let Some(last) = attempt.previous().last() else {
        return attempt.stop();
    };
    let (from, to) = (last.clone(), attempt.url().clone());
    let same = from.scheme() == to.scheme()
        && from.host_str() == to.host_str()
        && from.port_or_known_default() == to.port_or_known_default();
    if !same {
        return attempt.error(error::Elsewhere(
            to.host_str().unwrap_or("nowhere").to_owned(),
        ));
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error(error::Circle);
    }
    attempt.follow()
}

/// When the server wants to be asked again (RFC 9110, section 10.2.3): seconds or a date, and never longer than
/// [`LONGEST_RETRY_AFTER`]. What cannot be read, and a date that is past, count as nothing said.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that no u64 holds is longer than any that counts.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(date.duration_since(now)).ok()?
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

/// What the server's clock said (RFC 9110, section 6.6.1).
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}
