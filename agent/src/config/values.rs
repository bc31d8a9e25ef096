//! From texts to values, with their limits. Each function says what it found, what it expected and
//! what to do; the caller knows where.

use std::ops::RangeInclusive;
use std::time::Duration;

use renewd_core::names::San;
use renewd_core::request::KeyType;
use renewd_core::unit::OnChange;

use crate::probe::ProbeTarget;
pub(super) use crate::table::values::{MOST_ENTRIES, TIMEOUT, YEAR, duration, too_many};
use crate::table::values::{name_remedy, word};
use crate::table::{Mismatch, clipped};

use super::environment::Environment;
use super::specifier::{self, expand};

/// A certificate's life.
pub(super) const LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(30)..=Duration::from_secs(10 * YEAR.as_secs());
/// A dependent's wave.
pub(super) const ORDER: RangeInclusive<i64> = 0..=99;

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
