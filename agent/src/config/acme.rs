//! `[issuer.NAME]` with `type = "acme"`.

use std::path::PathBuf;

use hyper::Uri;

use crate::issuer::acme::{AcmeSettings, ExternalAccount};
use crate::issuer::https::Trust;
use crate::secret::Secret;

use super::common::{parse, twice};
use super::document::{At, clipped};
use super::error::{ErrorKind, Mismatch, Report};
use super::raw::{RawAcme, RawIssuer};

/// Longer than any address or name that somebody wrote down.
const LONGEST: usize = 500;

/// Judges the keys; `None` where the directory is missing or wrong.
pub(super) fn read(raw: &RawIssuer, report: &mut Report) -> Option<AcmeSettings> {
    let acme = &raw.acme;
    if !acme.directory_given {
        report.error(
            &raw.name.location,
            format!("{}.directory", raw.name.field),
            Mismatch::of(
                ErrorKind::MissingKey,
                "is missing",
                "the address of the CA's ACME directory",
                "write for example directory = \"https://acme-v02.api.letsencrypt.org/directory\"",
            ),
        );
    }
    let directory = parse(&acme.directory, report, |text| directory(text));
    let ca = parse(&acme.ca, report, |text| path(text, "ca"));
    let trust = parse(&acme.trust, report, |text| trust(text));
    let proxy = parse(&acme.proxy, report, |text| proxy(text));
    let contact = contacts(acme, report);
    let terms = parse(&acme.terms_of_service, report, |text| terms(text));
    let external_account = external_account(acme, report);
    let webroot = parse(&acme.webroot, report, |text| path(text, "webroot"));
    let profile = parse(&acme.profile, report, |text| {
        word(text, "profile", "shortlived")
    });
    Some(AcmeSettings {
        directory: directory?.value,
        ca: ca.map_or(Trust::System, |at| Trust::File(at.value)),
        trust: trust.map_or(Trust::System, |at| at.value),
        proxy: proxy.map(|at| at.value),
        contact,
        terms_agreed: terms.is_some(),
        external_account,
        webroot: webroot.map(|at| at.value),
        profile: profile.map(|at| at.value),
    })
}

/// The place of a secret, for the key of that name.
pub(super) fn secret(text: &str, key: &str, example: &str) -> Result<Secret, Mismatch> {
    text.parse::<Secret>().map_err(|error| {
        Mismatch::new(
            format!("{:?} is no place of a secret", clipped(text)),
            error.to_string().replacen("expected ", "", 1),
            format!("write for example {key} = \"{example}\""),
        )
    })
}

fn address(text: &str, schemes: &[&str]) -> Option<Uri> {
    let uri: Uri = text.parse().ok().filter(|_| text.len() <= LONGEST)?;
    let known = schemes.contains(&uri.scheme_str()?);
    // What stands before an @ would be a password in a file that everybody may read.
    let plain = !uri.authority()?.as_str().contains('@') && !uri.host()?.is_empty();
    (known && plain).then_some(uri)
}

fn directory(text: &str) -> Result<String, Mismatch> {
    let uri = address(text, &["https"]);
    uri.map(|_| text.to_owned()).ok_or_else(|| {
        Mismatch::new(
            format!("{:?} is no address of an ACME directory", clipped(text)),
            "an address that begins with https://",
            "write for example directory = \"https://ca.example.internal/acme/directory\"",
        )
    })
}

fn proxy(text: &str) -> Result<String, Mismatch> {
    let uri = address(text, &["http", "https"]);
    let plain = uri.filter(|uri| uri.path() == "/" && uri.query().is_none());
    plain.map(|_| text.to_owned()).ok_or_else(|| {
        Mismatch::new(
            format!("{:?} is no address of a proxy", clipped(text)),
            "http:// or https://, a host and a port, without a user",
            "write for example proxy = \"http://proxy.example.internal:3128\"",
        )
    })
}

fn path(text: &str, key: &str) -> Result<PathBuf, Mismatch> {
    if text.starts_with('/') && text.len() <= LONGEST && !text.contains('\0') {
        return Ok(text.into());
    }
    Err(Mismatch::new(
        format!("{:?} is no absolute path", clipped(text)),
        "a path that begins with a slash",
        format!("write for example {key} = \"/etc/renewd/{key}.pem\"")
            .replace("/etc/renewd/webroot.pem", "/var/www/html"),
    ))
}

fn trust(text: &str) -> Result<Trust, Mismatch> {
    if text == "system" {
        return Ok(Trust::System);
    }
    path(text, "trust").map(Trust::File).map_err(|_| {
        Mismatch::new(
            format!("{:?} says nothing of what to trust", clipped(text)),
            "\"system\", or the absolute path of the CA's roots",
            "write for example trust = \"/etc/renewd/roots.pem\"",
        )
    })
}

fn terms(text: &str) -> Result<(), Mismatch> {
    if text == "agreed" {
        return Ok(());
    }
    Err(Mismatch::new(
        format!("{:?} is no agreement", clipped(text)),
        "\"agreed\"",
        "read the CA's terms of service, then write terms_of_service = \"agreed\"; or remove the key",
    ))
}

fn word(text: &str, key: &str, example: &str) -> Result<String, Mismatch> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.is_empty() && text.len() <= LONGEST && visible {
        return Ok(text.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} cannot be one", clipped(text)),
        "visible ASCII characters without a blank",
        format!("write it as the CA does, for example {key} = \"{example}\""),
    ))
}

fn contacts(acme: &RawAcme, report: &mut Report) -> Vec<String> {
    let mut contacts = Vec::new();
    let Some(raw) = &acme.contact else {
        return contacts;
    };
    for at in &raw.value {
        let Some(contact) = at.parse(report, |text| contact(text)) else {
            continue;
        };
        if contacts.contains(&contact.value) {
            at.refuse(report, twice(&at.value));
        } else {
            contacts.push(contact.value);
        }
    }
    contacts
}

fn contact(text: &str) -> Result<String, Mismatch> {
    let mail = text.strip_prefix("mailto:");
    let parts = mail.and_then(|mail| mail.split_once('@'));
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    match parts {
        Some((user, host))
            if !user.is_empty() && !host.is_empty() && visible && text.len() <= LONGEST =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Mismatch::new(
            format!("{:?} is no address to write to", clipped(text)),
            "\"mailto:\" and a mail address",
            "write for example contact = [\"mailto:ops@example.org\"]",
        )),
    }
}

fn external_account(acme: &RawAcme, report: &mut Report) -> Option<ExternalAccount> {
    let key_id = parse(&acme.eab_key_id, report, |text| {
        word(text, "eab_key_id", "kid-1")
    });
    let key = parse(&acme.eab_key, report, |text| {
        secret(text, "eab_key", "credential:eab")
    });
    let alone = |at: &At<String>, other: &str, report: &mut Report| {
        let mismatch = Mismatch::of(
            ErrorKind::MissingKey,
            format!("stands without {other}"),
            "both, or neither",
            format!("write {other}, too: the CA hands out both"),
        );
        at.refuse(report, mismatch);
    };
    match (&acme.eab_key_id, &acme.eab_key) {
        (Some(at), None) => alone(at, "eab_key", report),
        (None, Some(at)) => alone(at, "eab_key_id", report),
        _ => {}
    }
    Some(ExternalAccount {
        key_id: key_id?.value,
        key: key?.value,
    })
}
