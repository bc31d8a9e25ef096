//! `[issuer.NAME]` with `type = "vault"`.

use hyper::Uri;

use crate::issuer::https::Trust;
use crate::issuer::vault::{Auth, Method, VaultSettings};

use super::super::common::parse;
use super::super::document::{At, clipped};
use super::super::error::{ErrorKind, Mismatch, Report};
use super::super::places;
use super::super::schema::{Schema, key};
use super::super::settings::IssuerKind;
use super::super::walk::Section;
use super::Kind;

/// As an error names them.
const WAYS: &str = "token, or role_id and secret_id, or jwt, or client_certificate and client_key";

const DEFAULT_MOUNT: &str = "pki";

pub(super) const KIND: Kind = Kind {
    name: "vault",
    schema: &SCHEMA,
    told_by: "role",
    for_clients: true,
    read,
    judge: |_, _, _| {},
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

fn read(section: &Section<'_>, report: &mut Report) -> Option<IssuerKind> {
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
    let auth = auth(section, report);
    Some(IssuerKind::Vault(VaultSettings {
        address: address?.value,
        ca: ca.map_or(Trust::System, |at| Trust::File(at.value)),
        trust: trust.map(|at| at.value),
        proxy: proxy.map(|at| at.value),
        namespace: namespace.map(|at| at.value),
        mount: mount.map_or_else(|| DEFAULT_MOUNT.into(), |at| at.value),
        role: role?.value,
        issuer_ref: issuer_ref.map(|at| at.value),
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

/// How we are known there: by the one method whose keys are given.
fn auth(section: &Section<'_>, report: &mut Report) -> Option<Auth> {
    let before = report.errors.len();
    let mut secret = |key: &str, example: &str| {
        let raw = section.text(key, report);
        let place = parse(&raw, report, |text| places::secret(text, key, example));
        (raw, place.map(|at| at.value))
    };
    let (token_at, token) = secret("token", "credential:vault-token");
    let (secret_at, secret_id) = secret("secret_id", "credential:vault-secret-id");
    let (jwt_at, jwt) = secret("jwt", "file:/run/renewd-jwt/token");
    let (key_at, key) = secret("client_key", "credential:client-key");
    let certificate_at = section.text("client_certificate", report);
    let certificate = parse(&certificate_at, report, |text| {
        places::path(text, "client_certificate = \"/etc/renewd/client.pem\"")
    });
    let mut word = |key: &str, check: fn(&str) -> Result<String, Mismatch>| {
        let raw = section.text(key, report);
        let word = parse(&raw, report, |text| check(text));
        (raw, word.map(|at| at.value))
    };
    let (role_id_at, role_id) = word("role_id", |text| {
        places::word(text, "role_id = \"675a50e7-cfe0-be76-e35f-49ec009731ea\"")
    });
    let (mount_at, mount) = word("auth_mount", |text| path(text, "auth_mount = \"approle\""));
    let (role_at, role) = word("auth_role", |text| name(text, "auth_role = \"host\""));

    // A value of a wrong type is there, too, and an error of its own.
    let has = |key: &str| section.has(key);
    let pairs = [
        [("role_id", &role_id_at), ("secret_id", &secret_at)],
        [
            ("client_certificate", &certificate_at),
            ("client_key", &key_at),
        ],
    ];
    let of_pair = |pair: &[(&str, &Option<At<String>>); 2]| pair.iter().any(|(key, _)| has(key));
    let ways = [
        has("token"),
        has("jwt"),
        of_pair(&pairs[0]),
        of_pair(&pairs[1]),
    ];
    match ways.into_iter().filter(|given| *given).count() {
        0 => report.error(section.location(), section.field("token"), none_given()),
        1 => {
            for [one, other] in &pairs {
                for ((key, at), (missing, _)) in [(one, other), (other, one)] {
                    if has(key) && !has(missing) {
                        refuse(at, alone(missing), report);
                    }
                }
            }
        }
        _ => {
            let all = [
                &token_at,
                &role_id_at,
                &secret_at,
                &jwt_at,
                &certificate_at,
                &key_at,
            ];
            let last = all.into_iter().rev().find(|at| at.is_some());
            refuse(last.unwrap_or(&None), several(), report);
        }
    }
    let misplaced = [
        (has("token"), &mount_at, "a token needs no login"),
        (
            has("token") || has("role_id"),
            &role_at,
            "only a login by JWT or by certificate has it",
        ),
    ];
    for (wrong, at, why) in misplaced {
        if wrong {
            let found = "belongs to another way to be known to the server";
            let mismatch = Mismatch::of(ErrorKind::Conflict, found, why, "remove it");
            refuse(at, mismatch, report);
        }
    }
    if report.errors.len() > before {
        return None;
    }
    let login = |default: &str, method| Auth::Login {
        mount: mount.unwrap_or_else(|| default.to_owned()),
        method,
    };
    if let Some(token) = token {
        return Some(Auth::Token(token));
    }
    if let (Some(role_id), Some(secret_id)) = (role_id, secret_id) {
        return Some(login("approle", Method::AppRole { role_id, secret_id }));
    }
    if let Some(jwt) = jwt {
        return Some(login("jwt", Method::Jwt { role, jwt }));
    }
    let method = Method::Certificate {
        role,
        certificate: certificate?.value,
        key: key?,
    };
    Some(login("cert", method))
}

fn refuse(at: &Option<At<String>>, mismatch: Mismatch, report: &mut Report) {
    if let Some(at) = at {
        at.refuse(report, mismatch);
    }
}

fn none_given() -> Mismatch {
    Mismatch::of(
        ErrorKind::MissingKey,
        "is missing, and so is every other way to be known to the server",
        WAYS,
        "write for example role_id = \"…\" and secret_id = \"credential:vault-secret-id\"",
    )
}

fn several() -> Mismatch {
    Mismatch::of(
        ErrorKind::Conflict,
        "stands beside another way to be known to the server",
        WAYS,
        "keep one of them",
    )
}

fn alone(other: &str) -> Mismatch {
    Mismatch::of(
        ErrorKind::MissingKey,
        format!("stands without {other}"),
        "both, or neither",
        format!("write {other}, too"),
    )
}
