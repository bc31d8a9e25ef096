//! The configuration: `renewd.toml` and one file per certificate in `certs.d`.
//!
//! It owns the way from text to [`Settings`], which cannot hold a wrong value, in three steps: *raw*
//! (what a file says, each value with its place), *merged* (a certificate's keys over the
//! `[defaults]`) and *settings*. Every error of every file is found in one pass and names file,
//! line, field, what was found, what was expected and what to do.
//!
//! It never acts: it opens the configuration's files and asks for accounts and the host's names, and
//! nothing else. What only systemd can tell (a unit that cannot reload) is added by the caller, with
//! the [`Location`] that each unit keeps. The keys themselves stand in [`keys`], which the parser, the
//! errors and `docs/configuration.md` share.

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
pub mod keys;
mod load;
mod raw;
mod settings;
mod source;
mod specifier;
mod suggest;
mod values;
mod walk;

pub use accounts::{Accounts, AnyAccounts, SystemAccounts};
pub use check::{Checked, check};
pub use environment::Environment;
pub use error::{ConfigError, ConfigWarning, ErrorKind, Location};
pub use load::{Held, Loaded, load, load_at_start, load_texts};
pub use settings::{
    CertificateSettings, DependentSettings, IssuerKind, IssuerSettings, LocalIssuerSettings,
    Network, Ownership, Settings, Texts,
};

#[cfg(test)]
mod tests;
