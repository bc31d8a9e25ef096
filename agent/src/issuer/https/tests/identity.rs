//! What is shown of ourselves, and to whom.

use rustls::version::{TLS12, TLS13};

use super::*;

/// A CA of clients.
struct Authority {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "clients");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { ca }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        roots
    }

    fn client(&self) -> (ClientIdentity, Fingerprint) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["client.test".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.ca).unwrap();
        let identity = ClientIdentity::from_pem(&leaf.pem(), &key.serialize_pem()).unwrap();
        (identity, Fingerprint::of(leaf.der()))
    }
}

/// A server that answers with who it was asked by.
fn echo(clients: Clients, versions: &[&'static SupportedProtocolVersion]) -> Server {
    let manner = |request: &str, write: &mut dyn FnMut(&[u8]) -> bool| {
        let who = request
            .rsplit_once("\r\nclient: ")
            .map_or("nobody", |it| it.1);
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{who}",
            who.len()
        );
        write(text.as_bytes());
    };
    Server::of(clients, versions, Box::new(manner))
}

async fn ask(
    server: &Server,
    identity: Option<&ClientIdentity>,
    tls12: bool,
) -> Result<String, HttpsError> {
    let trust = server.ca();
    let client = Https::of(Peer {
        identity,
        tls12,
        ..peer(&trust)
    })?;
    let answer = client.send(get(server.port, "/")).await?;
    Ok(String::from_utf8(answer.body().to_vec()).unwrap())
}

#[tokio::test]
async fn each_client_is_who_it_was_made_to_be() {
    let authority = Authority::new();
    let (first, second) = (authority.client(), authority.client());
    for version in [&TLS12, &TLS13] {
        let server = echo(Clients::Below(authority.roots()), &[version]);
        for (shown, expected) in [
            (Some(&first), first.1.to_string()),
            (Some(&second), second.1.to_string()),
            (None, "nobody".to_owned()),
            (Some(&first), first.1.to_string()),
        ] {
            let shown = shown.map(|shown| &shown.0);
            assert_eq!(ask(&server, shown, true).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_client_that_is_not_let_in_learns_the_reason() {
    let (here, elsewhere) = (Authority::new(), Authority::new());
    for version in [&TLS12, &TLS13] {
        let server = echo(Clients::OnlyBelow(here.roots()), &[version]);
        for shown in [None, Some(elsewhere.client().0)] {
            let error = ask(&server, shown.as_ref(), true).await.unwrap_err();
            assert!(matches!(error, HttpsError::Alert { .. }), "{error}");
            assert!(error.is_of_our_certificate(), "{error}");
            assert!(error.to_string().contains("ended the TLS handshake"));
            assert_eq!(error.retry(), Retry::BackOff);
        }
    }
}

#[tokio::test]
async fn tls_1_2_is_for_those_who_are_allowed_it() {
    let server = echo(Clients::All, &[&TLS12]);
    assert_eq!(ask(&server, None, true).await.unwrap(), "nobody");
    let error = ask(&server, None, false).await.unwrap_err();
    assert!(!error.is_of_our_certificate());
    let text = IssueError::from(error).operator_text();
    assert!(
        text.contains("ProtocolVersion") && text.contains("TLS 1.3"),
        "{text}"
    );
}

#[test]
fn an_identity_that_is_none_is_refused_without_showing_its_key() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let other = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["client.test".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &authority.ca).unwrap().pem();
    let secret = key.serialize_pem();
    for (certificate, key, expected) in [
        ("", secret.as_str(), "no certificate"),
        (&leaf, "nothing", "no unencrypted private key"),
        (&leaf, &other.serialize_pem(), "not that of its certificate"),
    ] {
        let error = ClientIdentity::from_pem(certificate, key).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.retry(), Retry::Operator);
    }
    let whole = ClientIdentity::from_pem(&leaf, &secret).unwrap();
    assert_eq!(format!("{whole:?}"), "ClientIdentity(1 certificates)");
}
