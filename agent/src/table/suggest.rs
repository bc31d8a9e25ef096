//! The nearest known word to a misspelled one.

/// The candidate that `word` most likely means, if any is near enough: a third of its letters may
/// differ, at least one, and a swap of neighbours counts as one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer word means none of ours, and the comparison is quadratic.
    if word.len() > 64 {
        return None;
    }
    let word = normal(word);
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (normal(candidate), candidate))
        .map(|(letters, candidate)| {
            // Of two that are as near, the one whose end was left out.
            let other = !letters.starts_with(&word);
            ((distance(&word, &letters), other), candidate)
        })
        .filter(|((distance, _), _)| *distance <= allowed)
        .min_by_key(|(near, _)| *near)
        .map(|(_, candidate)| candidate)
}

fn normal(word: &str) -> Vec<char> {
    word.chars()
        .map(|letter| match letter {
            '-' | ' ' => '_',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_fingers_finds_its_word_and_another_word_finds_none() {
        let words = ["reload", "restart", "start", "none"];
        assert_eq!(nearest("cr", ["ca", "crl"]), Some("crl"));
        for (slip, meant) in [
            ("reloud", Some("reload")),
            ("relaod", Some("reload")),
            ("RESTART", Some("restart")),
            ("nnoe", Some("none")),
            ("stop", None),
            ("", None),
            ("sign", None),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), words), None);
    }
}
