//! What is shown at a login, and what is answered.

use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::https::{ClientIdentity, Https, HttpsError, Peer};
use super::error::{Helps, VaultError};
use super::server::{Granted, Server};
use super::{Method, VaultSettings};
use crate::secret::{Secret, Secrets};

/// What a secret is told from another one by.
pub(super) type Digest = [u8; 32];

/// What is shown at a login.
pub(super) struct Proof<'a> {
    method: &'a Method,
    secret: Zeroizing<String>,
    /// The certificate that the secret is the key of, where it is one.
    chain: String,
}

#[derive(Serialize)]
struct AppRole<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Jwt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    jwt: &'a str,
}

/// A secret, without the line's end that files have.
pub(super) fn read(
    secrets: &Secrets,
    key: &'static str,
    place: &Secret,
) -> Result<Zeroizing<String>, VaultError> {
    let read = secrets.read(place);
    let text = read.map_err(|source| VaultError::Secret { key, source })?;
    let text = Zeroizing::new(text.trim().to_owned());
    if text.is_empty() {
        return Err(VaultError::NoSecret(place.clone()));
    }
    Ok(text)
}

pub(super) fn digest(parts: [&str; 2]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

impl<'a> Proof<'a> {
    /// What is in its files now.
    pub(super) fn read(method: &'a Method, secrets: &Secrets) -> Result<Self, VaultError> {
        let mut chain = String::new();
        let secret = match method {
            Method::AppRole { secret_id, .. } => read(secrets, "secret_id", secret_id)?,
            Method::Jwt { jwt, .. } => read(secrets, "jwt", jwt)?,
            Method::Certificate {
                certificate, key, ..
            } => {
                chain = text_of(certificate)?;
                read(secrets, "client_key", key)?
            }
        };
        Ok(Self {
            method,
            secret,
            chain,
        })
    }

    pub(super) fn digest(&self) -> Digest {
        digest([&self.chain, &self.secret])
    }

    /// Shows it at where the method is mounted.
    pub(super) async fn show(
        &self,
        server: &Server,
        settings: &VaultSettings,
        mount: &str,
    ) -> Result<Granted, VaultError> {
        let path = format!("auth/{mount}/login");
        let secret = self.secret.as_str();
        let granted = match self.method {
            Method::Certificate { role, .. } => {
                let server = self.showing(settings)?;
                let name = role.as_deref();
                server.grant(&path, None, None, &Named { name }).await
            }
            Method::AppRole { role_id, .. } => {
                let secret_id = secret;
                let body = AppRole { role_id, secret_id };
                server.grant(&path, None, Some(secret), &body).await
            }
            Method::Jwt { role, .. } => {
                let (role, jwt) = (role.as_deref(), secret);
                let body = Jwt { role, jwt };
                server.grant(&path, None, Some(secret), &body).await
            }
        };
        match granted {
            Ok(granted) if granted.client_token.is_empty() => Err(VaultError::NoLogin {
                host: server.host().to_owned(),
                path,
                said: "the server asks for a second factor".into(),
                helps: Helps::OneFactor,
            }),
            granted => granted.map_err(|error| self.refused(error)),
        }
    }

    fn refused(&self, error: VaultError) -> VaultError {
        let renewed_by_others = !matches!(self.method, Method::AppRole { .. });
        let (host, path, said, helps) = match error {
            VaultError::Denied { host, path, said } => (host, path, said, Helps::Time),
            VaultError::Refused {
                host, path, said, ..
            } => (host, path, said, Helps::Operator),
            error => return error,
        };
        VaultError::NoLogin {
            host,
            path,
            said,
            helps: if renewed_by_others {
                Helps::NextProof
            } else {
                helps
            },
        }
    }

    /// The server, as it is talked to when it shall see our certificate.
    fn showing(&self, settings: &VaultSettings) -> Result<Server, VaultError> {
        let identity = ClientIdentity::from_pem(&self.chain, &self.secret)?;
        let https = Https::of(Peer {
            trust: &settings.ca,
            also: &[],
            proxy: settings.proxy.as_deref(),
            identity: Some(&identity),
            tls12: false,
        })?;
        Server::by(settings, https)
    }
}

fn text_of(certificate: &Path) -> Result<String, HttpsError> {
    std::fs::read_to_string(certificate)
        .map_err(|error| HttpsError::Identity(format!("{}: {error}", certificate.display())))
}
