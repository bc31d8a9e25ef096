//! tls-alpn-01 (RFC 8737): a certificate with the proof in it, in a handshake on port 443, by the responder on the
//! socket that systemd opened.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::Identifier;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DEFAULT_VERSIONS, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::super::challenges::Challenges;
use super::error::AcmeError;
use super::responder;

/// The unit that makes the responder's socket.
pub(super) const SOCKET_UNIT: &str = "renewd-tls-alpn01.socket";
/// What that unit calls the socket (`FileDescriptorName=`).
pub(super) const SOCKET_NAME: &str = "tls-alpn01";

/// RFC 8737, section 6.2.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The name that a CA asks for in its handshake: that of an address is the one of its reverse mapping (RFC 8738,
/// section 6).
pub(super) fn server_name(name: &Identifier) -> Result<String, AcmeError> {
    match name {
        Identifier::Dns(name) => Ok(name.to_ascii_lowercase()),
        Identifier::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            Ok(format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
        }
        Identifier::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev();
            let nibbles = nibbles.map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
            Ok(format!("{}ip6.arpa", nibbles.collect::<String>()))
        }
        _ => Err(AcmeError::protocol(
            "a challenge",
            "it is for no name of ours",
        )),
    }
}

/// The certificate that proves a name (RFC 8737, section 3), with a key for it alone.
pub(super) fn certificate(name: &Identifier, answer: &str) -> Result<CertifiedKey, AcmeError> {
    let failed = |error: &dyn ToString| AcmeError::Shown(error.to_string());
    let name = match name {
        Identifier::Ip(address) => address.to_string(),
        name => server_name(name)?,
    };
    let mut params = CertificateParams::new([name]).map_err(|error| failed(&error))?;
    let proof = digest(&SHA256, answer.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.as_ref())];
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = any_supported_type(&key).map_err(|error| failed(&error))?;
    // Not by the way that compares key and certificate: it refuses the critical extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Answers on a socket until the runtime ends. To be called within a runtime.
///
/// # Errors
/// When the socket cannot be used.
pub(super) fn serve(socket: TcpListener, challenges: Arc<Challenges>) -> io::Result<()> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(Arc::clone(&challenges))));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    challenges.tls.store(true, Ordering::Relaxed);
    responder::serve(socket, move |stream| {
        let handshake = acceptor.accept(stream);
        async move {
            // Nothing is said after the handshake (RFC 8737, section 3).
            if let Ok(mut stream) = handshake.await {
                let _ = stream.shutdown().await;
            }
        }
    })
}

#[derive(Debug)]
struct Shown(Arc<Challenges>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Others who come here get no certificate that stands for a name and is none.
        let mut protocols = hello.alpn()?;
        if !protocols.any(|protocol| protocol == PROTOCOL) {
            return None;
        }
        self.0.certificate(hello.server_name()?)
    }
}
