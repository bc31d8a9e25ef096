//! `minimal`: what one would write with axum and rustls today, for `bench` to compare with.
//!
//! It demands client certificates and answers every request for `/` with one text; SIGHUP swaps in what is published.
//! Nothing of renewd's is in it: rustls' own verifier, session cache and defaults.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::routing::get;
use clap::Parser;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

/// A minimal server with mutual TLS, made of axum and rustls
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The directory that a certificate is published in
    #[arg(long)]
    certificate: PathBuf,
    /// What to answer
    #[arg(long)]
    answer: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments {
        listen,
        certificate,
        answer,
    } = Arguments::parse();
    let current = Arc::new(RwLock::new(config(&certificate)?));
    let mut told = signal(SignalKind::hangup())?;
    let swap = current.clone();
    tokio::spawn(async move {
        while told.recv().await.is_some() {
            match config(&certificate) {
                Ok(config) => *swap.write().unwrap_or_else(PoisonError::into_inner) = config,
                Err(error) => eprintln!("minimal: {error}"),
            }
        }
    });
    let answer: Arc<str> = answer.into();
    let app = Router::new().route("/", get(async move || answer.to_string()));
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let config = current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let _ = tcp.set_nodelay(true);
            if let Ok(tls) = TlsAcceptor::from(config).accept(tcp).await {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            }
        });
    }
}

fn config(directory: &Path) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let current = directory.join("current");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in CertificateDer::pem_file_iter(current.join("ca.pem"))? {
        roots.add(anchor?)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let chain = CertificateDer::pem_file_iter(current.join("fullchain.pem"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            chain.collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_file(current.join("key.pem"))?,
        )?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
