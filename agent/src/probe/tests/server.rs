//! TLS servers in this process, each with what it counts.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::probe::ProbeTarget;

pub(super) const TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub(super) const TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];
pub(super) const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

/// What a server saw.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) accepted: AtomicUsize,
    pub(super) resumed: AtomicUsize,
    /// The server names asked for.
    pub(super) names: Mutex<Vec<Option<String>>>,
}

impl Log {
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A configuration that serves one identity, and asks for nobody's certificate.
pub(super) fn serving(certified: Arc<CertifiedKey>) -> Arc<ServerConfig> {
    config(BOTH, fixed(certified), None)
}

/// A configuration that demands a client certificate under this root.
pub(super) fn demanding(
    versions: &[&'static SupportedProtocolVersion],
    certified: Arc<CertifiedKey>,
    root: &CertificateDer<'static>,
) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    config(versions, fixed(certified), Some(verifier.build().unwrap()))
}

pub(super) fn fixed(certified: Arc<CertifiedKey>) -> Arc<dyn ResolvesServerCert> {
    Arc::new(SingleCertAndKey::from(Arc::unwrap_or_clone(certified)))
}

pub(super) fn config(
    versions: &[&'static SupportedProtocolVersion],
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    Arc::new(builder.with_cert_resolver(resolver))
}

/// Serves on a free port.
pub(super) async fn start(config: Arc<ServerConfig>) -> (ProbeTarget, Arc<Log>) {
    start_with(move |_| config.clone()).await
}

/// Serves on a free port; the configuration may differ from connection to connection.
pub(super) async fn start_with(
    choose: impl Fn(usize) -> Arc<ServerConfig> + Send + 'static,
) -> (ProbeTarget, Arc<Log>) {
    let (listener, target) = listen().await;
    let log = Arc::new(Log::default());
    tokio::spawn(accept(listener, log.clone(), choose, |stream| async {
        stream
    }));
    (target, log)
}

/// Accepts for ever; `prelude` is what is spoken before TLS.
pub(super) async fn accept<P>(
    listener: TcpListener,
    log: Arc<Log>,
    choose: impl Fn(usize) -> Arc<ServerConfig>,
    prelude: impl Fn(TcpStream) -> P,
) where
    P: Future<Output = TcpStream> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let config = choose(log.accepted.fetch_add(1, Ordering::SeqCst));
        let stream = prelude(stream);
        let log = log.clone();
        tokio::spawn(async move { converse(stream.await, config, &log).await });
    }
}

/// Serves on a unix socket.
pub(super) fn start_unix(path: &Path, config: Arc<ServerConfig>) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let config = config.clone();
            tokio::spawn(async move { converse(stream, config, &Log::default()).await });
        }
    });
}

async fn converse<S>(stream: S, config: Arc<ServerConfig>, log: &Log)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await else {
        return;
    };
    let session = tls.get_ref().1;
    if session.handshake_kind() == Some(HandshakeKind::Resumed) {
        log.resumed.fetch_add(1, Ordering::SeqCst);
    }
    let name = session.server_name().map(ToOwned::to_owned);
    log.names.lock().unwrap().push(name);
    let mut rest = Vec::new();
    let _: Result<_, _> = tls.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "the probe sent data: {rest:?}");
}

pub(super) async fn listen() -> (TcpListener, ProbeTarget) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = tls_target(listener.local_addr().unwrap());
    (listener, target)
}

/// Several listeners on one port: the kernel spreads connections over them, as over a server's processes.
pub(super) fn listen_many(count: usize) -> (Vec<TcpListener>, ProbeTarget) {
    let mut address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listeners = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1024).unwrap();
        address = listener.local_addr().unwrap();
        listeners.push(listener);
    }
    (listeners, tls_target(address))
}

fn tls_target(address: SocketAddr) -> ProbeTarget {
    format!("tls://{address}").parse().unwrap()
}

/// Two certificates, the RSA one shown to whoever takes it.
#[derive(Debug)]
pub(super) struct RsaFirst {
    pub(super) rsa: Arc<CertifiedKey>,
    pub(super) ecdsa: Arc<CertifiedKey>,
}

impl ResolvesServerCert for RsaFirst {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let takes = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        [&self.rsa, &self.ecdsa]
            .into_iter()
            .find(|key| takes(key))
            .cloned()
    }
}
