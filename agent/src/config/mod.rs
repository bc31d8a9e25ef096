//! The configuration: `renewd.toml` and one file per certificate in `certs.d`.
//!
//! It owns the way from text to [`Settings`], which cannot hold a wrong value, in three steps: *raw*
//! (what a file says, each value with its place), *merged* (a certificate's keys over the
//! `[defaults]`) and *settings*. Every error of every file is found in one pass and names file,
//! line, field, what was found, what was expected and what to do.
//!
//! It never acts: it opens the configuration's files and asks for accounts and the host's names, and
//! nothing else. What only systemd can tell (a unit that cannot reload) is added by the caller, with
//! the [`Location`] that each unit keeps. How a file is read is [`crate::table`]'s, and what stands in an issuer's table
//! its [kind](crate::issuer::kind)'s: which kinds there are is a part of the [`Environment`]. Of the adapters it knows the
//! types that a setting becomes (a probe's address), so that a wrong one is refused here. The other keys stand in
//! `schema`, which the parser, the errors and `docs/configuration.md` share.

mod accounts;
mod certificate;
mod check;
mod common;
mod dependent;
mod environment;
mod files;
mod issuer;
mod load;
mod raw;
mod schema;
mod settings;
mod specifier;
mod trust;
mod values;

pub use accounts::{Accounts, AnyAccounts, Group, SystemAccounts};
pub use check::{Checked, check};
pub use environment::Environment;
pub use load::{Held, Loaded, load, load_at_start, load_texts};
pub use settings::{
    CertificateSettings, DependentSettings, IssuerSettings, Ownership, Settings, Texts,
    TrustSettings,
};

pub use crate::table::{ConfigError, ConfigWarning, ErrorKind, Location};

#[cfg(test)]
mod tests;
