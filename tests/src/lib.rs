//! Black-box tests of the programs, and the tools that they are made of.
#![forbid(unsafe_code)]

pub mod demo;
pub mod load;
