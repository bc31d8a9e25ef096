//! `[issuer.NAME]` with `type = "vault"`.

mod auth;

use std::rc::Rc;
use std::sync::Arc;

use hyper::Uri;

use crate::secret::Secret;
use crate::table::values::parse;
use crate::table::{Mismatch, Report, Schema, Section, clipped, key};

use super::super::crls::keys as crls;
use super::super::https::Trust;
use super::super::kind::{Configured, Home, Kind};
use super::super::{Issuer, places};
use super::{Auth, Method, VaultIssuer, VaultSettings};

const DEFAULT_MOUNT: &str = "pki";

/// The PKI secrets engines of Vault and OpenBao.
pub const KIND: Kind = Kind {
    name: "vault",
    schema: &SCHEMA,
    told_by: "role",
    for_clients: true,
    sockets: &[],
    read,
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME] with type = \"vault\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"vault\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"vault\""),
        key(
            "address",
            "an address in quotes",
            "\"https://vault.example.internal:8200\"",
        ),
        key("ca", "a path in quotes", "\"/etc/renewd/ca.pem\""),
        key(
            "trust",
            "\"system\" or a path in quotes",
            "\"/etc/renewd/roots.pem\"",
        ),
        key(
            "proxy",
            "an address in quotes",
            "\"http://proxy.example.internal:3128\"",
        ),
        key("namespace", "a namespace in quotes", "\"team/web\""),
        key("mount", "a path at the server in quotes", "\"pki\""),
        key("role", "a role's name in quotes", "\"host\""),
        key(
            "issuer_ref",
            "the name of a CA of the mount in quotes",
            "\"issuing-2026\"",
        ),
        key(crls::KEY, "a list of places in quotes", "[\"issuer\"]"),
        key(
            "token",
            "the place of a token in quotes",
            "\"credential:vault-token\"",
        ),
        key(
            "role_id",
            "an AppRole's identifier in quotes",
            "\"675a50e7-cfe0-be76-e35f-49ec009731ea\"",
        ),
        key(
            "secret_id",
            "the place of a secret in quotes",
            "\"credential:vault-secret-id\"",
        ),
        key(
            "jwt",
            "the place of a JWT in quotes",
            "\"file:/run/renewd-jwt/token\"",
        ),
        key(
            "client_certificate",
            "a path in quotes",
            "\"/etc/renewd/client.pem\"",
        ),
        key(
            "client_key",
            "the place of a key in quotes",
            "\"credential:client-key\"",
        ),
        key(
            "auth_mount",
            "a path at the server in quotes",
            "\"approle\"",
        ),
        key("auth_role", "a role's name in quotes", "\"host\""),
    ],
    aliases: &[
        ("vault_addr", "address"),
        ("addr", "address"),
        ("ca_cert", "ca"),
        ("path", "mount"),
        ("pki", "mount"),
        ("role_name", "role"),
        ("issuer_name", "issuer_ref"),
        ("token_file", "token"),
        ("vault_token", "token"),
        ("auth_path", "auth_mount"),
        ("jwt_role", "auth_role"),
        ("cert_role", "auth_role"),
        ("client_cert", "client_certificate"),
    ],
};

impl Configured for VaultSettings {
    fn make(&self, home: Home) -> Rc<dyn Issuer> {
        Rc::new(VaultIssuer::new(self.clone(), home.secrets))
    }

    fn secrets(&self) -> Vec<&Secret> {
        vec![match &self.auth {
            Auth::Token(secret) => secret,
            Auth::Login { method, .. } => match method {
                Method::AppRole { secret_id, .. } => secret_id,
                Method::Jwt { jwt, .. } => jwt,
                Method::Certificate { key, .. } => key,
            },
        }]
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
    section.need(
        "address",
        "the server's address",
        "address = \"https://vault.example.internal:8200\"",
        report,
    );
    section.need("role", "the role that signs", "role = \"host\"", report);
    let address = parse(&section.text("address", report), report, |text| {
        address(text)
    });
    let ca = parse(&section.text("ca", report), report, |text| {
        places::path(text, "ca = \"/etc/renewd/ca.pem\"")
    });
    let trust = parse(&section.text("trust", report), report, |text| {
        places::trust(text)
    });
    let proxy = parse(&section.text("proxy", report), report, |text| {
        places::proxy(text)
    });
    let namespace = parse(&section.text("namespace", report), report, |text| {
        path(text, "namespace = \"team/web\"")
    });
    let mount = parse(&section.text("mount", report), report, |text| {
        path(text, "mount = \"pki\"")
    });
    let role = parse(&section.text("role", report), report, |text| {
        name(text, "role = \"host\"")
    });
    let issuer_ref = parse(&section.text("issuer_ref", report), report, |text| {
        name(text, "issuer_ref = \"issuing-2026\"")
    });
    let crl = crls::read(section, report, Some(other_ca));
    let auth = auth::read(section, report);
    Some(Arc::new(VaultSettings {
        address: address?.value,
        ca: ca.map_or(Trust::System, |at| Trust::File(at.value)),
        trust: trust.map(|at| at.value),
        proxy: proxy.map(|at| at.value),
        namespace: namespace.map(|at| at.value),
        mount: mount.map_or_else(|| DEFAULT_MOUNT.into(), |at| at.value),
        role: role?.value,
        issuer_ref: issuer_ref.map(|at| at.value),
        crl,
        auth: auth?,
    }))
}

fn address(text: &str) -> Result<String, Mismatch> {
    const EXAMPLE: &str = "address = \"https://vault.example.internal:8200\"";
    let right = places::https(text, "a Vault", EXAMPLE)?;
    // The API's version and the paths come after it; what else stands there is a slip.
    let uri: Option<Uri> = right.parse().ok();
    if uri.is_some_and(|uri| uri.path() == "/" && uri.query().is_none()) {
        return Ok(right);
    }
    Err(Mismatch::new(
        format!("{:?} has a path", clipped(text)),
        "https://, a host and a port",
        format!("leave out the path: write for example {EXAMPLE}"),
    ))
}

/// A path at the server, without the slashes around it that its own tools take.
fn path(text: &str, example: &str) -> Result<String, Mismatch> {
    let trimmed = text.trim_matches('/');
    if trimmed.split('/').all(is_word) && text.len() <= places::LONGEST {
        return Ok(trimmed.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} is no path at a Vault", clipped(text)),
        "words of a-z A-Z 0-9 . _ - with slashes between",
        format!("write it as the server does, for example {example}"),
    ))
}

/// Another CA's path, for its revocation list.
fn other_ca(text: &str) -> Result<String, Mismatch> {
    let right = path(text, "crl = [\"issuer\", \"pki/issuer/default\"]")?;
    match right.contains("/issuer/") {
        true => Ok(right),
        false => Err(Mismatch::new(
            format!("{:?} is no place of revocation lists", clipped(text)),
            "\"issuer\", the path of a mount's issuer, or the absolute path of a file",
            "write for example crl = [\"issuer\", \"pki/issuer/default\"]",
        )),
    }
}

fn name(text: &str, example: &str) -> Result<String, Mismatch> {
    if is_word(text) && text.len() <= places::LONGEST {
        return Ok(text.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} is no name at a Vault", clipped(text)),
        "a-z A-Z 0-9 . _ -",
        format!("write it as the server does, for example {example}"),
    ))
}

/// What these servers allow, and what needs no escaping in an address.
fn is_word(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(known) && text.bytes().any(|byte| byte != b'.')
}
