//! The configuration: `renewd.toml` and one file per certificate in `certs.d`.
//!
//! It owns the way from text to [`Settings`], which cannot hold a wrong value, in three steps: *raw*
//! (what a file says, each value with its place), *merged* (a certificate's keys over the
//! `[defaults]`) and *settings*. Every error of every file is found in one pass and names file,
//! line, field, what was found, what was expected and what to do.
//!
//! It never acts: it opens the configuration's files and asks for accounts and the host's names, and
//! nothing else. What only systemd can tell (a unit that cannot reload) is added by the caller, with
//! the [`Location`] that each unit keeps. Of the adapters it knows the types that a setting becomes (a
//! probe's address, an issuer's constraints), so that a wrong one is refused here. The keys
//! themselves stand in [`schema`], which the parser, the errors and `docs/configuration.md` share.

mod accounts;
mod certificate;
mod check;
mod common;
mod dependent;
mod document;
mod environment;
mod error;
mod files;
mod issuer;
mod kind;
mod load;
mod places;
mod raw;
pub mod schema;
mod settings;
mod source;
mod specifier;
mod suggest;
mod trust;
mod values;
mod walk;

pub use accounts::{Accounts, AnyAccounts, Group, SystemAccounts};
pub use check::{Checked, check};
pub use environment::Environment;
pub use error::{ConfigError, ConfigWarning, ErrorKind, Location};
pub use load::{Held, Loaded, load, load_at_start, load_texts};
pub use settings::{
    CertificateSettings, DependentSettings, IssuerKind, IssuerSettings, LocalIssuerSettings,
    Ownership, Settings, Texts, TrustSettings,
};

#[cfg(test)]
mod tests;
