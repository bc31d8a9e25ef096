//! The trace that a request belongs to (W3C Trace Context).
//!
//! Owns: the header `traceparent`: kept if it is sound, made anew if not, where somebody asks.
//! Never does: send traces anywhere. Neighbour: [`crate::access`], which writes the trace's id into the audit line.

use std::fmt::{self, Write};
use std::hash::{BuildHasher, RandomState};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// W3C Trace Context, section 3.2.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a trace: 32 lower-case hex digits, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(&self.0).try_for_each(|digit| f.write_char(char::from(digit)))
    }
}

/// The trace of one request.
#[derive(Debug, Clone)]
pub struct Trace(Origin);

#[derive(Debug, Clone)]
enum Origin {
    /// The caller's own.
    Kept(TraceId, HeaderValue),
    /// Nobody may ever ask for it, so it is not worked out before.
    Made(Maker, u64),
}

/// Makes the traces of one connection's requests.
///
/// Ids must differ and should not be guessed; no secret hangs on them. So they are keyed hashes of the request's number:
/// that costs a fraction of what the generator for keys does.
#[derive(Debug, Clone, Default)]
pub struct Maker(RandomState);

impl Trace {
    /// Reads the trace of a request, or makes one, which `number` sets apart from the others of its connection. A header
    /// that is not sound is removed, and the state that hangs on it (section 3.3).
    pub fn of(headers: &mut HeaderMap, maker: &Maker, number: u64) -> Self {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let first = given.next();
        if let (Some(one), None) = (first, given.next())
            && let Some(trace) = parse(one.as_bytes())
        {
            return Self(Origin::Kept(trace, one.clone()));
        }
        if first.is_some() {
            headers.remove(TRACEPARENT);
        }
        headers.remove(TRACESTATE);
        Self(Origin::Made(maker.clone(), number))
    }

    /// Its id.
    pub fn id(&self) -> TraceId {
        match &self.0 {
            Origin::Kept(id, _) => *id,
            Origin::Made(maker, number) => maker.ids(*number).0,
        }
    }

    /// What to send as `traceparent` with requests that are made for this one.
    pub fn parent(&self) -> HeaderValue {
        match &self.0 {
            Origin::Kept(_, header) => header.clone(),
            Origin::Made(maker, number) => {
                let (trace, parent) = maker.ids(*number);
                let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
                for (at, id) in [(3, &trace.0[..]), (36, &parent)] {
                    for (place, digit) in header[at..].iter_mut().zip(digits(id)) {
                        *place = digit;
                    }
                }
                HeaderValue::from_bytes(&header).unwrap_or(HeaderValue::from_static(""))
            }
        }
    }
}

impl Maker {
    /// The id of the trace, and of the parent within it. None is all zero (section 3.2.2).
    fn ids(&self, number: u64) -> (TraceId, [u8; 8]) {
        let part = |place: u64| self.0.hash_one((number, place)).to_ne_bytes();
        let (mut trace, mut parent) = ([0; 16], part(2));
        trace[..8].copy_from_slice(&part(0));
        trace[8..].copy_from_slice(&part(1));
        trace[15] |= 1;
        parent[7] |= 1;
        (TraceId(trace), parent)
    }
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

    fn of(headers: &mut HeaderMap) -> Trace {
        Trace::of(headers, &Maker::default(), 7)
    }

    #[test]
    fn a_sound_trace_is_kept_as_it_is() {
        let later = SOUND.replacen("00-", "cc-", 1) + "-what-comes";
        for given in [SOUND, &later] {
            let mut headers = headers(&[given]);
            let trace = of(&mut headers);
            assert_eq!(trace.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(trace.parent(), given);
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
            assert!(headers.is_empty(), "{given:?}");
            let parent = made.parent();
            assert_eq!(parse(parent.as_bytes()), Some(made.id()), "{given:?}");
            assert_ne!(made.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_ne!(of(&mut headers).id(), made.id());
        }
    }

    #[test]
    fn each_request_has_its_own_and_it_stays_the_same() {
        let (one, two) = (Maker::default(), Maker::default());
        let ids = [(&one, 1), (&one, 2), (&two, 1)].map(|(maker, number)| {
            let trace = Trace::of(&mut HeaderMap::new(), maker, number);
            assert_eq!(trace.id(), trace.clone().id());
            assert_eq!(trace.parent(), trace.parent());
            trace.id()
        });
        assert_ne!(ids[0], ids[1]);
        assert_ne!(ids[0], ids[2]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_trace_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
