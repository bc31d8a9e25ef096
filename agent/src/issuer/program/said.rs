//! What the program says on stderr, as lines for the journal: few, short, without control characters and
//! without keys.

/// What one run may add to the journal.
const MOST_LINES: usize = 100;
const LONGEST: usize = 1024;

/// Collects bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Said {
    line: Vec<u8>,
    lines: usize,
    in_key: bool,
    /// The last line, for the error.
    pub(super) last: Option<String>,
}

impl Said {
    /// Takes in bytes; `tell` hears each line that is whole.
    pub(super) fn hear(&mut self, bytes: &[u8], mut tell: impl FnMut(String)) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line(&mut tell);
            } else if self.line.len() < LONGEST {
                self.line.push(byte);
            }
        }
    }

    /// There comes no more.
    pub(super) fn end_line(&mut self, mut tell: impl FnMut(String)) {
        let line = std::mem::take(&mut self.line);
        let line: String = String::from_utf8_lossy(&line)
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .filter(|c| !c.is_control())
            .collect();
        let Some(line) = self.without_key(line.trim_end()) else {
            return;
        };
        if line.is_empty() {
            return;
        }
        self.last = Some(line.clone());
        self.lines += 1;
        match self.lines {
            ..=MOST_LINES => tell(line),
            n if n == MOST_LINES + 1 => tell("(more lines are left out)".to_owned()),
            _ => {}
        }
    }

    /// A tool that was called wrongly prints what it was to write into a file.
    fn without_key(&mut self, line: &str) -> Option<String> {
        if line.contains("PRIVATE KEY-----") {
            self.in_key = line.contains("-----BEGIN ") && !line.contains("-----END ");
            let begins = line.contains("-----BEGIN ");
            return begins.then(|| "(a private key is left out)".to_owned());
        }
        (!self.in_key).then(|| line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(parts: &[&[u8]]) -> Vec<String> {
        let (mut said, mut lines) = (Said::default(), Vec::new());
        for part in parts {
            said.hear(part, |line| lines.push(line));
        }
        said.end_line(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_put_together_and_cleaned() {
        let parts: [&[u8]; 3] = [b"one\ntw", b"o\x1b[31m\x07\r\n\n", b"\xff last\t!"];
        assert_eq!(heard(&parts), ["one", "two[31m", "\u{fffd} last !"]);
    }

    #[test]
    fn many_lines_and_long_ones_are_cut() {
        let flood = b"x\n".repeat(10_000);
        let lines = heard(&[&flood]);
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!(lines[MOST_LINES], "(more lines are left out)");
        assert_eq!(heard(&[&[b'x'; 100_000]]), ["x".repeat(LONGEST)]);
    }

    #[test]
    fn a_private_key_is_left_out() {
        let text = b"a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\nb\n";
        assert_eq!(heard(&[text]), ["a", "(a private key is left out)", "b"]);
    }
}
