//! The header `traceparent`: what is sent on is sound by W3C Trace Context, and is what the client sent if that was.

use axum::http::{HeaderMap, HeaderValue};
use renewd_sample_api::trace::{Maker, Trace};

/// One header a line.
pub(crate) fn run(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("traceparent", value);
        }
    }
    headers.insert("tracestate", HeaderValue::from_static("a=b"));
    let given: Vec<_> = headers.get_all("traceparent").iter().cloned().collect();
    let trace = Trace::of(&mut headers, &Maker::default(), 0);
    let parent = trace.parent();
    let text = parent.to_str().unwrap_or_default();
    assert!(is_sound(parent.as_bytes()), "{parent:?}");
    assert_eq!(text.get(3..35), Some(trace.id().to_string().as_str()));
    let now: Vec<_> = headers.get_all("traceparent").iter().cloned().collect();
    match given.as_slice() {
        [one] if is_sound(one.as_bytes()) => assert!(now == given && parent == *one),
        _ => assert!(now.is_empty() && !given.contains(&parent), "{given:?}"),
    }
    assert_eq!(headers.contains_key("tracestate"), !now.is_empty());
}

/// Sections 3.2.2 and 4.1.
fn is_sound(value: &[u8]) -> bool {
    let hex = |part: &[u8], digits: usize| {
        part.len() == digits && part.iter().all(|byte| b"0123456789abcdef".contains(byte))
    };
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let mut parts = value.splitn(5, |byte| *byte == b'-');
    let [Some(version), Some(trace), Some(parent), Some(flags)] = [(); 4].map(|()| parts.next())
    else {
        return false;
    };
    hex(version, 2)
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && value.iter().all(u8::is_ascii_graphic)
        && !zero(trace)
        && !zero(parent)
        && version != b"ff"
        && (version != b"00" || parts.next().is_none())
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let later = SOUND.replacen("00-", "cc-", 1) + "-what-comes";
    let nobody = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let twice = format!("{SOUND}\n{SOUND}");
    let bad = SOUND.replacen("00-", "ff-", 1);
    [SOUND, &later, &nobody, &twice, &bad]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
