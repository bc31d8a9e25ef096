//! Both machines, tested over a simulated world.
//!
//! [`world`] holds record, disk and clock, and drives them as the daemon does; [`parts`] is its issuer
//! and its units, [`blows`] what befalls it. [`invariants`] are checked at every step. [`verdicts`] are
//! stories to be read, [`chaos`] is any order of blows, drawn by [`strategies`].

mod blows;
mod chaos;
mod invariants;
mod newest;
mod parts;
mod revoked;
mod strategies;
mod transitions;
mod verdicts;
mod world;
