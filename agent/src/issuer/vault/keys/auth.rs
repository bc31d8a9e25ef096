//! How we are known to a Vault: the keys of four ways, of which one is given.

use crate::table::values::parse;
use crate::table::{At, ErrorKind, Mismatch, Report, Section};

use super::super::super::places;
use super::super::{Auth, Method};
use super::{name, path};

/// As an error names them.
const WAYS: &str = "token, or role_id and secret_id, or jwt, or client_certificate and client_key";

/// How we are known there: by the one method whose keys are given.
pub(super) fn read(section: &Section<'_>, report: &mut Report) -> Option<Auth> {
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
