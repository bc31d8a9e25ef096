//! A fuzz target for each parser of what comes from outside.
//!
//! Owns: the targets, each with seeds and with what must hold of every input; panics are the verdict. Never does: decide
//! how inputs are found. Two ways of finding them use the same targets: `tests/mutated.rs`, a part of `cargo test`, and
//! `src/bin/fuzz.rs`, which `make fuzz` builds with libFuzzer (`docs/decisions/0021`). What is fuzzed, what is not
//! and why, and what came of it: `tests/fuzz/README.md`.

pub mod der;
pub mod mutate;
mod split;
mod target;

/// One parser, and what must hold of whatever it is given.
#[derive(Clone, Copy)]
pub struct Target {
    /// As `make fuzz TARGET=…` knows it, and the directory of its findings is called.
    pub name: &'static str,
    /// Gives one input to the parser. Panics if anything does not hold.
    pub run: fn(&[u8]),
    /// Inputs from which others are made.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many inputs `cargo test` tries. Those that verify signatures or touch files are slow in a build without
    /// optimisation.
    pub tries: usize,
}

macro_rules! targets {
    ($($name:ident: $tries:expr,)*) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: target::$name::run,
            seeds: target::$name::seeds,
            tries: $tries,
        }),*];
    };
}

targets! {
    config: 20_000,
    policy: 20_000,
    pattern: 100_000,
    identity: 20_000,
    chain: 8_000,
    list: 5_000,
    list_file: 10_000,
    staple: 10_000,
    ticket: 5_000,
    trace: 100_000,
    forward: 20_000,
    redirect: 15_000,
    generation: 1_500,
    accept: 10_000,
    record: 20_000,
    daemon: 4_000,
}
