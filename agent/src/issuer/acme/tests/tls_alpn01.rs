//! tls-alpn-01: what is seen in a handshake, and by whom.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::tls_alpn01::serve;
use super::*;

/// Believes everything: what is looked at is the certificate itself.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The certificate that is shown for a name to who speaks one of these protocols.
fn look(port: u16, name: &str, protocols: &[&[u8]]) -> Option<CertificateDer<'static>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).ok()?;
    }
    assert_eq!(connection.alpn_protocol(), protocols.last().copied());
    Some(connection.peer_certificates()?[0].clone().into_owned())
}

const ACME: &[&[u8]] = &[b"acme-tls/1"];

async fn seen(
    port: u16,
    name: &'static str,
    protocols: &'static [&'static [u8]],
) -> Option<CertificateDer<'static>> {
    let look = tokio::task::spawn_blocking(move || look(port, name, protocols));
    look.await.unwrap()
}

fn listening() -> (u16, Arc<Challenges>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let challenges = Arc::<Challenges>::default();
    serve(listener, Arc::clone(&challenges)).unwrap();
    (port, challenges)
}

#[tokio::test]
async fn a_ca_is_shown_the_proof_of_the_name_that_it_asks_for_and_nobody_else_is_shown_anything() {
    let (port, challenges) = listening();
    assert!(seen(port, "a.test", ACME).await.is_none());
    let proofs = [
        proof("a.test", "tok.thumb"),
        proof("192.0.2.1", "four.thumb"),
        proof("2001:db8::1", "six.thumb"),
    ];
    let up = Placed::put(&challenges, &Challenge::TlsAlpn01, &proofs);
    let up = up.await.unwrap();
    for (name, answer) in [
        ("a.test", "tok.thumb"),
        ("A.Test", "tok.thumb"),
        ("1.2.0.192.in-addr.arpa", "four.thumb"),
        (
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            "six.thumb",
        ),
    ] {
        let seen = seen(port, name, ACME).await.expect(name);
        let (_, seen) = X509Certificate::from_der(&seen).unwrap();
        // id-pe-acmeIdentifier: critical, with the digest as an octet string (RFC 8737, section 3).
        let oid = x509_parser::oid_registry::asn1_rs::oid!(1.3.6.1.5.5.7.1.31);
        let proof = seen.get_extension_unique(&oid).unwrap().unwrap();
        assert!(proof.critical);
        let digest = digest(&SHA256, answer.as_bytes());
        assert_eq!(proof.value, [&[4, 32], digest.as_ref()].concat());
        let names = seen.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
    }
    assert!(seen(port, "b.test", ACME).await.is_none());
    assert!(seen(port, "a.test", &[]).await.is_none());
    assert!(seen(port, "a.test", &[b"h2", b"http/1.1"]).await.is_none());
    assert!(
        seen(port, "a.test", &[b"h2", b"acme-tls/1"])
            .await
            .is_some()
    );
    drop(up);
    assert!(seen(port, "a.test", ACME).await.is_none());
}

#[tokio::test]
async fn several_look_at_once_and_who_says_nothing_holds_nobody_up() {
    let (port, challenges) = listening();
    let proofs = [proof("a.test", "tok.thumb")];
    let up = Placed::put(&challenges, &Challenge::TlsAlpn01, &proofs);
    let _up = up.await.unwrap();
    let silent: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    let looks = (0..8).map(|_| seen(port, "a.test", ACME));
    let seen = futures_util::future::join_all(looks).await;
    assert!(seen.iter().all(Option::is_some));
    drop(silent);
}

#[tokio::test]
async fn two_orders_for_one_name_are_shown_one_after_the_other() {
    let challenges = Arc::<Challenges>::default();
    let put = async |names: &[&str], answer: &str| {
        let proofs: Vec<_> = names.iter().map(|name| proof(name, answer)).collect();
        let put = Placed::put(&challenges, &Challenge::TlsAlpn01, &proofs).await;
        put.unwrap()
    };
    // What is left from before a restart makes way.
    let before = [proof("a.test", "before.thumb")];
    Placed::again(&challenges, &Challenge::TlsAlpn01, &before);
    assert!(challenges.certificate("a.test").is_some());
    let first = put(&["a.test", "b.test"], "first.thumb").await;
    let mut second = Box::pin(put(&["b.test", "c.test"], "second.thumb"));
    assert!(futures_util::poll!(&mut second).is_pending());
    assert!(challenges.certificate("c.test").is_none());
    drop(put(&["d.test"], "other.thumb").await);
    drop(first);
    let second = second.await;
    assert!(challenges.certificate("a.test").is_none());
    assert!(challenges.certificate("c.test").is_some());
    drop(second);
    assert!(challenges.certificate("c.test").is_none());
}
