//! A client of our own: it shows what a pooled one hides.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use renewd_sample_api::tls;
use rustls::client::Resumption;
use rustls::{
    ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::site::{Authority, Pair};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

/// Settings that several connections share, with rustls' own session store.
pub(crate) fn settings(
    authority: &Authority,
    pair: Option<&Pair>,
    http: Http,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.bundle().as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match pair {
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match http {
        Http::One => vec![b"http/1.1".to_vec()],
        Http::Two => vec![b"h2".to_vec()],
    };
    Arc::new(config)
}

/// As [`settings`], and every handshake is a full one.
pub(crate) fn unresumed(
    authority: &Authority,
    pair: Option<&Pair>,
    http: Http,
) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(settings(authority, pair, http));
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// For one version of TLS.
pub(crate) fn versions(
    authority: &Authority,
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.bundle().as_bytes()).unwrap())
        .unwrap();
    let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes());
    let mut config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

/// One connection.
pub(crate) struct Client {
    sender: Sender,
    /// What the server has shown.
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) kind: HandshakeKind,
    pub(crate) version: ProtocolVersion,
    /// None of a session that TLS 1.2 resumed.
    pub(crate) group: Option<NamedGroup>,
}

impl Client {
    pub(crate) async fn connect(
        address: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        Self::connect_to(address, config, "localhost").await
    }

    /// To a server of that name.
    pub(crate) async fn connect_to(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let http2 = config.alpn_protocols[0] == b"h2";
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        let session = tls.get_ref().1;
        let leaf = session.peer_certificates().unwrap()[0].clone();
        let kind = session.handshake_kind().unwrap();
        let version = session.protocol_version().unwrap();
        let group = session
            .negotiated_key_exchange_group()
            .map(|group| group.name());
        let io = TokioIo::new(tls);
        let sender = if http2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(driver);
            Sender::Two(sender)
        } else {
            let (sender, driver) = http1::handshake(io).await.map_err(io::Error::other)?;
            tokio::spawn(driver);
            Sender::One(sender)
        };
        Ok(Self {
            sender,
            leaf,
            kind,
            version,
            group,
        })
    }

    /// A connection of the client that the tests call by its name.
    pub(crate) async fn of(
        address: SocketAddr,
        authority: &Authority,
        names: &[&str],
        http: Http,
    ) -> Self {
        let pair = authority.client(names);
        Self::connect(address, settings(authority, Some(&pair), http))
            .await
            .unwrap()
    }

    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await,
            Sender::Two(sender) => sender.ready().await,
        }
    }

    /// Asks, and returns when the head of the response is there.
    pub(crate) async fn send(&mut self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.ready().await?;
        match &mut self.sender {
            Sender::One(sender) => {
                let request = Request::get(path).header("host", "localhost");
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await
            }
            Sender::Two(sender) => {
                let request = Request::get(format!("https://localhost{path}"));
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await
            }
        }
    }

    /// A stream without HTTP on it.
    pub(crate) async fn raw(
        address: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(config).connect(name, tcp).await.unwrap()
    }

    /// Asks with more headers.
    pub(crate) async fn ask_as(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Result<(Response<()>, String)> {
        self.ready().await?;
        let uri = match &self.sender {
            Sender::One(_) => path.to_owned(),
            Sender::Two(_) => format!("https://localhost{path}"),
        };
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match &mut self.sender {
            Sender::One(sender) => {
                let request = request.header("host", "localhost");
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await?
            }
            Sender::Two(sender) => {
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await?
            }
        };
        whole(response).await
    }

    /// Asks a host.
    pub(crate) async fn ask_host(
        &mut self,
        host: &str,
        path: &str,
    ) -> hyper::Result<(Response<()>, String)> {
        self.ready().await?;
        let response = match &mut self.sender {
            Sender::One(sender) => {
                {
                    let request = Request::get(path).header("host", host);
                    sender.send_request(request.body(Empty::new()).unwrap())
                }
                .await?
            }
            Sender::Two(sender) => {
                let request = Request::get(format!("https://{host}{path}"));
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await?
            }
        };
        whole(response).await
    }

    /// Asks over HTTP/1.1 with one more header.
    pub(crate) async fn ask_with(
        &mut self,
        path: &str,
        name: &str,
        value: &str,
    ) -> hyper::Result<(Response<()>, String)> {
        self.ready().await?;
        let Sender::One(sender) = &mut self.sender else {
            panic!("for HTTP/1.1");
        };
        let request = Request::get(path)
            .header("host", "localhost")
            .header(name, value);
        let response = sender
            .send_request(request.body(Empty::new()).unwrap())
            .await?;
        whole(response).await
    }

    /// Asks, and reads the whole response.
    pub(crate) async fn ask(&mut self, path: &str) -> hyper::Result<(Response<()>, String)> {
        whole(self.send(path).await?).await
    }
}

/// Reads a response to its end; one that was cut is an error.
pub(crate) async fn whole(response: Response<Incoming>) -> hyper::Result<(Response<()>, String)> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = String::from_utf8(body.into()).unwrap();
    Ok((Response::from_parts(head, ()), text))
}

/// What `/healthz` says.
pub(crate) async fn health(address: SocketAddr) -> (u16, serde_json::Value) {
    let (head, body) = plain(address, "/healthz").await;
    (head.status().as_u16(), serde_json::from_str(&body).unwrap())
}

/// A plain request to the health listener.
pub(crate) async fn plain(address: SocketAddr, path: &str) -> (Response<()>, String) {
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut sender, driver) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(driver);
    let request = Request::get(path).header("host", "localhost");
    let response = sender
        .send_request(request.body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap();
    whole(response).await.unwrap()
}
