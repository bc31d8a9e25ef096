//! Tables that people write: what stands in a TOML file, each value with its place, and what is wrong with it.
//!
//! Owns how a file is walked and how an error is told, whoever it is that knows what a key means: the
//! [configuration](crate::config) those of every certificate, each [kind](crate::issuer::kind) of issuers its own. A reader
//! asks a [`Section`] for its keys one by one; what is wrong goes into the [`Report`], and reading goes on, so that all of it is
//! told at once.

mod document;
mod error;
mod schema;
mod source;
mod suggest;
pub mod values;
mod walk;

pub use document::{At, clipped, document};
pub use error::{ConfigError, ConfigWarning, ErrorKind, Location, Mismatch, Report};
pub use schema::{Key, Schema, Vocabulary, key};
pub use source::Source;
pub use suggest::nearest;
pub use values::twice;
pub use walk::Section;
