//! The patterns of callers and paths, and SHA-256 as people write it: compared with a second reading of the same rules,
//! written to be plain instead of fast.

use renewd_sample_api::Identity;
use renewd_sample_api::fingerprint::Fingerprint;
use renewd_sample_api::identity::Kind;
use renewd_sample_api::policy::{Callers, Paths, is_plain};

use crate::split;

pub(crate) fn run(data: &[u8]) {
    let [pattern, subject] = split::texts(data);
    if let Ok(paths) = pattern.parse::<Paths>() {
        assert!(pattern.starts_with('/'));
        // Of others it is never asked.
        if is_plain(&subject) {
            let expected = parts_match(&pattern[1..], &subject[1..], |part| !part.is_empty(), true);
            assert_eq!(paths.include(&subject), expected, "{pattern:?} {subject:?}");
        }
        // What is written out is itself.
        if !pattern.contains('*') {
            assert!(is_plain(&pattern) && paths.include(&pattern), "{pattern:?}");
        }
    }
    if is_plain(&subject) {
        let other = read_otherwise(&subject);
        assert!(other.is_none(), "{subject:?} may be read as {other:?}");
    }
    if let Ok(callers) = pattern.parse::<Callers>() {
        for kind in [Kind::Uri, Kind::Dns, Kind::Cn] {
            let name = subject.clone();
            let found = callers.include(&Identity { name, kind });
            assert_eq!(
                found,
                caller(&pattern, kind, &subject),
                "{pattern:?} {kind:?} {subject:?}"
            );
        }
    }
    if let Ok(fingerprint) = pattern.parse::<Fingerprint>() {
        let written = fingerprint.to_string();
        assert_eq!(written, pattern.replace(':', "").to_ascii_lowercase());
        assert_eq!(written.parse(), Ok(fingerprint));
    }
}

/// Whether the parts of a text match those of a pattern.
fn parts_match(pattern: &str, text: &str, star: fn(&str) -> bool, path: bool) -> bool {
    fn all(pattern: &[&str], text: &[&str], star: fn(&str) -> bool, path: bool) -> bool {
        match (pattern, text) {
            (["**"], []) => path,
            // Of a path anything follows; of a name, parts that a star could stand for.
            (["**"], rest) => path || rest.iter().all(|part| star(part)),
            (["*", pattern @ ..], [first, text @ ..]) => {
                star(first) && all(pattern, text, star, path)
            }
            ([one, pattern @ ..], [first, text @ ..]) => {
                one == first && all(pattern, text, star, path)
            }
            ([], []) => true,
            _ => false,
        }
    }
    let parts = |text| -> Vec<&str> { str::split(text, '/').collect() };
    all(&parts(pattern), &parts(text), star, path)
}

/// Whether the pattern, which was accepted, means that caller.
fn caller(pattern: &str, kind: Kind, name: &str) -> bool {
    let plain = |part: &str| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !["", ".", ".."].contains(&part) && part.bytes().all(word)
    };
    if pattern == "*" {
        return true;
    }
    if let Some(common) = pattern.strip_prefix("cn:") {
        return kind == Kind::Cn && name == common;
    }
    if let Some(host) = pattern.strip_prefix("dns:") {
        let host = host.to_ascii_lowercase();
        return kind == Kind::Dns
            && match host.strip_prefix('*') {
                Some(parent) => name
                    .strip_suffix(parent)
                    .is_some_and(|label| !label.is_empty() && !label.contains('.')),
                None => name == host,
            };
    }
    // Scheme and authority hold no star, so they can be compared like parts.
    kind == Kind::Uri && parts_match(pattern, name, plain, false)
}

/// How an application behind us might read the path: after decoding once or twice (liberally: `%c0%ae` is a dot to some),
/// with parameters cut off, slashes turned and folded, dots resolved. `None` if that is what it says anyway.
pub(super) fn read_otherwise(path: &str) -> Option<String> {
    let plain = path
        .split('/')
        .skip(1)
        .map(|part| cut(&decode(part.as_bytes())));
    let plain: Vec<_> = plain.collect();
    let twice = decode(&decode(path.as_bytes()));
    let mut read: Vec<Vec<u8>> = Vec::new();
    let turned = twice.split(|byte| *byte == b'/' || *byte == b'\\');
    let all: Vec<_> = turned.skip(1).map(cut).collect();
    for (place, part) in all.iter().enumerate() {
        match part.as_slice() {
            b"" if place + 1 < all.len() => {}
            b"." => {}
            b".." => drop(read.pop()),
            other => read.push(other.to_vec()),
        }
    }
    let text = |parts: &[Vec<u8>]| String::from_utf8_lossy(&parts.join(&b'/')).into_owned();
    // A part that is nothing but a parameter is an empty one.
    let vanished = path
        .split('/')
        .skip(1)
        .zip(&plain)
        .any(|(part, read)| !part.is_empty() && read.is_empty());
    let same = path.starts_with('/') && read == plain && !vanished;
    let controls = twice.iter().any(u8::is_ascii_control);
    (!same || controls).then(|| text(&read))
}

fn cut(part: &[u8]) -> Vec<u8> {
    let end = part.iter().position(|byte| *byte == b';');
    part[..end.unwrap_or(part.len())].to_vec()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let digits = text
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if *byte == b'%' => {
                bytes.push(value);
                at += 3;
            }
            _ => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    overlong(&bytes)
}

/// Characters of ASCII in more bytes than they need (RFC 3629, section 3, forbids it).
fn overlong(bytes: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return read,
            [high @ 0xc0..=0xc1, low @ 0x80..=0xbf, rest @ ..]
            | [0xe0, high @ 0x80..=0x81, low @ 0x80..=0xbf, rest @ ..]
            | [0xf0, 0x80, high @ 0x80..=0x81, low @ 0x80..=0xbf, rest @ ..] => {
                read.push((high & 1) << 6 | (low & 0x3f));
                rest
            }
            [byte, rest @ ..] => {
                read.push(*byte);
                rest
            }
        };
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let fingerprint = Fingerprint::of(b"").to_string();
    let colons: Vec<String> = fingerprint
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).to_ascii_uppercase())
        .collect();
    let pairs = [
        ("/", "/"),
        ("/**", "/a/b/c"),
        ("/orders/*/lines", "/orders/7/lines"),
        ("/orders/**", "/orders"),
        ("/a%20b/*", "/a%20b/%c3%a4"),
        ("/x", "/a/../b%2fc;x/%c0%ae/%e0%80%af/.;y/;z"),
        ("/**", "/a%2fb\\c//d%252e%00"),
        ("spiffe://a/web/*", "spiffe://a/web/1"),
        ("spiffe://a/ops/**", "spiffe://a/ops/x/y"),
        ("spiffe://a", "spiffe://a"),
        ("dns:*.batch.example", "x.batch.example"),
        ("dns:Ops.Example", "ops.example"),
        ("cn:Old Client", "Old Client"),
        ("*", "anybody"),
        (&fingerprint, ""),
        (&colons.join(":"), ""),
    ];
    pairs
        .map(|(pattern, subject)| split::text(&[pattern, subject]))
        .into()
}
