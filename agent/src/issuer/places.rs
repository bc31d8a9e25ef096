//! Values that several kinds of issuers take: addresses, paths, words of a CA's, and the places of secrets.

use std::path::PathBuf;

use hyper::Uri;
use renewd_core::names::San;

use super::https::Trust;
use crate::secret::Secret;
use crate::table::{Mismatch, clipped};

/// Longer than any address or name that somebody wrote down.
pub(in crate::issuer) const LONGEST: usize = 500;
/// Longer than any path or argument that somebody wrote down.
pub(in crate::issuer) const LONGEST_PATH: usize = 4096;

/// The place of a secret, for the key of that name.
pub(in crate::issuer) fn secret(text: &str, key: &str, example: &str) -> Result<Secret, Mismatch> {
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

/// The address of a proxy. One behind TLS would be verified against the CA's own anchors, and shown the certificate that
/// the CA knows us by: the client has one setting for all that it meets on its way.
pub(in crate::issuer) fn proxy(text: &str) -> Result<String, Mismatch> {
    let wrong = |what| {
        Mismatch::new(
            what,
            "http://, a host and a port, without a user: what goes through it is TLS to the CA in any case",
            "write for example proxy = \"http://proxy.example.internal:3128\"",
        )
    };
    let uri = address(text, &["http", "https"]);
    let uri = uri.filter(|uri| uri.path() == "/" && uri.query().is_none());
    let uri = uri.ok_or_else(|| wrong(format!("{:?} is no address of a proxy", clipped(text))))?;
    match uri.scheme_str() {
        Some("http") => Ok(text.to_owned()),
        _ => Err(wrong(
            "is a proxy behind TLS, which would be verified against the CA's own anchors"
                .to_owned(),
        )),
    }
}

/// An absolute path; `example` is a line that works.
pub(in crate::issuer) fn path(text: &str, example: &str) -> Result<PathBuf, Mismatch> {
    if text.starts_with('/') && text.len() <= LONGEST_PATH && !text.contains('\0') {
        return Ok(text.into());
    }
    Err(Mismatch::new(
        format!("{:?} is no absolute path", clipped(text)),
        "a path that begins with a slash",
        format!("write for example {example}"),
    ))
}

/// Whose roots are believed.
pub(in crate::issuer) fn trust(text: &str) -> Result<Trust, Mismatch> {
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

/// A word that the CA gave, such as an identifier; `example` is a line that works.
pub(in crate::issuer) fn word(text: &str, example: &str) -> Result<String, Mismatch> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.is_empty() && text.len() <= LONGEST && visible {
        return Ok(text.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} cannot be one", clipped(text)),
        "visible ASCII characters without a blank",
        format!("write it as the CA does, for example {example}"),
    ))
}

/// An address of HTTPS of what `of` is, without a user; `example` is a line that works.
pub(in crate::issuer) fn https(text: &str, of: &str, example: &str) -> Result<String, Mismatch> {
    let uri = address(text, &["https"]);
    uri.map(|_| text.to_owned()).ok_or_else(|| {
        Mismatch::new(
            format!("{:?} is no address of {of}", clipped(text)),
            "an address that begins with https://",
            format!("write for example {example}"),
        )
    })
}

/// A domain, which stands for all names below it, too.
pub(in crate::issuer) fn domain(text: &str) -> Result<String, Mismatch> {
    match text.parse() {
        Ok(San::Dns(domain)) if !domain.starts_with('*') => Ok(domain),
        _ => Err(Mismatch::new(
            format!("{:?} is no domain", clipped(text)),
            "a domain such as \"example.internal\", which stands for itself and all below it",
            "write it without a leading dot or star",
        )),
    }
}
