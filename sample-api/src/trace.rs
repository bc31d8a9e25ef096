//! The trace that a request belongs to (W3C Trace Context).
//!
//! Owns: the header `traceparent`: kept if it is sound, made anew if not.
//! Never does: send traces anywhere. Neighbour: [`crate::access`], which writes the trace's id into the audit line.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::hash::{BuildHasher, RandomState};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// W3C Trace Context, section 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a trace: 32 lower-case hex digits, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

/// Reads the trace of a request. Where there is none that can be kept, a new one is put into its headers, so that
/// whoever answers sees one in every case.
pub fn of(headers: &mut HeaderMap) -> TraceId {
    let mut given = headers.get_all(TRACEPARENT).iter();
    if let (Some(one), None) = (given.next(), given.next())
        && let Some(trace) = parse(one.as_bytes())
    {
        return trace;
    }
    let mut random = random();
    let (trace, parent) = random.split_at_mut(16);
    trace[15] |= 1;
    parent[7] |= 1;
    // Most requests come this way: no formatting.
    let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
    for (at, id) in [(3, &*trace), (36, &*parent)] {
        for (place, digit) in header[at..].iter_mut().zip(digits(id)) {
            *place = digit;
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(&header) {
        headers.insert(TRACEPARENT, value);
    }
    // It belongs to a trace that was not kept (section 3.3).
    headers.remove(TRACESTATE);
    let mut id = [0; 16];
    id.copy_from_slice(trace);
    TraceId(id)
}

/// Ids must differ and should not be guessed; no secret hangs on them. A keyed hash of a counter, with a key for each
/// thread, costs a twentieth of what the generator for keys does.
fn random() -> [u8; 24] {
    thread_local! {
        static NEXT: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    let mut bytes = [0; 24];
    NEXT.with(|(keyed, next)| {
        for part in bytes.as_chunks_mut::<8>().0 {
            *part = keyed.hash_one(next.get()).to_ne_bytes();
            next.set(next.get().wrapping_add(1));
        }
    });
    bytes
}

/// `version-trace-parent-flags`. A version after ours may have more behind that (section 4.1).
fn parse(value: &[u8]) -> Option<TraceId> {
    let (version, rest) = field::<1>(value)?;
    let (trace, rest) = field::<16>(rest.strip_prefix(b"-")?)?;
    let (parent, rest) = field::<8>(rest.strip_prefix(b"-")?)?;
    let (_, rest) = field::<1>(rest.strip_prefix(b"-")?)?;
    let ended = match version {
        [0xff] => false,
        [0] => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    // What comes there is not known, but it is text (section 3.1).
    let text = value.iter().all(u8::is_ascii_graphic);
    (ended && text && trace != [0; 16] && parent != [0; 8]).then_some(TraceId(trace))
}

/// `N` bytes as lower-case hex; upper case is not allowed.
fn field<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (digits, rest) = text.split_at_checked(2 * N)?;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some((bytes, rest))
}

fn hex(to: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    digits(bytes).try_for_each(|digit| to.write_char(char::from(digit)))
}

fn digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half)];
    bytes
        .iter()
        .flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        headers
    }

    #[test]
    fn a_sound_trace_is_kept_as_it_is() {
        let later = SOUND.replacen("00-", "cc-", 1) + "-what-comes";
        for given in [SOUND, &later] {
            let mut headers = headers(&[given]);
            assert_eq!(
                of(&mut headers).to_string(),
                "4bf92f3577b34da6a3ce929d0e0e4736"
            );
            assert_eq!(headers[TRACEPARENT], given);
            assert_eq!(headers[TRACESTATE], "a=b");
        }
    }

    #[test]
    fn anything_else_is_replaced_by_one_that_is_sound() {
        let zero_trace = SOUND.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_parent = SOUND.replace("00f067aa0ba902b7", &"0".repeat(16));
        for given in [
            &[][..],
            &[""],
            &[SOUND, SOUND],
            &[&SOUND.to_uppercase()],
            &[&SOUND[1..]],
            &[&format!("{SOUND}-more")],
            &[&SOUND.replacen("00", "ff", 1)],
            &[&(SOUND.replacen("00", "cc", 1) + "-\u{e4}")],
            &[&(SOUND.replacen("00", "cc", 1) + "- a")],
            &[&zero_trace],
            &[&zero_parent],
        ] {
            let mut headers = headers(given);
            let made = of(&mut headers);
            assert!(!headers.contains_key(TRACESTATE), "{given:?}");
            let header = headers[TRACEPARENT].clone();
            assert_eq!(parse(header.as_bytes()), Some(made), "{given:?}");
            assert_ne!(made.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_ne!(of(&mut HeaderMap::new()), made);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_trace_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
