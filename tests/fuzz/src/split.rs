//! How one input becomes several: by marks that a mutation seldom hits in text, and by lengths in bytes.

/// The parts of a text input; what is no UTF-8 is replaced, for parsers that are only ever given text.
pub(crate) fn texts<const N: usize>(data: &[u8]) -> [String; N] {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(N, MARK);
    std::array::from_fn(|_| parts.next().unwrap_or_default().to_owned())
}

/// Between the parts of a text.
const MARK: &str = "\n=====\n";

/// Puts parts together.
pub(crate) fn text(parts: &[&str]) -> Vec<u8> {
    parts.join(MARK).into_bytes()
}

/// Parts with two bytes of length before each. A length that reaches beyond the end means all that is left.
pub(crate) fn counted(mut data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (part, after) = rest.split_at(length);
        parts.push(part);
        data = after;
    }
    parts
}

/// Puts parts together.
pub(crate) fn count(parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        all.extend((part.len() as u16).to_be_bytes());
        all.extend(*part);
    }
    all
}
