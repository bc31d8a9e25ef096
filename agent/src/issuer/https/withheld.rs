//! What a server says of what it was sent, which may be a secret of ours.

/// Whether a secret stands in a text: as it is, or as JSON (RFC 8259, section 7) or addresses (RFC 3986, section 2.1) escape it.
/// To be asked of the whole text: of one that was cut, half a secret would be shown.
pub fn repeats(text: &str, secret: &str) -> bool {
    if secret.is_empty() {
        return false;
    }
    let found = |text: &[u8]| {
        let mut parts = text.windows(secret.len());
        parts.any(|part| part == secret.as_bytes())
    };
    // What stands for one may stand within the other, and a secret may have in it what looks like either.
    let text = text.as_bytes();
    let (json, address) = (bare(text, b'\\'), bare(text, b'%'));
    let twice = [bare(&json, b'\\'), bare(&json, b'%'), bare(&address, b'\\')];
    found(text) || found(&json) || found(&address) || twice.iter().any(|text| found(text))
}

/// With each escape that begins so replaced by what it stands for.
fn bare(text: &[u8], mark: u8) -> Vec<u8> {
    let mut bare = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (first, _) if *first != mark => None,
            (b'%', _) => number(after, 2).map(|byte| (vec![byte as u8], 3)),
            (b'\\', [b'u', digits @ ..]) => number(digits, 4)
                .and_then(char::from_u32)
                .map(|char| (char.to_string().into_bytes(), 6)),
            (b'\\', [mark @ (b'"' | b'\\' | b'/'), ..]) => Some((vec![*mark], 2)),
            _ => None,
        };
        let (bytes, length) = escaped.unwrap_or_else(|| (vec![*first], 1));
        bare.extend(bytes);
        rest = &rest[length..];
    }
    bare
}

fn number(text: &[u8], digits: usize) -> Option<u32> {
    let text = std::str::from_utf8(text.get(..digits)?).ok()?;
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_escaped() {
        let secret = "pé%a/s\"s w+=";
        for text in [
            "it was pé%a/s\"s w+=",
            r#"{"it": "pé%a\/s\"s w+="}"#,
            r#"{"it": "p\u00e9%a/s\u0022s\u0020w\u002b="}"#,
            "?it=p%C3%a9%25a%2Fs%22s%20w%2b%3D",
            r#"{"it": "?it=p%C3%a9%25a%2Fs%22s%20w%2b%3D"}"#,
            r#""{\"it\": \"pé%a\\/s\\\"s w+=\"}""#,
        ] {
            assert!(repeats(text, secret), "{text}");
        }
        for text in [
            "", "p%a", "%", "%4", "\\u00", "\\", "%é", "\\u00é0", "\\ud800",
        ] {
            assert!(!repeats(text, secret), "{text}");
        }
        assert!(!repeats("text", ""));
    }
}
