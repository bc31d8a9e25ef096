//! What a server writes, as it may be shown, and what is known to help.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// How much of it is shown.
const LONGEST: usize = 400;

/// What was told, and is to be repeated to nobody.
pub(super) type Told<'a> = [Option<&'a str>; 2];

/// What a server said, or that it said nothing.
pub(super) fn said_by(said: &str) -> String {
    match said.trim() {
        "" => "no reason given".to_owned(),
        said => clipped(said, LONGEST),
    }
}

/// On one line, so that it forges no line of a log, moves no cursor and fills no screen.
pub(super) fn clipped(text: &str, most: usize) -> String {
    // Its lists of errors come with bullets on lines of their own.
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let short: String = text.chars().take(most).collect();
    let cut = if short.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", short.escape_debug())
}

/// What is known of a refusal by its words, and what helps.
const KNOWN: &[(&str, &str)] = &[
    (
        "unknown role",
        "make the role at the server, or correct `role`",
    ),
    (
        "no handler for route",
        "mount a PKI secrets engine there, or correct `mount` (and `namespace`, which it is below)",
    ),
    (
        "common_name field is required",
        "set require_cn=false in the role: no name is a DNS name that a common name can be made of",
    ),
    (
        "not allowed by this role",
        "allow the name in the role (allowed_domains with allow_subdomains or allow_bare_domains, allow_ip_sans, \
         allowed_uri_sans), or remove it here",
    ),
    (
        "beyond the expiration of the CA",
        "renew the CA's own certificate, or shorten `lifetime`",
    ),
    (
        "requires keys of type",
        "set key_type=any in the role, or correct `key_type` here",
    ),
    (
        "find PKI issuer",
        "it is tried again; correct `issuer_ref`, or make an issuer in this mount",
    ),
];

pub(super) fn known(said: &str, otherwise: &str) -> String {
    let known = KNOWN.iter().find(|(words, _)| said.contains(words));
    known.map_or(otherwise, |(_, remedy)| remedy).to_owned()
}

/// Servers and what is before them have been seen to repeat what they were told, also as it stands in JSON or in an
/// address.
pub(super) fn without(text: &str, told: &Told<'_>) -> String {
    let kept = told.iter().flatten().filter(|secret| !secret.is_empty());
    kept.flat_map(|secret| forms(secret))
        .fold(text.to_owned(), |text, form| {
            text.replace(form.as_str(), "[secret]")
        })
}

fn forms(secret: &str) -> [Zeroizing<String>; 5] {
    let json = Zeroizing::new(serde_json::Value::from(secret).to_string());
    let json = Zeroizing::new(json[1..json.len() - 1].to_owned());
    // As programs in Go write it, of which these servers are.
    let html = json
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e");
    let percent = |upper: bool| {
        let mut escaped = Zeroizing::new(String::with_capacity(secret.len() * 3));
        for byte in secret.bytes() {
            let _ = match byte {
                _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
                    escaped.write_char(byte.into())
                }
                _ if upper => write!(escaped, "%{byte:02X}"),
                _ => write!(escaped, "%{byte:02x}"),
            };
        }
        escaped
    };
    [
        Zeroizing::new(secret.to_owned()),
        json,
        Zeroizing::new(html),
        percent(true),
        percent(false),
    ]
}
