//! Inputs made of others, the same in each run: for `cargo test`, which has no libFuzzer.

/// A small generator (xorshift64*): what it gives depends on the seed alone.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts it; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize;
        number.checked_rem(end).unwrap_or(0)
    }
}

/// Bytes on which parsers decide.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xff0;09afAF./\\%*:;,=\"'[]{}#-_ \t\r\n@?&<>";

/// No input gets longer.
const LONGEST: usize = 4096;

/// One of the seeds, with one to eight changes.
pub fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| seeds.get(random.below(seeds.len())).cloned();
    let mut data = pick(random).unwrap_or_default();
    for _ in 0..=random.below(8) {
        let at = random.below(data.len() + 1);
        let end = (at + 1 + random.below(16)).min(data.len());
        match random.below(8) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..end)),
            2 => data.insert(at, TELLING[random.below(TELLING.len())]),
            3 => {
                let twice = data[at..end].to_vec();
                data.splice(at..at, twice);
            }
            // The end of another one.
            4 => {
                let other = pick(random).unwrap_or_default();
                data.truncate(at);
                data.extend(&other[random.below(other.len() + 1)..]);
            }
            // A piece of another one.
            5 => {
                let other = pick(random).unwrap_or_default();
                let from = random.below(other.len() + 1);
                let to = (from + 1 + random.below(16)).min(other.len());
                data.splice(at..at, other[from..to].to_vec());
            }
            6 if at < data.len() => data[at] = TELLING[random.below(TELLING.len())],
            _ if at < data.len() => data[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    data.truncate(LONGEST);
    data
}
