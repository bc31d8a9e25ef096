//! What CAs write (RFC 8555, section 6.7): as sentences, and with what to do about them.

use instant_acme::Problem;

/// How much of what a CA writes is shown.
const SHOWN: usize = 400;

/// Problems that time hardly heals (RFC 8555, section 6.7), with what the operator does about them.
pub(super) const OPERATORS: &[(&str, &str)] = &[
    (
        "externalAccountRequired",
        "get a key of the CA, and configure `eab_key_id` and `eab_key`",
    ),
    (
        "agreementRequired",
        "read the CA's terms of service, and write terms_of_service = \"agreed\"",
    ),
    (
        "userActionRequired",
        "read the CA's terms of service, which have changed, and do as it says",
    ),
    ("invalidContact", "correct `contact`"),
    ("unsupportedContact", "correct `contact`"),
    (
        "invalidProfile",
        "correct `profile`: its directory shows which ones the CA has",
    ),
    ("rejectedIdentifier", "use another name, or another CA"),
    ("unsupportedIdentifier", "use another name, or another CA"),
    (
        "badCSR",
        "choose a `key_type` that the CA takes, such as \"ecdsa-p256\"",
    ),
    (
        "badPublicKey",
        "choose a `key_type` that the CA takes, such as \"ecdsa-p256\"",
    ),
];

/// Problems of a look for a proof: what helps is another thing for each challenge.
pub(super) const LOOKED: [&str; 5] = [
    "connection",
    "dns",
    "incorrectResponse",
    "tls",
    "unauthorized",
];

/// Problems that may go without us; of those in [`LOOKED`], with http-01.
pub(super) const OTHERS: &[(&str, &str)] = &[
    (
        "rateLimited",
        "it is tried again when the CA allows it; fewer names or certificates need fewer orders",
    ),
    ("caa", "allow this CA in the name's CAA record (RFC 8659)"),
    (
        "dns",
        "look the name up as the CA does: it must lead to this host",
    ),
    (
        "connection",
        "let the CA reach port 80 of this host under that name",
    ),
    (
        "unauthorized",
        "let port 80 of that name lead to this host: something else answers there",
    ),
    (
        "incorrectResponse",
        "let port 80 of that name lead to this host: something else answers there",
    ),
    (
        "tls",
        "let port 80 of that name lead to this host without TLS",
    ),
    (
        "serverInternal",
        "it is tried again; the CA has trouble of its own",
    ),
];

/// A problem document in a sentence: what it says, for which names, and of which type it is.
pub(super) fn sentence(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for sub in &problem.subproblems {
        if !text.is_empty() {
            text.push_str("; ");
        }
        if let Some(identifier) = &sub.identifier {
            text.push_str(&format!("{}: ", identifier.authorized(false)));
        }
        text.push_str(sub.detail.as_deref().unwrap_or("no reason given"));
    }
    if text.is_empty() {
        text.push_str("no reason given");
    }
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    format!("{} ({})", clipped(&text), clipped(kind))
}

/// So that it forges no line of a log, moves no cursor and fills no screen.
pub(super) fn clipped(text: &str) -> String {
    let text = text.trim();
    let short: String = text.chars().take(SHOWN).collect();
    let cut = if short.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", short.escape_debug())
}
