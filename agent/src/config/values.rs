//! From texts to values, with their limits. Each function says what it found, what it expected and
//! what to do; the caller knows where.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use renewd_core::names::San;
use renewd_core::request::KeyType;
use renewd_core::unit::OnChange;

use crate::probe::ProbeTarget;

use super::document::clipped;
use super::environment::Environment;
use super::error::Mismatch;
use super::specifier::{self, expand};
use super::suggest::nearest;

/// One second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// One year, as `humantime` counts it: 365.25 days.
pub(super) const YEAR: Duration = Duration::from_secs(31_557_600);

/// A certificate's life.
pub(super) const LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(30)..=Duration::from_secs(10 * YEAR.as_secs());
/// The life of a CA's own certificates.
pub(super) const CA_LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(100 * YEAR.as_secs());
/// How long a job or a proof may take.
pub(super) const TIMEOUT: RangeInclusive<Duration> = SECOND..=Duration::from_secs(3600);
/// A dependent's wave.
pub(super) const ORDER: RangeInclusive<i64> = 0..=99;

/// A list's entries. More names would not fit what TLS clients take; more of anything is a mistake.
pub(super) const MOST_ENTRIES: usize = 100;

/// The first entry beyond the limit.
pub(super) fn too_many() -> Mismatch {
    Mismatch::new(
        format!("is entry {} of its list", MOST_ENTRIES + 1),
        format!("at most {MOST_ENTRIES} entries"),
        "split the list, or shorten it",
    )
}

const KEY_TYPES: [(&str, KeyType); 6] = [
    ("ecdsa-p256", KeyType::EcdsaP256),
    ("ecdsa-p384", KeyType::EcdsaP384),
    ("ed25519", KeyType::Ed25519),
    ("rsa-2048", KeyType::Rsa2048),
    ("rsa-3072", KeyType::Rsa3072),
    ("rsa-4096", KeyType::Rsa4096),
];

const ON_CHANGES: [(&str, OnChange); 5] = [
    ("reload", OnChange::Reload),
    ("restart", OnChange::Restart),
    ("start", OnChange::Start),
    ("signal:HUP", OnChange::SignalHup),
    ("none", OnChange::None),
];

/// An address to probe.
pub(super) fn probe_target(text: &str) -> Result<ProbeTarget, Mismatch> {
    // The error repeats the whole text, and an error is one line.
    if text.len() > LONGEST_ADDRESS {
        return Err(Mismatch::new(
            format!("{:?} is no address to probe", clipped(text)),
            format!("at most {LONGEST_ADDRESS} bytes"),
            "shorten it",
        ));
    }
    text.parse::<ProbeTarget>().map_err(|error| {
        Mismatch::new(
            error.to_string(),
            "",
            "write for example probe = [\"tls://127.0.0.1:443\"]",
        )
    })
}

/// A host and a server name of 253 bytes each fit in.
const LONGEST_ADDRESS: usize = 600;

/// One of a few words.
pub(super) fn word<T: Copy>(
    text: &str,
    what: &str,
    words: &[(&'static str, T)],
) -> Result<T, Mismatch> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let remedy = nearest(text, known.iter().copied())
        .map_or(String::new(), |near| format!("did you mean {near:?}?"));
    Err(Mismatch::new(
        format!("{:?} is no {what}", clipped(text)),
        format!("one of {}", known.join(", ")),
        remedy,
    ))
}

pub(super) fn key_type(text: &str) -> Result<KeyType, Mismatch> {
    word(text, "key type", &KEY_TYPES)
}

pub(super) fn on_change(text: &str) -> Result<OnChange, Mismatch> {
    word(text, "way to tell a unit", &ON_CHANGES)
}

/// `true` for server, `false` for client.
pub(super) fn usage(text: &str) -> Result<bool, Mismatch> {
    word(text, "usage", &[("server", true), ("client", false)])
}

/// A duration in whole seconds, within its limits.
pub(super) fn duration(
    text: &str,
    limits: &RangeInclusive<Duration>,
) -> Result<Duration, Mismatch> {
    let expected = || {
        format!(
            "a duration from {} to {}, in whole seconds",
            humantime::format_duration(*limits.start()),
            humantime::format_duration(*limits.end()),
        )
    };
    let found = clipped(text);
    let duration = humantime::parse_duration(text).map_err(|error| {
        Mismatch::new(
            format!("{found:?} is no duration ({error})"),
            expected(),
            "write a number with its unit (s, m, h, d, w, y), such as \"24h\" or \"1h 30m\"",
        )
    })?;
    let off = if duration.subsec_nanos() != 0 {
        "not in whole seconds"
    } else if duration < *limits.start() {
        "too short"
    } else if duration > *limits.end() {
        "too long"
    } else {
        return Ok(duration);
    };
    Err(Mismatch::new(
        format!("{found:?} is {off}"),
        expected(),
        "choose a duration within these limits",
    ))
}

/// The mode of the private files.
pub(super) fn mode(text: &str) -> Result<u32, Mismatch> {
    match text {
        "0400" | "400" => Ok(0o400),
        "0440" | "440" => Ok(0o440),
        "0600" | "600" => Ok(0o600),
        "0640" | "640" => Ok(0o640),
        other => Err(Mismatch::new(
            format!(
                "{:?} is no mode that a private key may have",
                clipped(other)
            ),
            "one of 0400, 0440, 0600, 0640",
            "let others read by giving them the certificate's group",
        )),
    }
}

/// Where a unit's wave stands.
pub(super) fn order(number: i64) -> Result<u32, Mismatch> {
    u32::try_from(number)
        .ok()
        .filter(|_| ORDER.contains(&number))
        .ok_or_else(|| {
            Mismatch::new(
                format!("{number} is no order"),
                format!("a whole number from {} to {}", ORDER.start(), ORDER.end()),
                "units of the lowest order are told first",
            )
        })
}

/// A name for the certificate; specifiers are replaced.
pub(super) fn name(text: &str, environment: &Environment) -> Result<San, Mismatch> {
    let expanded = expand(text, environment).map_err(|error| {
        Mismatch::new(
            format!("{:?}: {error}", clipped(text)),
            specifier::KNOWN,
            "write %% for a percent sign",
        )
    })?;
    expanded.parse().map_err(|_| {
        let found = if expanded == text {
            format!("{:?}", clipped(text))
        } else {
            format!("{:?} (here {:?})", clipped(text), clipped(&expanded))
        };
        Mismatch::new(
            format!("{found} is no DNS name, IP address or SPIFFE ID"),
            "a name such as \"api.example.org\", \"192.0.2.1\" or \"spiffe://example.org/api\"",
            name_remedy(&expanded),
        )
    })
}

fn name_remedy(text: &str) -> &'static str {
    if text.contains("://") && !text.starts_with("spiffe://") {
        "leave out the scheme: a name is no URL"
    } else if text.starts_with("spiffe://") {
        "write spiffe://TRUST-DOMAIN/PATH, the domain in lower case, without a slash at the end"
    } else if text.ends_with('.') {
        "leave out the dot at the end"
    } else if text.contains(':') || text.contains('/') {
        "leave out port, prefix and path"
    } else if !text.is_ascii() {
        "write the name as DNS has it (xn--…)"
    } else {
        "correct the name"
    }
}

/// A domain for a name constraint.
pub(super) fn domain(text: &str) -> Result<String, Mismatch> {
    match text.parse() {
        Ok(San::Dns(domain)) if !domain.starts_with('*') => Ok(domain),
        _ => Err(Mismatch::new(
            format!("{:?} is no domain", clipped(text)),
            "a domain such as \"example.internal\", which stands for itself and all below it",
            "write it without a leading dot or star",
        )),
    }
}

/// A network for a name constraint, as text.
pub(super) fn network(text: &str) -> Result<String, Mismatch> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let parts = address.parse().ok().and_then(|address: IpAddr| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
        (prefix <= bits).then(|| (address, prefix, first(address, prefix)))
    });
    let expected = "a network such as \"10.0.0.0/8\" or \"fd00::/8\", or one address";
    match parts {
        Some((address, prefix, first)) if address == first => Ok(format!("{address}/{prefix}")),
        Some((_, prefix, first)) => Err(Mismatch::new(
            format!("{text:?} is an address within a network"),
            expected,
            format!("write \"{first}/{prefix}\""),
        )),
        None => Err(Mismatch::new(
            format!("{:?} is no network", clipped(text)),
            expected,
            "write the address and its prefix length",
        )),
    }
}

/// The first address of the network of that prefix, which is not longer than the address.
fn first(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// A SPIFFE ID for a name constraint, as text.
pub(super) fn spiffe_id(text: &str) -> Result<String, Mismatch> {
    match text.parse() {
        Ok(San::Uri(id)) => Ok(id),
        _ => Err(Mismatch::new(
            format!("{:?} is no SPIFFE ID", clipped(text)),
            "one such as \"spiffe://example.internal\", which stands for itself and all below it",
            name_remedy(text),
        )),
    }
}
