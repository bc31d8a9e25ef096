//! A small mutual-TLS server in this process: its leaf can be swapped, and it can misbehave.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::load::Files;

/// What the server does wrong from now on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Misbehaviour {
    Refuses = 1,
    BreaksOff = 2,
    /// New connections are closed in good order when they ask.
    Leaves = 3,
}

/// Listening until dropped.
pub(super) struct Server {
    port: u16,
    directory: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    leaf: Arc<Leaf>,
    misbehaviour: Arc<AtomicU8>,
    end: watch::Sender<End>,
}

/// How the connections that are open end.
#[derive(Clone, Copy, Debug)]
enum End {
    Cut,
    InGoodOrder,
}

#[derive(Debug)]
struct Leaf(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().ok().map(|leaf| Arc::clone(&leaf))
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("CA");
        let leaf = Arc::new(Leaf(Mutex::new(server_leaf(&authority, 1))));

        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("root");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("verifier");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&leaf) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        let misbehaviour = Arc::new(AtomicU8::new(0));
        let (end, ended) = watch::channel(End::Cut);
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            Arc::clone(&misbehaviour),
            ended,
        ));
        let directory = tempfile::tempdir().expect("directory");
        write_client(directory.path(), &authority);
        Self {
            port,
            directory,
            authority,
            leaf,
            misbehaviour,
            end,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn client_files(&self) -> Files {
        let at = |name| self.directory.path().join(name);
        Files {
            ca: at("ca.pem"),
            certificate: at("cert.pem"),
            key: at("key.pem"),
        }
    }

    pub(super) fn serve_leaf(&self, serial: u8) {
        *self.leaf.0.lock().expect("leaf") = server_leaf(&self.authority, serial);
    }

    pub(super) fn end_connections(&self) {
        self.end.send_replace(End::Cut);
    }

    /// Each after its answer under way, with the farewells of HTTP and TLS.
    pub(super) fn end_connections_in_good_order(&self) {
        self.end.send_replace(End::InGoodOrder);
    }

    pub(super) fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.misbehaviour
            .store(misbehaviour as u8, Ordering::SeqCst);
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    misbehaviour: Arc<AtomicU8>,
    ended: watch::Receiver<End>,
) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            return;
        };
        let _ = tcp.set_nodelay(true);
        let (acceptor, misbehaviour) = (acceptor.clone(), Arc::clone(&misbehaviour));
        let mut ended = ended.clone();
        ended.mark_unchanged();
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                return;
            };
            if misbehaviour.load(Ordering::SeqCst) == Misbehaviour::Leaves as u8 {
                let _ = tls.read(&mut [0; 1000]).await;
                let _ = tls.shutdown().await;
                return;
            }
            let service = service_fn(move |request| answer(request, Arc::clone(&misbehaviour)));
            let builder = auto::Builder::new(TokioExecutor::new());
            // Nothing is guessed from the first bytes: who guesses closes without a farewell meanwhile.
            let builder = match tls.get_ref().1.alpn_protocol() {
                Some(b"h2") => builder.http2_only(),
                _ => builder.http1_only(),
            };
            let mut connection = pin!(builder.serve_connection(TokioIo::new(tls), service));
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = ended.changed() => {}
            }
            let how = *ended.borrow();
            if let End::InGoodOrder = how {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    misbehaviour: Arc<AtomicU8>,
) -> Result<Response<Answer>, Infallible> {
    if request.uri().path() == "/stream" {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let planted = misbehaviour.load(Ordering::SeqCst);
    let breaks_off = planted == Misbehaviour::BreaksOff as u8;
    let mut response = Response::new(Answer {
        left: 2,
        breaks_off,
    });
    if planted == Misbehaviour::Refuses as u8 {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

/// One frame and the end, or one frame and an error after it.
struct Answer {
    left: u8,
    breaks_off: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let left = self.left;
        self.left = left.saturating_sub(1);
        match (left, self.breaks_off) {
            (2, _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"hello"))))),
            (_, false) => Poll::Ready(None),
            // What was sent so far goes out before the error: the client has seen a 200.
            (1, true) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            (_, true) => Poll::Ready(Some(Err(std::io::Error::other("planted")))),
        }
    }
}

fn server_leaf(authority: &CertifiedIssuer<'_, KeyPair>, serial: u8) -> Arc<CertifiedKey> {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
    params.serial_number = Some(SerialNumber::from_slice(&[serial]));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().expect("key");
    let leaf = params.signed_by(&key, authority).expect("leaf");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("key");
    let key = aws_lc_rs::sign::any_supported_type(&key).expect("key");
    Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key))
}

fn write_client(directory: &std::path::Path, authority: &CertifiedIssuer<'_, KeyPair>) {
    let mut params = CertificateParams::new(vec!["client.test".to_owned()]).expect("names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("key");
    let leaf = params.signed_by(&key, authority).expect("leaf");
    for (name, pem) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", leaf.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(directory.join(name), pem).expect("write");
    }
}
