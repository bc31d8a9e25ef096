//! How EST carries DER: as base64, with the manners of several generations of servers.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

/// As in PEM: older servers find no end to lines that are longer.
const LINE: usize = 64;
/// How deep an encoding may be nested; certificates are in the eighth level.
const DEEPEST: usize = 32;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is sent. RFC 8951, section 3.1, leaves it to the sender whether there are lines; libest demands them.
pub(super) fn encode(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = String::with_capacity(text.len() + text.len() / LINE + 1);
    for (at, char) in text.chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            lines.push('\n');
        }
        lines.push(char);
    }
    lines.push('\n');
    lines
}

/// What was received: base64 with any white space or none (RFC 8951, section 3.1), whatever its headers say of it; in
/// PEM armour; with the zero byte that ends a text in C (libest's `csrattrs`); or as DER, against the rules.
pub(super) fn decode(body: &[u8]) -> Result<Cow<'_, [u8]>, base64::DecodeError> {
    let Some(text) = std::str::from_utf8(body)
        .ok()
        .filter(|text| text.is_ascii())
    else {
        return Ok(Cow::Borrowed(body));
    };
    let lines = text.split(['\r', '\n']);
    let lines = lines.filter(|line| !line.trim_start().starts_with("-----"));
    let bare: String = lines
        .flat_map(str::chars)
        .filter(|char| !char.is_ascii_whitespace() && *char != '\0')
        .collect();
    LENIENT.decode(bare).map(Cow::Owned)
}

/// The same with all lengths told beforehand, as DER has them: servers in Java write BER that tells some only by
/// where they end (ITU-T X.690, section 8.1.3.6). Other freedoms of BER are not taken by any. `None` where it is none.
pub(super) fn definite(ber: &[u8]) -> Option<Cow<'_, [u8]>> {
    if ber.get(1) != Some(&0x80) {
        return Some(Cow::Borrowed(ber));
    }
    let mut der = Vec::with_capacity(ber.len());
    let rest = element(ber, 0, &mut der)?;
    rest.is_empty().then_some(Cow::Owned(der))
}

/// The elements that stand one behind the other, each whole, in DER.
pub(super) fn elements(mut der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    while let [_, first, rest @ ..] = der {
        let (length, rest) = length(*first, rest)?;
        let head = der.len() - rest.len();
        let (element, rest) = der.split_at_checked(head.checked_add(length)?)?;
        elements.push(element);
        der = rest;
    }
    der.is_empty().then_some(elements)
}

/// Writes the first element anew; returns what follows it.
fn element<'a>(input: &'a [u8], depth: usize, der: &mut Vec<u8>) -> Option<&'a [u8]> {
    const CONSTRUCTED: u8 = 0x20;
    const LONG_TAG: u8 = 0x1f;
    let [tag, first, rest @ ..] = input else {
        return None;
    };
    if depth > DEEPEST || tag & LONG_TAG == LONG_TAG {
        return None;
    }
    let constructed = tag & CONSTRUCTED != 0;
    let mut content = Vec::new();
    let rest = match first {
        0x80 if constructed => {
            let mut rest = rest;
            while !rest.starts_with(&[0, 0]) {
                rest = element(rest, depth + 1, &mut content)?;
            }
            &rest[2..]
        }
        0x80 => return None,
        _ => {
            let (length, rest) = length(*first, rest)?;
            let (inner, rest) = rest.split_at_checked(length)?;
            let mut inner = inner;
            if constructed {
                while !inner.is_empty() {
                    inner = element(inner, depth + 1, &mut content)?;
                }
            } else {
                content.extend_from_slice(inner);
            }
            rest
        }
    };
    der.push(*tag);
    push_length(content.len(), der);
    der.append(&mut content);
    Some(rest)
}

fn length(first: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let short = bytes.len() <= 4;
    let value = bytes
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    short
        .then_some(value)
        .and_then(|value| Some((usize::try_from(value).ok()?, rest)))
}

fn push_length(length: usize, der: &mut Vec<u8>) {
    if length < 0x80 {
        der.push(length as u8);
        return;
    }
    let bytes = length.to_be_bytes();
    let bytes = &bytes[length.leading_zeros() as usize / 8..];
    der.push(0x80 | bytes.len() as u8);
    der.extend_from_slice(bytes);
}
